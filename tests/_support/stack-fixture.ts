/**
 * A small Supabase project in a temporary folder, and the stack as a black box on it: `deno task start` as a child
 * process. Nothing here imports source of the stack.
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { parse } from "dotenv";

const repository = fromFileUrl(new URL("../../", import.meta.url));

const config = `
project_id = "fixture"
[api]
schemas = ["public"]
extra_search_path = ["public", "extensions"]
[storage]
file_size_limit = "4MiB"
[functions.hello]
verify_jwt = true
[functions.hook]
verify_jwt = false
[functions.off]
enabled = false
`;

const schema = `
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists supabase_vault with schema vault;

create table public.notes (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  text text not null check (length(text) > 0),
  created_at timestamptz not null default now()
);
alter table public.notes enable row level security;
grant select, delete on public.notes to authenticated;
grant insert (text), update (text) on public.notes to authenticated;
grant select, insert, update, delete on public.notes to service_role;
create policy "people see their notes" on public.notes
  for select to authenticated using (user_id = (select auth.uid()));
create policy "people write their notes" on public.notes
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "people change their notes" on public.notes
  for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "people delete their notes" on public.notes
  for delete to authenticated using (user_id = (select auth.uid()));

create table public.ungranted (id int primary key);

create function public.whoami() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'uid', auth.uid(), 'role', auth.role(), 'user', current_user, 'login', session_user,
    'timeout', current_setting('statement_timeout'), 'claims', auth.jwt()
  )
$$;
grant execute on function public.whoami() to anon, authenticated, service_role;

alter role service_role set statement_timeout = '30s';

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('private', 'private', false, 1048576, array['audio/wav', 'text/plain']),
  ('public', 'public', true, null, null)
on conflict (id) do update set public = excluded.public;
create policy "people read their files" on storage.objects
  for select to authenticated
  using (bucket_id = 'private' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "people add their files" on storage.objects
  for insert to authenticated
  with check (bucket_id in ('private', 'public') and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "people change their files" on storage.objects
  for update to authenticated
  using (bucket_id = 'private' and (storage.foldername(name))[1] = (select auth.uid())::text)
  with check (bucket_id = 'private' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "people delete their files" on storage.objects
  for delete to authenticated
  using (bucket_id = 'private' and (storage.foldername(name))[1] = (select auth.uid())::text);
`;

const hello = `
import { greet } from "greeting";
export default {
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    return Response.json({
      greeting: greet("fixture"),
      path: url.pathname,
      query: url.search,
      method: request.method,
      apikey: request.headers.get("apikey"),
      authorization: request.headers.get("authorization"),
      body: await request.text(),
      env: Object.keys(Deno.env.toObject()).sort(),
    }, { headers: { "access-control-allow-origin": "*" } });
  },
};
`;

const hook = `
let left = "";
const held: unknown[] = [];
let sum = 0;
const finish = Promise.withResolvers<void>();
/** Uses some milliseconds of processor time. */
const work = () => { for (let i = 0; i < 5_000_000; i++) sum += i % 7; };
const pause = (_after?: void) => new Promise((resolve) => setTimeout(resolve, 10));
/** Pauses until the test lets it continue, unless its end is announced. */
const ask = async (url: URL) => {
  const gate = url.searchParams.get("gate");
  if (gate === null || left !== "") return await pause();
  await (await fetch(gate)).body?.cancel();
};
/** Uses at most some hundredths of a second of processor time, however fast the machine is. */
const workBriefly = () => { const end = performance.now() + 30; do work(); while (performance.now() < end); };
addEventListener("beforeunload", (event) => { left = JSON.stringify((event as CustomEvent).detail); console.log("leaving " + left); });
Deno.serve({ port: 9999 }, async (request) => {
  const url = new URL(request.url);
  if (url.pathname.endsWith("/crash")) Deno.exit(3);
  if (url.pathname.endsWith("/never")) {
    console.log("never begun");
    await new Promise(() => {});
  }
  if (url.pathname.endsWith("/work")) work();
  if (url.pathname.endsWith("/load/endless")) for (;;) work();
  if (url.pathname.endsWith("/load/in-parts")) for (;;) { workBriefly(); await ask(url); }
  if (url.pathname.endsWith("/load/in-background")) {
    EdgeRuntime.waitUntil((async () => { await pause(); for (;;) work(); })());
    return new Response(null, { status: 202 });
  }
  if (url.pathname.endsWith("/memory/at-once")) {
    const parts = Array.from({ length: 40 }, () => new Uint8Array(10_000_000).fill(1));
    if (url.search === "?kept") await new Promise(() => {});
    return Response.json(parts.length);
  }
  if (url.pathname.endsWith("/memory/in-parts")) {
    for (;;) { held.push(new Uint8Array(1_000_000).fill(1)); await ask(url); }
  }
  if (url.pathname.endsWith("/memory/of-objects")) for (;;) held.push(Array.from({ length: 1000 }, () => ({ held })));
  if (url.pathname.endsWith("/memory/half")) held.push(new Uint8Array(140_000_000).fill(1));
  if (url.pathname.endsWith("/age")) return Response.json({ age: performance.now(), origin: performance.timeOrigin });
  if (url.pathname.endsWith("/background/until-finished")) {
    EdgeRuntime.waitUntil((async () => { await finish.promise; console.log("background done"); })());
    console.log("background begun");
    return new Response(null, { status: 202 });
  }
  if (url.pathname.endsWith("/background/finish")) {
    finish.resolve();
    return new Response(null, { status: 202 });
  }
  if (url.pathname.endsWith("/background")) {
    EdgeRuntime.waitUntil((async () => { await new Promise((r) => setTimeout(r, 200)); console.log("background done"); })());
    return new Response(null, { status: 202 });
  }
  if (url.pathname.endsWith("/forbidden")) {
    const tried = await Promise.allSettled([
      Deno.writeTextFile("/tmp/not-allowed", "x"),
      (async () => new Deno.Command("id").output())(),
    ]);
    return Response.json(tried.map((one) => one.status));
  }
  if (url.pathname.endsWith("/stream")) return new Response(request.body);
  console.log("hook called " + request.method);
  return Response.json({ id: Deno.env.get("SB_EXECUTION_ID"), headers: Object.fromEntries(request.headers), body: await request.text() });
});
`;

/** The files of the fixture project, by path. */
export const fixtureFiles: Record<string, string> = {
  "supabase/config.toml": config,
  "supabase/migrations/20260101000000_schema.sql": schema,
  "supabase/functions/hello/index.ts": hello,
  "supabase/functions/hello/deno.json": JSON.stringify({
    imports: { greeting: "../_shared/greeting.ts" },
  }),
  "supabase/functions/_shared/greeting.ts":
    "export const greet = (who: string): string => `hello ${who}`;\n",
  "supabase/functions/hook/index.ts": hook,
};

/** A project folder that is removed when disposed of. */
export interface FixtureProject extends AsyncDisposable {
  dir: string;
}

/** Creates a temporary project from the fixture's files; `files` adds or replaces some. */
export async function makeProject(
  files: Record<string, string> = {},
): Promise<FixtureProject> {
  const dir = await Deno.makeTempDir({ prefix: "stack-fixture-" });
  // Under root, Postgres runs as another user, who must be able to reach data folders in it. One test undoes this.
  await Deno.chmod(dir, 0o755);
  for (
    const [path, text] of Object.entries({ ...fixtureFiles, ...files })
  ) {
    await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
    await Deno.writeTextFile(join(dir, path), text);
  }
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** The variables that `--write-env` writes. */
export interface StackEnv {
  API_URL: string;
  DB_URL: string;
  PUBLISHABLE_KEY: string;
  SECRET_KEY: string;
  SIMULATOR_URL: string;
}

/** A running `deno task start`. */
export interface StackChild extends AsyncDisposable {
  pid: number;
  env: StackEnv;
  /** The output so far, of both streams. */
  output(): string;
  kill(signal: Deno.Signal): void;
  /** Resolves with the exit code once the process has ended. */
  exited: Promise<number>;
}

/** A `deno task start` that ended before it was ready. */
export class StackDidNotStart extends Error {
  constructor(
    readonly code: number,
    readonly stdout: string,
    readonly stderr: string,
  ) {
    super(`the stack ended with code ${code}: ${stderr}`);
  }
}

function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
  let text = "";
  const done = (async () => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
    }
  })();
  return { text: () => text, done };
}

/** The banner is printed after the env file is written, and its last line says how to stop the stack. */
const BANNER_END = /Ctrl-C stops it.*\n/;

class NotAnEnvFile extends Error {}

function parseEnvFile(text: string): StackEnv {
  const values = parse(text);
  const value = (name: string) => {
    const found = values[name];
    if (found === undefined) throw new NotAnEnvFile(name);
    return found;
  };
  return {
    API_URL: value("API_URL"),
    DB_URL: value("DB_URL"),
    PUBLISHABLE_KEY: value("PUBLISHABLE_KEY"),
    SECRET_KEY: value("SECRET_KEY"),
    SIMULATOR_URL: value("SIMULATOR_URL"),
  };
}

/** The command that `deno task start` runs, read from deno.json so that the two cannot differ. */
async function startTask(): Promise<string[]> {
  const config: { tasks: { start: string } } = JSON.parse(
    await Deno.readTextFile(join(repository, "deno.json")),
  );
  const [, ...args] = config.tasks.start.split(" ");
  return args;
}

/**
 * Starts `deno task start` on a project, with port 0 unless the arguments name one, and resolves when it has
 * written its env file and printed its banner. Throws {@link StackDidNotStart} when it ends instead.
 */
export async function startChild(
  projectDir: string,
  args: string[] = [],
  options: {
    simulators?: boolean;
    /** Whether it serves the page. Bundling the page takes as long as starting everything else. */
    page?: boolean;
    env?: Record<string, string>;
    /** Path of the env file, which then remains; by default a temporary one. */
    envFile?: string;
  } = {},
): Promise<StackChild> {
  const folder = await Deno.makeTempDir({ prefix: "stack-env-" });
  const envFile = options.envFile ?? join(folder, "stack.env");
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...await startTask(),
      "--project",
      projectDir,
      "--write-env",
      envFile,
      ...(args.includes("--port") ? [] : ["--port", "0"]),
      ...(options.simulators ? [] : ["--no-simulators"]),
      ...(options.page ? [] : ["--no-page"]),
      ...args,
    ],
    cwd: repository,
    env: { NO_COLOR: "1", ...options.env },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdout = collect(process.stdout), stderr = collect(process.stderr);
  const exited = (async () => {
    const { code } = await process.status;
    return code;
  })();
  const over = exited.then(async (code) => {
    await Promise.all([stdout.done, stderr.done]);
    throw new StackDidNotStart(code, stdout.text(), stderr.text());
  });
  over.catch(() => {});
  const env = await appears(
    async () => {
      const found = parseEnvFile(await Deno.readTextFile(envFile));
      return BANNER_END.test(stdout.text()) ? found : undefined;
    },
    exited,
  ).finally(
    () => Deno.remove(folder, { recursive: true }),
  );
  if (env === undefined) return await over;
  const kill = (signal: Deno.Signal) => {
    try {
      process.kill(signal);
    } catch {
      // The process has ended.
    }
  };
  return {
    pid: process.pid,
    env,
    output: () => stdout.text() + stderr.text(),
    kill,
    exited,
    async [Symbol.asyncDispose]() {
      kill("SIGTERM");
      await exited;
      await Promise.all([stdout.done, stderr.done]);
    },
  };
}

/** Waits for the env file, which appears complete, and the banner. Undefined when the stack ends before. */
async function appears(
  read: () => Promise<StackEnv | undefined>,
  exited: Promise<number>,
): Promise<StackEnv | undefined> {
  let isOver = false;
  exited.then(() => isOver = true);
  while (!isOver) {
    try {
      const found = await read();
      if (found !== undefined) return found;
    } catch (error) {
      const isOther = error instanceof NotAnEnvFile; // left by an earlier run
      if (!isOther && !(error instanceof Deno.errors.NotFound)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return undefined;
}

/** Whether anything listens on a port of this machine. */
export async function answersOn(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  try {
    (await Deno.connect({ hostname, port: Number(port) })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

/** Waits until `test` holds; fails after `seconds` with what it was waiting for. */
export async function until(
  what: string,
  test: () => boolean | Promise<boolean>,
  seconds = 60,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await test())) {
    if (Date.now() > deadline) {
      throw new Error(`${what}: not within ${seconds} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
