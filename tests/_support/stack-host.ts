/**
 * The program that holds a stack for test files: it prints one line of facts, obeys commands over HTTP, and ends with
 * its standard input. A separate program, because background work of the stack would otherwise count as a leak of
 * the current test, and because one stack serves many files: each claims it and gets it in its initial state.
 */
import postgres from "postgres";
import { z } from "zod";
import type { LogRecord } from "../../dev/stack/console/log-book.ts";
import type { FunctionOptions } from "../../dev/stack/functions/settings.ts";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import {
  type Command,
  COMMANDS,
  isCommand,
  type JobEvent,
  jobEventSchema,
  type LogLine,
  type StackFacts,
  testStackOptionsSchema,
} from "./stack-control.ts";
import { DataReset } from "./stack-reset.ts";

/** A list that wakes its waiters when something is added. */
class Growing<T> {
  readonly #all: T[] = [];
  readonly #waiting = new Set<() => void>();

  clear(): void {
    this.#all.length = 0;
  }

  add(one: T): void {
    this.#all.push(one);
    for (const check of this.#waiting) check();
  }

  /** The items that match, once there are `atLeast`, or after `withinMs`. */
  async matching(
    matches: (one: T) => boolean,
    atLeast: number,
    withinMs: number,
  ): Promise<{ found: T[]; reached: boolean }> {
    const found = () => this.#all.filter(matches);
    if (found().length < atLeast) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const check = () => {
        if (found().length >= atLeast) resolve();
      };
      const timer = setTimeout(resolve, withinMs);
      this.#waiting.add(check);
      await promise;
      clearTimeout(timer);
      this.#waiting.delete(check);
    }
    return { found: found(), reached: found().length >= atLeast };
  }
}

/** Announces every row that is added to the timeline, by NOTIFY, so that a test can wait without polling. */
const ANNOUNCE = `
  create schema test_support;
  create function test_support.announce() returns trigger language plpgsql set search_path = '' as $$
  begin
    perform pg_notify('test_ai_job_events', jsonb_build_object(
      'job_id', new.job_id, 'seq', new.seq, 'event', new.event, 'attempt', new.attempt, 'data', new.data
    )::text);
    return null;
  end;
  $$;
  create trigger announce after insert on public.ai_job_events
  for each row execute function test_support.announce();`;

async function followEvents(
  adminDbUrl: string,
): Promise<{ events: Growing<JobEvent>; sql: postgres.Sql }> {
  const events = new Growing<JobEvent>();
  const sql = postgres(adminDbUrl, { max: 1, onnotice: () => {} });
  await sql.unsafe(ANNOUNCE);
  await sql.listen("test_ai_job_events", (payload) => {
    events.add(jobEventSchema.parse(JSON.parse(payload)));
  });
  return { events, sql };
}

const logFields = z.record(z.string(), z.unknown());

function toLogLine({ source, stream, line }: LogRecord): LogLine {
  if (!line.startsWith("{")) return { source, stream, line, fields: null };
  try {
    const fields = logFields.safeParse(JSON.parse(line));
    return { source, stream, line, fields: fields.data ?? null };
  } catch {
    return { source, stream, line, fields: null };
  }
}

/** A command that parses its own argument. */
function command<Given extends z.ZodType, Answer extends z.ZodType>(
  spec: { given: Given; answer: Answer },
  run: (given: z.output<Given>) => z.input<Answer> | Promise<z.input<Answer>>,
): (body: unknown) => Promise<unknown> {
  return async (body) => await run(spec.given.parse(body));
}

/** Lends the stack to one test file after another, each time in its initial state. */
class Tenancy {
  readonly #stack: Stack;
  readonly #data: DataReset;
  readonly #onNew: () => void;
  #isTaken = false;
  /** Whether no file has claimed it yet. */
  #isNew = true;
  #options: FunctionOptions = {};

  constructor(stack: Stack, data: DataReset, onNew: () => void) {
    this.#stack = stack;
    this.#data = data;
    this.#onNew = onNew;
  }

