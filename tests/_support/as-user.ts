/** A user of the project, signed up as in an app, and the requests of an app for them. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import type { TestStack } from "./stack.ts";

/** A signed-in user. */
export interface TestUser {
  id: string;
  email: string;
  accessToken: string;
  /** supabase-js with the publishable key and this user's session. */
  client: SupabaseClient<Database>;
  /** Calls a function with this user's token. */
  call(slug: string, request?: FunctionRequest): Promise<FunctionAnswer>;
}

/** A request to a function. */
export interface FunctionRequest {
  /** POST with a body, else GET. */
  method?: string;
  /** `?…` */
  query?: string;
  /** Sent as JSON; a string, bytes or a stream unchanged. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** The response of a function; `body` is the parsed JSON, or the text. */
export interface FunctionAnswer {
  status: number;
  headers: Headers;
  body: unknown;
}

/** Calls a function over plain HTTP, with the authorization of the given headers. */
export async function callFunction(
  stack: { apiUrl: string },
  slug: string,
  { method, query = "", body, headers = {} }: FunctionRequest = {},
): Promise<FunctionAnswer> {
  const isRaw = typeof body === "string" || body instanceof Blob ||
    body instanceof ReadableStream;
  const response = await fetch(`${stack.apiUrl}/functions/v1/${slug}${query}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined
      ? {}
      : { body: isRaw ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
}

let users = 0;

/** Signs up a new user. */
export async function signUp(
  stack: Pick<TestStack, "apiUrl" | "publishableKey">,
): Promise<TestUser> {
  const email = `user-${++users}-${
    crypto.randomUUID().slice(0, 8)
  }@example.com`;
  const client = createClient<Database>(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email,
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  const { user, session } = data;
  if (user === null || session === null) {
    throw new Error("the sign-up gave no session");
  }
  return {
    id: user.id,
    email,
    accessToken: session.access_token,
    client,
    call: (slug, request = {}) =>
      callFunction(stack, slug, {
        ...request,
        headers: {
          authorization: `Bearer ${session.access_token}`,
          apikey: stack.publishableKey,
          ...request.headers,
        },
      }),
  };
}

/** The recordings of tests/fixtures, with the content type an app would name. */
export const RECORDINGS = {
  "speech-24s.mp3": "audio/mpeg",
  "speech-12s.wav": "audio/wav",
  "speech.m4a": "audio/mp4",
  "speech.ogg": "audio/ogg",
  "speech.webm": "audio/webm",
  "text-named.mp3": "audio/mpeg",
  "empty.mp3": "audio/mpeg",
} as const;
export type Recording = keyof typeof RECORDINGS;

/** The bytes of a recording. */
export function readRecording(
  name: Recording,
): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(
    new URL(`../fixtures/recordings/${name}`, import.meta.url),
  );
}

/** Uploads a recording into the user's folder and returns its `<bucket>/<path>`. */
export async function uploadRecording(
  user: TestUser,
  options: { recording?: Recording; bucket?: string; path?: string } = {},
): Promise<string> {
  const { recording = "speech.ogg", bucket = "voice-samples" } = options;
  const path = options.path ??
    `${user.id}/${crypto.randomUUID()}/${recording}`;
  const { error } = await user.client.storage.from(bucket).upload(
    path,
    await readRecording(recording),
    { contentType: RECORDINGS[recording] },
  );
  if (error) throw error;
  return `${bucket}/${path}`;
}

/** Requests a voice clone and returns the job's id; fails unless it is accepted with 202. */
export async function requestVoice(
  user: TestUser,
  inputUrl: string,
  metadata: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<string> {
  const answer = await user.call("create-ai-job", {
    body: {
      job_type: "voice_clone",
      input_url: inputUrl,
      metadata: { voice_name: "A voice", ...metadata },
    },
    headers,
  });
  if (answer.status !== 202) {
    throw new Error(
      `create-ai-job: ${answer.status} ${JSON.stringify(answer.body)}`,
    );
  }
  return createAiJobResponseSchema.parse(answer.body).job_id;
}
