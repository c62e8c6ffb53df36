/** The environment of all contenders: one embedded stack with its Postgres, and one simulated provider. */
import { fromFileUrl, join } from "@std/path";
import postgres from "postgres";
import { z } from "zod";
import { Program } from "./processes/program.ts";

/** Lifetime of an isolate in milliseconds: the longest of the hosted plans. */
export const WALL_CLOCK_MS = 400_000;

/** The most that a function accepts as WORKER_CONCURRENCY. */
export const MAX_SLOTS = 50;

/** Clients that create jobs at the same time. */
export const CREATORS = 16;

/**
 * Idle connections of contenders are closed after this time: the server has 150, and all contenders together would use
 * more.
 */
export const IDLE_SECONDS = 3;

/** The recording that every job of every contender sends. */
export const RECORDING = fromFileUrl(
  new URL("../tests/fixtures/recordings/speech.webm", import.meta.url),
);

const stackFactsSchema = z.object({
  apiUrl: z.string(),
  dbUrl: z.string(),
  adminDbUrl: z.string(),
  publishableKey: z.string(),
  secretKey: z.string(),
  dispatchSecret: z.string(),
});

/** Addresses and keys of the stack. */
export type StackFacts = z.infer<typeof stackFactsSchema>;

const ledgerSchema = z.object({
  created: z.number(),
  asked_twice: z.number(),
  billed_twice: z.number(),
});

/** The provider, for the account of one contender. */
export interface ProviderAccount {
  url: string;
  /** Resets the account. */
  reset(delayMs: number): Promise<void>;
  /** Finishes all open calls immediately, even if the client has disconnected; later calls take `delayMs`. */
  release(delayMs: number): Promise<void>;
  /** True as soon as `count` requests wait for their response, false after `withinMs`. */
  waitOpen(atLeast: number, withinMs: number): Promise<boolean>;
  /** The same for created objects. */
  waitCreated(atLeast: number, withinMs: number): Promise<boolean>;
  /** The number of objects, and of jobs with more than one request or more than one object. */
  ledger(): Promise<z.infer<typeof ledgerSchema>>;
}

/** The running environment. */
export interface Environment extends AsyncDisposable {
  facts: StackFacts;
  stack: Program;
  pids: { provider: number; stack: number };
  /** A superuser on the database `postgres`, used only to observe; its statements are not counted. */
  control: postgres.Sql;
  postgresVersion: string;
  account(name: string): ProviderAccount;
  /** The URL of another database of the same server, as its owner `postgres` or as the superuser of `control`. */
  urlOf(database: string, role: "postgres" | "control"): string;
}

async function makeDataDir(): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "edge-ai-jobs-bench-" });
  // The server's user must be able to access it.
  await Deno.chmod(dir, 0o755);
  return dir;
}

async function removeDataDir(dir: string): Promise<void> {
  const cluster = join(dir, "postgres");
  const { isSymlink } = await Deno.lstat(cluster);
  if (isSymlink) {
    await Deno.remove(await Deno.readLink(cluster), { recursive: true });
  }
  await Deno.remove(dir, { recursive: true });
}

/**
 * Starts the stack with a data folder, so that Postgres is durable (fsync, synchronous commit and full pages as by
 * default), and the provider. Disposing removes everything.
 */
export async function startEnvironment(): Promise<Environment> {
  await using parts = new AsyncDisposableStack();
  const provider = await Program.start(
    "./provider.ts",
    {},
    z.object({ origin: z.string() }),
  );
  parts.use(provider.program);
  const dataDir = await makeDataDir();
  parts.defer(() => removeDataDir(dataDir));
  const account = accounts(provider.program, provider.facts.origin);
  const { program: stack, facts } = await Program.start("./stack-host.ts", {
    dataDir,
    wallClockMs: WALL_CLOCK_MS,
    env: {
      ELEVENLABS_BASE_URL: account("embedded").url,
      ELEVENLABS_API_KEY: "benchmark",
      WORKER_CONCURRENCY: String(MAX_SLOTS),
      ISOLATE_WALL_CLOCK: String(WALL_CLOCK_MS / 1000),
    },
  }, stackFactsSchema);
  parts.use(stack);
  await stack.call("pause", null, z.null());

  const password = crypto.randomUUID();
  const admin = postgres(facts.adminDbUrl, { max: 1, onnotice: () => {} });
  await admin.unsafe(
    `create role bench superuser login password '${password}'`,
  );
  await admin.end();
  const urlOf = (database: string, role: "postgres" | "control") => {
    const url = new URL(facts.dbUrl);
    url.pathname = `/${database}`;
    if (role === "control") {
      url.username = "bench";
      url.password = password;
    }
    return url.href;
  };
  const control = postgres(urlOf("postgres", "control"), {
    max: 4,
    onnotice: () => {},
  });
  parts.defer(() => control.end({ timeout: 1 }));
  const [version] = await control`show server_version`;
  const running = parts.move();
  return {
    facts,
    stack,
    pids: { provider: provider.program.pid, stack: stack.pid },
    control,
    postgresVersion: String(version?.["server_version"]),
    account,
    urlOf,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function accounts(
  provider: Program,
  origin: string,
): (name: string) => ProviderAccount {
  return (account) => ({
    url: `${origin}/${account}`,
    async reset(delay_ms) {
      await provider.call("reset", { account, delay_ms }, z.null());
    },
    async release(delay_ms) {
      await provider.call("release", { account, delay_ms }, z.null());
    },
    waitOpen: (at_least, within_ms) =>
      provider.call("wait_open", { account, at_least, within_ms }, z.boolean()),
    waitCreated: (at_least, within_ms) =>
      provider.call(
        "wait_created",
        { account, at_least, within_ms },
        z.boolean(),
      ),
    ledger: () => provider.call("ledger", { account }, ledgerSchema),
  });
}