  /** False when another file has the stack. */
  async claim(options: FunctionOptions): Promise<boolean> {
    if (this.#isTaken) return false;
    this.#isTaken = true;
    try {
      const { functions, net, realtime } = this.#stack;
      await functions.halt();
      if (!this.#isNew) {
        // The functions are halted before: a delivery waits for the response of one.
        await net.pause();
        realtime.pause();
        await this.#data.run();
        realtime.resume();
        this.#onNew();
        net.resume();
      }
      this.#isNew = false;
      this.#options = options;
      functions.resume(this.#stack.functionSettings(options));
      return true;
    } catch (error) {
      this.#isTaken = false;
      throw error;
    }
  }

  /** Restarts the functions, with these variables in addition to those of the claim. */
  async restart(env: Record<string, string>): Promise<void> {
    const { functions } = this.#stack;
    await functions.halt();
    functions.resume(
      this.#stack.functionSettings({
        ...this.#options,
        env: { ...this.#options.env, ...env },
      }),
    );
  }

  release(): void {
    this.#isTaken = false;
  }
}

function createCommands(
  stack: Stack,
  tenancy: Tenancy,
  events: Growing<JobEvent>,
  lines: Growing<LogLine>,
): Record<Command, (body: unknown) => Promise<unknown>> {
  return {
    "/claim": command(COMMANDS["/claim"], (options) => tenancy.claim(options)),
    "/release": command(COMMANDS["/release"], () => {
      tenancy.release();
      return null;
    }),
    "/net/pause": command(COMMANDS["/net/pause"], async () => {
      await stack.net.pause();
      return null;
    }),
    "/net/resume": command(COMMANDS["/net/resume"], () => {
      stack.net.resume();
      return null;
    }),
    "/functions/kill": command(
      COMMANDS["/functions/kill"],
      async ({ slug, signal }) => {
        await stack.functions.kill(slug, signal);
        return null;
      },
    ),
    "/functions/restart": command(
      COMMANDS["/functions/restart"],
      async (env) => {
        await tenancy.restart(env);
        return null;
      },
    ),
    "/functions/pids": command(
      COMMANDS["/functions/pids"],
      (slug) => stack.functions.processes(slug).map(({ pid }) => pid),
    ),
    "/functions/origin": command(
      COMMANDS["/functions/origin"],
      async (slug) => (await stack.functions.process(slug)).origin,
    ),
    "/functions/advance": command(
      COMMANDS["/functions/advance"],
      async (milliseconds) => {
        await stack.functions.advance(milliseconds);
        return null;
      },
    ),
    "/cron/run": command(
      COMMANDS["/cron/run"],
      (name) => stack.cron.runNow(name),
    ),
    "/realtime/pause": command(COMMANDS["/realtime/pause"], () => {
      stack.realtime.pause();
      return null;
    }),
    "/realtime/resume": command(COMMANDS["/realtime/resume"], () => {
      stack.realtime.resume();
      return null;
    }),
    "/realtime/drop": command(COMMANDS["/realtime/drop"], (reason) => {
      stack.realtime.dropChannels(reason);
      return null;
    }),
    "/tokens": command(
      COMMANDS["/tokens"],
      (claims) => stack.signToken(claims),
    ),
    "/events": command(
      COMMANDS["/events"],
      async ({ job_id, events: names, nth, within_ms }) => {
        const ofJob = (event: JobEvent) => event.job_id === job_id;
        const { reached } = await events.matching(
          (event) => ofJob(event) && names.includes(event.event),
          nth,
          within_ms,
        );
        const { found } = await events.matching(ofJob, 0, 0);
        return { events: found.sort((a, b) => a.seq - b.seq), reached };
      },
    ),
    "/logs": command(
      COMMANDS["/logs"],
      async ({ source, text, fields, at_least, within_ms }) => {
        const wanted = Object.entries(fields);
        const { found, reached } = await lines.matching(
          (line) =>
            (source === null || line.source === source) &&
            line.line.includes(text) &&
            wanted.every(([name, value]) => line.fields?.[name] === value),
          at_least,
          within_ms,
        );
        return { lines: found, reached };
      },
    ),
  };
}

async function main(): Promise<void> {
  const { functionsDeno } = testStackOptionsSchema.parse(
    JSON.parse(Deno.args[0] ?? "{}"),
  );
  await using stack = await startStack({
    ...(functionsDeno === undefined ? {} : { functionsDeno }),
    ephemeral: true,
    bootFunctions: "on-demand",
  });
  // Only tests run the sweep: a scheduled one would hide that nothing else delivers a job.
  await stack.cron.pause();
  const lines = new Growing<LogLine>();
  for (const record of stack.logs.records()) lines.add(toLogLine(record));
  stack.logs.watch((record) => lines.add(toLogLine(record)));
  const { events, sql } = await followEvents(stack.adminDbUrl);

  const tenancy = new Tenancy(stack, await DataReset.remember(sql), () => {
    events.clear();
    lines.clear();
  });
  const commands = createCommands(stack, tenancy, events, lines);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (!isCommand(pathname)) return new Response(pathname, { status: 404 });
      try {
        return Response.json(await commands[pathname](await request.json()));
      } catch (error) {
        const reason = error instanceof Error ? error.stack : String(error);
        return new Response(reason ?? "", { status: 500 });
      }
    },
  );
  const facts: StackFacts = {
    apiUrl: stack.apiUrl,
    dbUrl: stack.dbUrl,
    adminDbUrl: stack.adminDbUrl,
    publishableKey: stack.publishableKey,
    secretKey: stack.secretKey,
    simulatorUrl: stack.simulatorUrl,
    dispatchSecret: stack.dispatchSecret,
    controlUrl: `http://127.0.0.1:${server.addr.port}`,
  };
  await Deno.stdout.write(
    new TextEncoder().encode(JSON.stringify(facts) + "\n"),
  );
  const endOfInput = async () => {
    for await (const _ of Deno.stdin.readable);
  };
  await Promise.race([endOfInput(), stack.crashed]);
  await Promise.all([server.shutdown(), sql.end({ timeout: 1 })]);
}

await main();
// A connection that a client holds open must not keep the program alive.
Deno.exit(0);
