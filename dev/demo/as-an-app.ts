/** The steps of an app, with supabase-js and the client only. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type AiJobs, createAiJobs, type Job } from "../../client/mod.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";

/** supabase-js as a signed-in user of the app has it. */
export type Client = SupabaseClient<Database>;

/** A signed-in user of the app. Disposing ends its subscriptions. */
export interface AppUser extends AsyncDisposable {
  userId: string;
  client: Client;
  jobs: AiJobs;
}

/** Signs up a new user, as whom the client then acts. Throws the error of Auth. */
export async function signUp(
  project: { apiUrl: string; publishableKey: string },
  email: string,
): Promise<AppUser> {
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
  if (data.user === null) throw new Error("the sign-up returned no user");
  const jobs = createAiJobs(client);
  return {
    userId: data.user.id,
    client,
    jobs,
    async [Symbol.asyncDispose]() {
      jobs.close();
      await client.realtime.disconnect();
    },
  };
}

/** A file to be uploaded to the user's folder. */
export interface AppFile {
  readonly bucket: string;
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Uploads a file and returns its `<bucket>/<path>`. */
export async function upload(jobs: AiJobs, file: AppFile): Promise<string> {
  const { bucket, name, type, bytes } = file;
  const { input_url } = await jobs.upload(new Blob([bytes], { type }), {
    bucket,
    name,
  });
  return input_url;
}

/** Downloads a job's output. Throws when there is none. */
export async function downloadOutput(
  job: Job,
): Promise<Uint8Array<ArrayBuffer>> {
  if (job.output_url === null) {
    throw new Error(`${job.job_type} has no output file`);
  }
  const response = await fetch(job.output_url);
  if (!response.ok) {
    throw new Error(
      `the output of ${job.job_type} answers ${response.status}: ${await response
        .text()}`,
    );
  }
  return await response.bytes();
}
