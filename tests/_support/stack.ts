/** One embedded stack for all tests of a file. */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import {
  type SimulatorControl,
  simulatorControl,
} from "./simulator-control.ts";
import {
  type Answer,
  type Command,
  COMMANDS,
  type Given,
  type StackFacts,
  stackFactsSchema,
  type TestStackOptions,
} from "./stack-control.ts";

/** The stack of a test file. Nothing in it is open between two tests, so that none can leak into the next. */
export interface TestStack extends StackFacts {
  readonly simulator: SimulatorControl;
  /** Runs the sweep once, now; by itself it never runs. Fails when it fails. */
  sweep(): Promise<void>;
  /** Runs a schedule of the database once, now. Fails when it fails. */
  runSchedule(name: string): Promise<void>;
  /** Holds back what the database sends, once what is under way is delivered. */
  pauseNet(): Promise<void>;
  resumeNet(): Promise<void>;
  /** Sends a signal to every process of a function; with SIGKILL they are gone when this resolves. */
  kill(slug: string, signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Lets so many milliseconds pass for the processes of all functions, by their clocks and their supervisors'. */
  advance(milliseconds: number): Promise<void>;
  /** Process ids of a function. */
  pids(slug: string): Promise<number[]>;
  /** A user token of the test's own making, signed as the project signs. */
  signToken(claims: Record<string, string | number>): Promise<string>;
  /** One statement as `postgres`, on a connection of its own: to back-date, to spoil, to look. */
  sql<T extends postgres.MaybeRow>(
    statement: TemplateStringsArray,
    ...values: postgres.SerializableParameter[]
  ): Promise<T[]>;
  /** A connection as `postgres` for as long as the block that holds it. */
  connect(): AsyncDisposable & { sql: postgres.Sql };
  /** Sends a command to the program that holds the stack; see wait-for.ts for the waiting ones. */
  ask<C extends Command>(command: C, given: Given<C>): Promise<Answer<C>>;
}

const host = fromFileUrl(new URL("./stack-host.ts", import.meta.url));

/**
 * Starts a stack before the first test of the calling file and stops it after the last; each test finds the simulators
 * as after their start, and deliveries going. The answer gives the stack to tests and throws outside of them.
 */
export function useStack(
  options: TestStackOptions | (() => Promise<TestStackOptions>) = {},
): () => TestStack {
  let running: { stack: TestStack; stop(): Promise<void> } | undefined;
  Deno.test.beforeAll(async () => {
    running = await start(
      typeof options === "function" ? await options() : options,
    );
  });
  Deno.test.beforeEach(async () => {
    await running?.stack.resumeNet();
    await running?.stack.simulator.reset();
  });
  Deno.test.afterAll(async () => {
    await running?.stop();
  });
  return () => {
    if (running === undefined) throw new Error("the stack is not started");
    return running.stack;
  };
}

async function start(
  options: TestStackOptions,
): Promise<{ stack: TestStack; stop(): Promise<void> }> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", host, JSON.stringify(options)],
    // Its end of this pipe tells it to stop, also when this process is killed.
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = process.stdout.getReader();
  const decoder = new TextDecoder();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await output.read();
    if (done) throw new Error("the stack did not start; see above");
    line += decoder.decode(value, { stream: true });
  }
  const facts = stackFactsSchema.parse(JSON.parse(line));
  return {
    stack: createStack(facts),
    async stop() {
      await process.stdin.close();
      await output.cancel();
      const { code } = await process.status;
      if (code !== 0) throw new Error(`the stack ended with code ${code}`);
    },
  };
}

function createStack(facts: StackFacts): TestStack {
  async function ask<C extends Command>(
    command: C,
    given: Given<C>,
  ): Promise<Answer<C>>;
  async function ask(command: Command, given: unknown): Promise<unknown> {
    const response = await fetch(`${facts.controlUrl}${command}`, {
      method: "POST",
      body: JSON.stringify(given),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${command}: ${text}`);
    return COMMANDS[command].answer.parse(JSON.parse(text));
  }
  async function runSchedule(name: string): Promise<void> {
    const { status, message } = await ask("/cron/run", name);
    if (status === "failed") throw new Error(`${name} failed: ${message}`);
  }
  const connect = () => {
    const sql = postgres(facts.dbUrl, { max: 1, onnotice: () => {} });
    return {
      sql,
      [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
    };
  };
  return {
    ...facts,
    simulator: simulatorControl(facts.simulatorUrl),
    sweep: () => runSchedule("sweep-ai-jobs"),
    runSchedule,
    async advance(milliseconds) {
      await ask("/functions/advance", milliseconds);
    },
    async pauseNet() {
      await ask("/net/pause", null);
    },
    async resumeNet() {
      await ask("/net/resume", null);
    },
    async kill(slug, signal) {
      await ask("/functions/kill", { slug, signal });
    },
    pids: (slug) => ask("/functions/pids", slug),
    signToken: (claims) => ask("/tokens", claims),
    async sql<T extends postgres.MaybeRow>(
      statement: TemplateStringsArray,
      ...values: postgres.SerializableParameter[]
    ): Promise<T[]> {
      await using connection = connect();
      // A plain array: postgres.js adds which connection it came from, so that equal rows would not be equal.
      return [...await connection.sql<T[]>(statement, ...values)];
    },
    connect,
    ask,
  };
}
