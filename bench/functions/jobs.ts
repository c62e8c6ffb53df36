/** The processor time and memory that one job of each type uses in its Edge Function. */
import postgres from "postgres";
import type { JobRequest } from "../../client/mod.ts";
import { signUp, upload } from "../../dev/demo/as-an-app.ts";
import {
  LETTER,
  photoOf,
  readPortrait,
  readRecording,
  SUMMER,
} from "../../dev/demo/family.ts";
import type { AppFile, AppUser } from "../../dev/demo/as-an-app.ts";
import {
  readResourceUsage,
  type ResourceUsage,
} from "../../dev/stack/process/resource-usage.ts";
import { type Stack, startStack } from "../../dev/stack/stack.ts";

/** Longer than any job here. */
const TIME_LIMIT_MS = 120_000;
/** After the end of a job its isolate still writes a cache entry and searches for other jobs. */
const AFTERMATH_MS = 500;

/** Figures of one job type. */
export interface JobCost {
  job: string;
  function: string;
  /**
   * Of the first job of an isolate, which loads the type's modules. Milliseconds of the thread that runs JavaScript.
   */
  firstCpuMs: number;
  /** Mean of the jobs after it. */
  laterCpuMs: number;
  /** Peak of the process's private memory over all of these jobs, in bytes. */
  peakMemoryBytes: number;
}

interface Subject {
  job: string;
  function: string;
  request(user: AppUser, number: number): Promise<JobRequest>;
}

async function addMedia(
  { client }: AppUser,
  mediaType: "audio" | "image",
  file: AppFile,
  path: string,
): Promise<string> {
  const { data, error } = await client.from("media").insert({
    media_type: mediaType,
    storage_path: path,
    file_name: file.name,
    content_type: file.type,
    size_bytes: file.bytes.length,
  }).select("id").single();
  if (error) throw error;
  return data.id;
}

async function slideshow(user: AppUser): Promise<string> {
  const { data, error } = await user.client.from("slideshows")
    .insert({ title: SUMMER.title, description: SUMMER.description })
    .select("id").single();
  if (error) throw error;
  for (const [position, { picture, caption }] of SUMMER.slides.entries()) {
    const photo = await photoOf(picture);
    const { error } = await user.client.from("slideshow_items").insert({
      slideshow_id: data.id,
      media_id: await addMedia(
        user,
        "image",
        photo,
        await upload(user.jobs, photo),
      ),
      position,
      caption,
    });
    if (error) throw error;
  }
  return data.id;
}

function subjects(): Subject[] {
  const recording = readRecording(undefined);
  const portrait = readPortrait(undefined);
  const video = (provider: "d-id" | "heygen"): Subject => ({
    job: `avatar_video, ${provider}`,
    function: "process-ai-job",
    request: async ({ jobs }, number) => ({
      job_type: "avatar_video",
      input_url: await upload(jobs, await portrait),
      metadata: {
        name: `Letter ${number}`,
        provider,
        text: LETTER,
        voice_id: "en-US-JennyNeural",
      },
    }),
  });
  return [
    {
      job: "voice_clone",
      function: "process-ai-job",
      request: async ({ jobs }, number) => ({
        job_type: "voice_clone",
        input_url: await upload(jobs, await recording),
        metadata: { voice_name: `Voice ${number}` },
      }),
    },
    {
      job: "text_to_speech",
      function: "process-ai-job",
      request: (_user, number) =>
        Promise.resolve({
          job_type: "text_to_speech",
          metadata: {
            text: `${number}. ${LETTER}`,
            voice_id: "21m00Tcm4TlvDq8ikWAM",
          },
        }),
    },
    {
      job: "transcription",
      function: "process-ai-job",
      request: async (user) => {
        const file = { ...await recording, bucket: "recordings" };
        const path = await upload(user.jobs, file);
        const { data, error } = await user.client.from("calls").insert({
          title: "Sunday call",
          recording_id: await addMedia(user, "audio", file, path),
        }).select("id").single();
        if (error) throw error;
        return {
          job_type: "transcription",
          input_url: path,
          metadata: { call_id: data.id },
        };
      },
    },
    video("d-id"),
    video("heygen"),
    {
      job: "pdf_render, 4 photos",
      function: "render-ai-job",
      request: async (user) => ({
        job_type: "pdf_render",
        metadata: {
          slideshow_id: await slideshow(user),
          page_size: "square",
        },
      }),
    },
  ];
}

/** Ends the processes of a function and resolves with the next, fresh one. */
async function renew(stack: Stack, slug: string): Promise<number> {
  const { pid: old } = await stack.functions.process(slug);
  await stack.functions.kill(slug, "SIGKILL");
  for (;;) {
    const { pid } = await stack.functions.process(slug);
    if (pid !== old) return pid;
    await pause(20);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function usageOf(pid: number): ResourceUsage {
  const usage = readResourceUsage(pid);
  if (usage === undefined) {
    throw new Error("A function's process has ended, or this is not Linux.");
  }
  return usage;
}

/**
 * Runs one job of each type in a fresh isolate, and then `more` of it, on an ephemeral stack with simulated providers
 * and without result cache.
 *
 * @throws {Error} when a job does not complete, or where there is no `/proc`.
 */
export async function measureJobs(more: number): Promise<JobCost[]> {
  await using stack = await startStack({
    ephemeral: true,
    port: 0,
    wallClockMs: 400_000,
    // No limits: an isolate that ends because of one would start from zero.
    cpuMs: 0,
  });
  await using user = await signUp(stack, "bench@example.com");
  const sql = postgres(stack.dbUrl, { max: 1, onnotice: () => {} });
  await sql`update public.ai_job_types set cache_ttl_seconds = 0`;
  await sql.end();

  const costs: JobCost[] = [];
  let number = 0;
  for (const subject of subjects()) {
    const run = async () => {
      const request = await subject.request(user, ++number);
      const job = await user.jobs.create(request);
      await job.wait({ timeoutMs: TIME_LIMIT_MS });
      await pause(AFTERMATH_MS);
    };
    const pid = await renew(stack, subject.function);
    const atStart = usageOf(pid);
    await run();
    const afterFirst = usageOf(pid);
    for (let n = 0; n < more; n++) await run();
    const atEnd = usageOf(pid);
    costs.push({
      job: subject.job,
      function: subject.function,
      firstCpuMs: afterFirst.cpuMs - atStart.cpuMs,
      laterCpuMs: (atEnd.cpuMs - afterFirst.cpuMs) / more,
      peakMemoryBytes: atEnd.peakMemoryBytes,
    });
  }
  return costs;
}
