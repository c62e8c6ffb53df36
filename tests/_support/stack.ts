/** An embedded stack for all tests of a file: one that the runner of the ring shares among files, or its own. */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { TEST_STACKS_VARIABLE } from "../../dev/tools/test-stacks.ts";
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

/** The stack of a test file. It keeps nothing open between tests, so nothing can leak into the next one. */
export interface TestStack extends StackFacts {
  readonly simulator: SimulatorControl;
  /** Runs the sweep once, now; it never runs by itself. Throws when it fails. */
  sweep(): Promise<void>;
  /** Runs a schedule of the database once, now. Throws when it fails. */
  runSchedule(name: string): Promise<void>;
  /** Pauses dispatches of the database after the current ones are delivered. */
  pauseNet(): Promise<void>;
  resumeNet(): Promise<void>;
  /** Sends a signal to every process of a function; with SIGKILL they have ended when this resolves. */
  kill(slug: string, signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /**
   * Kills all functions. Those that start from now on have these variables in addition to those of {@link useStack}, and
   * not those of an earlier restart.
   */
  restart(env: Record<string, string>): Promise<void>;
  /** Advances the clocks of all functions' processes and of their supervisors. */
  advance(milliseconds: number): Promise<void>;
  /** Process ids of a function. */
  pids(slug: string): Promise<number[]>;
  /** A user token with the given claims, signed with the project's key. */
  signToken(claims: Record<string, string | number>): Promise<string>;
  /** Runs one statement as `postgres` on a separate connection: to back-date, damage or read rows. */
  sql<T extends postgres.MaybeRow>(
    statement: TemplateStringsArray,
    ...values: postgres.SerializableParameter[]
  ): Promise<T[]>;
  /** A connection as `postgres` for as long as the block that holds it. */
  connect(): AsyncDisposable & { sql: postgres.Sql };
  /** Sends a command to the program that holds the stack; wait-for.ts has those that wait. */
  ask<C extends Command>(command: C, given: Given<C>): Promise<Answer<C>>;
}

const host = fromFileUrl(new URL("./stack-host.ts", import.meta.url));

/**
 * Provides a stack to all tests of the calling file, and to no other file meanwhile. Its data, functions and log are
 * new; before each test the simulators are reset and deliveries resumed. The returned function gives the stack to
 * tests, and throws outside them.
 */
export function useStack(
  options: TestStackOptions | (() => Promise<TestStackOptions>) = {},
): () => TestStack {
  let running: { stack: TestStack; leave(): Promise<void> } | undefined;
  Deno.test.beforeAll(async () => {
    running = await take(
      typeof options === "function" ? await options() : options,
    );
  });
  Deno.test.beforeEach(async () => {
    await running?.stack.resumeNet();
    await running?.stack.simulator.reset();
  });
  Deno.test.afterAll(async () => {
    await running?.leave();
  });
  return () => {
    if (running === undefined) throw new Error("the stack is not started");
    return running.stack;
  };
}

async function take(
  { functionsDeno, ...options }: TestStackOptions,
): Promise<{ stack: TestStack; leave(): Promise<void> }> {
  const given = Deno.env.get(TEST_STACKS_VARIABLE);
  if (given === undefined || functionsDeno !== undefined) {
    const { stack, stop } = await startOwnStack(
      functionsDeno === undefined ? {} : { functionsDeno },
    );
    await stack.ask("/claim", options);
    return { stack, leave: stop };
  }
  for (const facts of z.array(stackFactsSchema).parse(JSON.parse(given))) {
    const stack = createStack(facts);
    if (!await stack.ask("/claim", options)) continue;
    await stack.simulator.reset();
    return {
      stack,
      async leave() {
        await stack.ask("/release", null);
      },
    };
  }
  throw new Error(
    "more test files run at the same time than there are shared stacks",
  );
}

/** Starts a stack that no other file uses; it accepts no function request until it is claimed. */
export async function startOwnStack(
  options: Pick<TestStackOptions, "functionsDeno"> = {},
): Promise<{ stack: TestStack; stop(): Promise<void> }> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", host, JSON.stringify(options)],
    // The program stops when this pipe closes, so also when this process is killed.
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
  return {
    stack: createStack(stackFactsSchema.parse(JSON.parse(line))),
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
    async restart(env) {
      await ask("/functions/restart", env);
    },
    pids: (slug) => ask("/functions/pids", slug),
    signToken: (claims) => ask("/tokens", claims),
    async sql<T extends postgres.MaybeRow>(
      statement: TemplateStringsArray,
      ...values: postgres.SerializableParameter[]
    ): Promise<T[]> {
      await using connection = connect();
      // A plain array, because postgres.js adds the connection to its own, so that equal rows would differ.
      return [...await connection.sql<T[]>(statement, ...values)];
    },
    connect,
    ask,
  };
}
