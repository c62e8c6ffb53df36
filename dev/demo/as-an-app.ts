/** What an app does, with supabase-js and the public functions alone. */
import {
  createClient,
  FunctionsHttpError,
  type SupabaseClient,
} from "@supabase/supabase-js";
import type { z } from "zod";
import {
  type AiJob,
  aiJobSchema,
  createAiJobResponseSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  type CreateUploadUrlResponse,
  createUploadUrlResponseSchema,
} from "../../supabase/functions/_shared/contracts/storage.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";

/** supabase-js as a signed-in user of the app has it. */
export type Client = SupabaseClient<Database>;

/** Signs a new user up; the client acts as this user from then on. Throws what Auth says. */
export async function signUp(
  project: { apiUrl: string; publishableKey: string },
  email: string,
): Promise<{ client: Client; userId: string }> {
  const client = createClient<Database>(
    project.apiUrl,
    project.publishableKey,
    { auth: { persistSession: false, autoRefreshToken: false } },
  );
  const { data, error } = await client.auth.signUp({
    email,
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (data.user === null) throw new Error("the sign-up gave no user");
  return { client, userId: data.user.id };
}

/** Calls a function and checks its answer; a problem document becomes an error that tells what it says. */
export async function invoke<T extends z.ZodType>(
  client: Client,
  name: string,
  body: Record<string, unknown>,
  schema: T,
): Promise<z.output<T>> {
  const { data, error } = await client.functions.invoke(name, { body });
  if (error instanceof FunctionsHttpError) {
    throw new Error(`${name}: ${await error.context.text()}`);
  }
  if (error) throw error;
  return schema.parse(data);
}

/** A file on its way into the user's folder. */
export interface AppFile {
  readonly bucket: string;
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Uploads by a signed URL and answers where it lies. */
export async function upload(
  client: Client,
  file: AppFile,
): Promise<CreateUploadUrlResponse> {
  const target = await invoke(client, "create-upload-url", {
    bucket: file.bucket,
    file_name: file.name,
    content_type: file.type,
    size_bytes: file.bytes.byteLength,
  }, createUploadUrlResponseSchema);
  const { error } = await client.storage.from(target.bucket)
    .uploadToSignedUrl(target.path, target.token, file.bytes, {
      contentType: file.type,
    });
  if (error) throw error;
  return target;
}

/** Creates a job and answers with its id. */
export async function createJob(
  client: Client,
  request: Record<string, unknown>,
): Promise<string> {
  const { job_id } = await invoke(
    client,
    "create-ai-job",
    request,
    createAiJobResponseSchema,
  );
  return job_id;
}

/** The job as get-ai-job answers it: its `output_url` is signed and can be fetched. */
export async function getJob(client: Client, jobId: string): Promise<AiJob> {
  const { data, error } = await client.functions.invoke(
    `get-ai-job?id=${jobId}`,
    { method: "GET" },
  );
  if (error) throw error;
  return aiJobSchema.parse(data);
}

/** The bytes of a job's output. Throws when there is none. */
export async function downloadOutput(
  job: AiJob,
): Promise<Uint8Array<ArrayBuffer>> {
  if (job.output_url === null) throw new Error(`${job.job_type} left no file`);
  const response = await fetch(job.output_url);
  if (!response.ok) {
    throw new Error(
      `the output of ${job.job_type} answers ${response.status}: ${await response
        .text()}`,
    );
  }
  return await response.bytes();
}
