/**
 * The project as an app knows it: the addresses and keys of `deno task start`, and supabase-js. Nothing here knows the
 * source.
 */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { fromFileUrl, join } from "@std/path";

const repository = fromFileUrl(new URL("../../", import.meta.url));

/** What `deno task start --write-env` writes. */
export interface ProjectEnv {
  API_URL: string;
  DB_URL: string;
  PUBLISHABLE_KEY: string;
  SECRET_KEY: string;
  SIMULATOR_URL: string;
}

/** A signed-in user of the app. */
export interface AppUser {
  id: string;
  client: SupabaseClient;
}

/** A task of this repository, started as a person starts it. */
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

/**
 * Starts the project before the first test of the calling file with `deno task start`, and ends it as Ctrl-C does after
 * the last. The answer gives its addresses and keys to tests.
 */
export function useProject(): () => ProjectEnv {
  let env: ProjectEnv | undefined;
  let project: Deno.ChildProcess | undefined;
  Deno.test.beforeAll(async () => {
    const dir = await Deno.makeTempDir({ prefix: "e2e-" });
    const envFile = join(dir, "project.env");
    project = startTask([
      "start",
      "--ephemeral",
      "--write-env",
      envFile,
    ], { stdout: "null" });
    env = await appearing(envFile, project);
    await Deno.remove(dir, { recursive: true });
  });
  Deno.test.afterAll(async () => {
    project?.kill("SIGINT");
    const status = await project?.status;
    if (status?.code !== 0) {
      throw new Error(`deno task start ended with code ${status?.code}`);
    }
  });
  return () => {
    if (env === undefined) throw new Error("the project is not started");
    return env;
  };
}

/** The variables of a file that appears, complete, once everything answers. */
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
  return { id: data.user.id, client };
}

/** The bytes of a recording of tests/fixtures. */
export function readRecording(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(
    join(repository, "tests", "fixtures", "recordings", name),
  );
}

/** Calls a function and answers with its JSON; throws with what it says when it refuses. */
export async function invoke(
  user: AppUser,
  name: string,
  body?: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const { data, error } = await user.client.functions.invoke(
    name,
    body === undefined ? { method: "GET" } : { body },
  );
  if (error) {
    const said = error.context instanceof Response
      ? await error.context.text()
      : "";
    throw new Error(`${name}: ${error.message} ${said}`);
  }
  return data;
}

/** Puts a recording into Storage through a signed URL; answers with bucket, path and `input_url`. */
export async function upload(
  user: AppUser,
  recording: string,
  contentType: string,
): Promise<{ bucket: string; path: string; inputUrl: string }> {
  const bytes = await readRecording(recording);
  const answer = await invoke(user, "create-upload-url", {
    bucket: "voice-samples",
    file_name: recording,
    content_type: contentType,
    size_bytes: bytes.byteLength,
  });
  const [bucket, path, token] = [
    String(answer["bucket"]),
    String(answer["path"]),
    String(answer["token"]),
  ];
  const { error } = await user.client.storage.from(bucket).uploadToSignedUrl(
    path,
    token,
    bytes,
    { contentType },
  );
  if (error) throw error;
  return { bucket, path, inputUrl: String(answer["input_url"]) };
}

/** Follows a job as an app does, by its timeline, to its end; answers with what get-ai-job says then. */
export async function follow(
  user: AppUser,
  jobId: string,
  seconds = 30,
): Promise<Record<string, unknown>> {
  const giveUpAt = Date.now() + seconds * 1000;
  const seen: string[] = [];
  while (Date.now() < giveUpAt) {
    const { data, error } = await user.client.from("ai_job_events")
      .select("seq,event").eq("job_id", jobId).gt("seq", seen.length)
      .order("seq");
    if (error) throw error;
    seen.push(...data.map(({ event }) => String(event)));
    if (seen.some((event) => ["completed", "failed"].includes(event))) {
      return await invoke(user, `get-ai-job?id=${jobId}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  throw new Error(
    `job ${jobId} was not over after ${seconds} s; so far: ${seen.join(", ")}`,
  );
}

/** What the simulated provider was paid for, by job. */
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
