/** Avatar videos as an app requests them, and assertions for each finished one. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import type { TestUser } from "./as-user.ts";
import { type JobFacts, jobFacts } from "./job-facts.ts";
import type { SimulatedProvider } from "./simulator-control.ts";
import type { TestStack } from "./stack.ts";

/** Both providers, with the names of the paid call, of the listing and of the poll. */
export const AVATAR_PROVIDERS = [
  {
    provider: "d-id",
    create: "talks.create",
    list: "talks.list",
    get: "talks.get",
    remove: "talks.delete",
  },
  {
    provider: "heygen",
    create: "videos.create",
    list: "videos.list",
    get: "videos.get",
    remove: "videos.delete",
  },
] as const satisfies {
  provider: SimulatedProvider;
  create: string;
  list: string;
  get: string;
  remove: string;
}[];

/** Uploads the drawn portrait of the fixtures into the user's folder and returns its `<bucket>/<path>`. */
export async function uploadPortrait(
  user: TestUser,
  file: "face.jpg" | "face.png" = "face.jpg",
): Promise<string> {
  const path = `${user.id}/${crypto.randomUUID()}/${file}`;
  const bytes = await Deno.readFile(
    new URL(`../fixtures/portraits/${file}`, import.meta.url),
  );
  const { error } = await user.client.storage.from("uploads").upload(
    path,
    bytes,
    { contentType: file.endsWith("jpg") ? "image/jpeg" : "image/png" },
  );
  if (error) throw error;
  return `uploads/${path}`;
}

/** Requests a video through supabase-js and returns the job's id; fails unless it is accepted with 202. */
export async function requestVideo(
  user: TestUser,
  inputUrl: string,
  metadata: Record<string, unknown> = {},
): Promise<string> {
  const speech = "audio_url" in metadata
    ? {}
    : { text: "Hello, it is me.", voice_id: "en-US-JennyNeural" };
  const { data, error, response } = await user.client.functions.invoke(
    "create-ai-job",
    {
      body: {
        job_type: "avatar_video",
        input_url: inputUrl,
        metadata: { ...speech, ...metadata },
      },
    },
  );
  if (error) throw new Error(`create-ai-job: ${await response?.text()}`);
  assertEquals(response?.status, 202);
  return createAiJobResponseSchema.parse(data).job_id;
}

/** The columns of `avatars` that tests use. */
interface AvatarRow {
  name: string;
  provider: string;
  provider_video_id: string;
  video_url: string;
  duration_seconds: string | null;
}

/** Fails unless the job is completed with one avatar and its video, paid for once. */
export async function assertVideoOnce(
  stack: TestStack,
  jobId: string,
): Promise<JobFacts> {
  const facts = await jobFacts(stack, jobId);
  assertEquals([facts.status, facts.errorCode], ["completed", null]);
  assertEquals(facts.paid.length, 1, "paid for once");
  const avatars = await stack.sql<AvatarRow>`
    select name, provider, provider_video_id, video_url, duration_seconds::text
    from public.avatars where job_id = ${jobId}`;
  assertEquals(
    avatars.map(({ provider_video_id }) => provider_video_id),
    facts.paid,
  );
  assertEquals(facts.resultData?.["provider_video_id"], facts.paid[0]);
  const [video] = await stack.sql<{ size: number }>`
    select (o.metadata ->> 'size')::int as size from storage.objects as o
    where o.bucket_id || '/' || o.name = ${avatars[0]?.video_url ?? ""}`;
  assert(video !== undefined, "the video is in Storage");
  assertEquals(video.size, facts.resultData?.["size_bytes"]);
  return facts;
}
