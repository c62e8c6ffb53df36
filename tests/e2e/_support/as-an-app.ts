/**
 * The project as an app sees it: the addresses and keys of `deno task start`, supabase-js, and the client. Nothing here
 * knows the source of the functions.
 */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { fromFileUrl, join } from "@std/path";
import {
  type AiJobs,
  createAiJobs,
  type UploadedFile,
} from "../../../client/mod.ts";

const repository = fromFileUrl(new URL("../../../", import.meta.url));

/** What `deno task start --write-env` writes. */
export interface ProjectEnv {
  API_URL: string;
  DB_URL: string;
  PUBLISHABLE_KEY: string;
  SECRET_KEY: string;
  SIMULATOR_URL: string;
}

/** A signed-in user of the app. Disposing closes its Realtime connections. */
export interface AppUser extends AsyncDisposable {
  id: string;
  client: SupabaseClient;
  jobs: AiJobs;
}

/** A task of this repository, started from the command line. */
export function startTask(
  args: string[],
  options: {
    stdout: "piped" | "null";
    stderr?: "piped";
    env?: Record<string, string>;
  },
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", ...args],
    cwd: repository,
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: options.stdout,
    stderr: options.stderr ?? "inherit",
  }).spawn();
}

/** A running project, in a separate process. */
export interface RunningProject {
  env: ProjectEnv;
  /** Stops it as Ctrl-C does; rejects when it does not exit with code 0. */
  stop(): Promise<void>;
}

/** Starts a project with `deno task start`: this repository's, or that of the folder given. */
export async function startProject(folder?: string): Promise<RunningProject> {
  const dir = await Deno.makeTempDir({ prefix: "e2e-" });
  const envFile = join(dir, "project.env");
  const process = startTask([
    "start",
    "--ephemeral",
    "--boot-on-demand",
    // The browser ring tests the page; here it would take a second of processor time at each start.
    "--no-page",
    "--write-env",
    envFile,
    ...(folder === undefined ? [] : ["--project", folder]),
  ], { stdout: "null" });
  const env = await appearing(envFile, process);
  await Deno.remove(dir, { recursive: true });
  return {
    env,
    async stop() {
      process.kill("SIGINT");
      const { code } = await process.status;
      if (code !== 0) {
        throw new Error(`deno task start ended with code ${code}`);
      }
    },
  };
}

/**
 * Starts the project before the first test of the calling file with `deno task start`, and ends it as Ctrl-C does after
 * the last. The returned function gives tests its addresses and keys.
 */
export function useProject(): () => ProjectEnv {
  let project: RunningProject | undefined;
  Deno.test.beforeAll(async () => {
    project = await startProject();
  });
  Deno.test.afterAll(() => project?.stop());
  return () => {
    if (project === undefined) throw new Error("the project is not started");
    return project.env;
  };
}

/** The variables of the env file, which appears complete once all services respond. */
async function appearing(
  path: string,
  project: Deno.ChildProcess,
): Promise<ProjectEnv> {
  let ended: Deno.CommandStatus | undefined;
  project.status.then((status) => ended = status);
  for (;;) {
    const text = await Deno.readTextFile(path).catch(() => null);
    if (text !== null) return parseEnv(text);
    if (ended) throw new Error(`deno task start ended, code ${ended.code}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function parseEnv(text: string): ProjectEnv {
  const of = (name: string) => {
    const value = new RegExp(`^${name}=(.+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`the env file has no ${name}`);
    return value;
  };
  return {
    API_URL: of("API_URL"),
    DB_URL: of("DB_URL"),
    PUBLISHABLE_KEY: of("PUBLISHABLE_KEY"),
    SECRET_KEY: of("SECRET_KEY"),
    SIMULATOR_URL: of("SIMULATOR_URL"),
  };
}

/** Signs a new user up. */
export async function signUp(env: ProjectEnv): Promise<AppUser> {
  const client = createClient(env.API_URL, env.PUBLISHABLE_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email: `${crypto.randomUUID()}@example.com`,
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (data.user === null) throw new Error("the sign-up gave no user");
  const jobs = createAiJobs(client);
  return {
    id: data.user.id,
    client,
    jobs,
    async [Symbol.asyncDispose]() {
      jobs.close();
      await client.realtime.disconnect();
    },
  };
}

/** The bytes of a recording of tests/fixtures. */
export function readRecording(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(
    join(repository, "tests", "fixtures", "recordings", name),
  );
}

/** Uploads a recording of tests/fixtures for a voice clone. */
export async function uploadRecording(
  { jobs }: AppUser,
  recording: string,
  contentType: string,
): Promise<UploadedFile> {
  const bytes = await readRecording(recording);
  return await jobs.upload(
    new File([bytes], recording, { type: contentType }),
    {
      bucket: "voice-samples",
    },
  );
}

/** The paid work of the simulated provider, by job. */
export async function creations(
  env: ProjectEnv,
): Promise<{ marker: string; id: string; sha256: string | undefined }[]> {
  const response = await fetch(`${env.SIMULATOR_URL}/_control/ledger`);
  const { entries }: {
    entries: {
      marker: string;
      id: string;
      request: { files?: { sha256: string }[] };
    }[];
  } = await response.json();
  return entries.map(({ marker, id, request }) => ({
    marker,
    id,
    sha256: request.files?.[0]?.sha256,
  }));
}
