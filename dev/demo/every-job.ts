/** The demo of every job type: creates files from a family's recording and photos. */
import { fromFileUrl, join, resolve } from "@std/path";
import {
  type AiJobs,
  type CompletedJob,
  type CreatedJob,
  type Job,
  JobCancelled,
  JobFailed,
  type JobType,
  type WaitForOptions,
  WaitTimeout,
} from "../../client/mod.ts";
import {
  type TranscriptFile,
  transcriptFileSchema,
} from "../../supabase/functions/_shared/contracts/transcription.ts";
import { type Stack, StackError, startStack } from "../stack/stack.ts";
import { showWaiting } from "../stack/console/terminal.ts";
import {
  type AppFile,
  type AppUser,
  type Client,
  downloadOutput,
  signUp,
  upload,
} from "./as-an-app.ts";
import {
  LETTER,
  photoOf,
  readPortrait,
  readRecording,
  SUMMER,
} from "./family.ts";
import { printingLogOnFailure } from "./failure-log.ts";
import { say, step } from "./words.ts";

/** The options of `deno task demo --all`; paths are absolute. */
export interface EveryJobOptions {
  out?: string | undefined;
  recording?: string | undefined;
  portrait?: string | undefined;
}

const DEFAULT_OUT = fromFileUrl(new URL("../../.data/demo", import.meta.url));

/** Time limit for the jobs. Real renders wait in a queue of the provider and take minutes. */
const TIMEOUT_MS = { simulated: 300_000, real: 3_600_000 };
const FACE_MAKERS = ["D-ID", "HeyGen"];
/** Width of the column with the job's name. */
const COLUMN = 22;

/** An ended job and the lines to print about it. */
interface Ended {
  job: Job;
  words: string;
}

/** A job type, and the files that it creates. */
interface Task {
  label: string;
  /** Resolves when the job has ended in any status. */
  end(options: WaitForOptions): Promise<Ended>;
  files: Readonly<
    Record<string, (output: Uint8Array<ArrayBuffer>) => Uint8Array | string>
  >;
}

/** A job of one type, and how to describe its result. */
function taskOf<T extends JobType>(
  label: string,
  created: CreatedJob<T>,
  describe: (result: CompletedJob<T>["result"]) => string,
  files: Task["files"] = {},
): Task {
  return {
    label,
    files,
    async end(options) {
      try {
        const job = await created.wait(options);
        return { job, words: describe(job.result) };
      } catch (error) {
        const hasEnded = error instanceof JobFailed ||
          error instanceof JobCancelled;
        if (!hasEnded && !(error instanceof WaitTimeout)) throw error;
        const job = await created.get();
        if (!hasEnded) {
          const state = `${job.status}, ${job.stage}, attempt ${job.attempt}`;
          throw new Error(`${label} is still ${state}.`, { cause: error });
        }
        return {
          job,
          words: `${job.status}: ${job.error_code}, ${job.error_message}`,
        };
      }
    },
  };
}

/**
 * Runs every job type once on an ephemeral stack (an avatar video at each provider) and writes their files to `out`.
 * Files of completed jobs are saved even when another job fails.
 *
 * @throws {StackError} when a given file is not usable, or a real provider needs a portrait that was not given.
 * @throws {Error} with the jobs that failed and why, or with the row that a completed job has not written.
 */
export async function showEveryJob(options: EveryJobOptions): Promise<void> {
  const [recording, portrait] = await Promise.all([
    readRecording(options.recording),
    readPortrait(options.portrait),
  ]);
  const out = resolve(options.out ?? DEFAULT_OUT);
  await makeFolder(out);

  say("Starting the embedded stack: Postgres, Auth, Storage, functions …");
  await using stack = await startStack({
    ephemeral: true,
    bootFunctions: "on-demand",
  });
  const isAllSimulated = sayProviders(stack);
  requirePortrait(stack, options);
  await printingLogOnFailure(
    stack,
    () =>
      runEveryJob(stack, {
        recording,
        portrait,
        out,
        timeoutMs: isAllSimulated ? TIMEOUT_MS.simulated : TIMEOUT_MS.real,
      }),
  );
  say("\nStopping the stack …");
}

async function runEveryJob(
  stack: Stack,
  { recording, portrait, out, timeoutMs }: {
    recording: AppFile;
    portrait: AppFile;
    out: string;
    timeoutMs: number;
  },
): Promise<void> {
  await using ada = await signUp(stack, "ada@example.com");
  step("signed up", "ada@example.com", COLUMN);
  const inputs = await uploadFamily(ada, recording, portrait);
  const tasks = await createJobs(ada.jobs, inputs);
  step(
    "created",
    "six jobs; the speech waits for the voice, the videos wait for the speech",
    COLUMN,
  );

  say("");
  const ended = await followAll(tasks, timeoutMs);
  say("");
  const failures: string[] = [];
  let paidCalls = 0;
  for (const { task, job, words } of ended) {
    paidCalls += job.billable_calls;
    if (job.status === "completed") await saveFiles(task, job, out);
    else {
      failures.push(`${task.label} ${words}`);
    }
  }
  step("paid calls", String(paidCalls), COLUMN);
  if (failures.length > 0) throw new StackError(failures.join("\n"));
  await requireRows(ada.client, inputs.callId);
}

async function makeFolder(out: string): Promise<void> {
  try {
    await Deno.mkdir(out, { recursive: true });
  } catch (cause) {
    throw new StackError(
      `--out ${out} cannot be created: ${
        cause instanceof Error ? cause.message : cause
      }`,
      { cause },
    );
  }
}

/** Prints which providers are real. Returns true when none is. */
function sayProviders(stack: Stack): boolean {
  const ai = stack.providers.filter(({ name }) => name !== "Upstash");
  for (const { name, mode, keyVariable } of ai) {
    step(
      name,
      mode === "real"
        ? "real, with your key: this is paid for"
        : `simulated; ${keyVariable} makes it real`,
      COLUMN,
    );
  }
  const isAllSimulated = ai.every(({ mode }) => mode === "simulated");
  if (ai.some(({ mode }) => mode === "simulated")) {
    say(
      "  Simulated voices and transcripts are always the same page of Jane Austen, and the face of a simulated film does not move.",
    );
  }
  say("");
  return isAllSimulated;
}

/** The drawn face of the repository has no features that a real provider could detect. */
function requirePortrait(stack: Stack, options: EveryJobOptions): void {
  const real = stack.providers.filter(({ name, mode }) =>
    FACE_MAKERS.includes(name) && mode === "real"
  );
  if (real.length > 0 && options.portrait === undefined) {
    throw new StackError(
      `${
        real.map(({ name }) => name).join(" and ")
      } would be real and needs the photo of a face: pass one with --portrait FILE, or unset ${
        real.map(({ keyVariable }) => keyVariable).join(" and ")
      }.`,
    );
  }
}

/** The objects that the jobs use. */
interface Inputs {
  sample: string;
  portrait: string;
  call: string;
  callId: string;
  slideshowId: string;
}

async function uploadFamily(
  { client, jobs }: AppUser,
  recording: AppFile,
  portrait: AppFile,
): Promise<Inputs> {
  const { error } = await client.from("profiles").insert({
    display_name: "Ada Berger",
    locale: "en-GB",
  });
  if (error) throw error;
  const sample = await upload(jobs, recording);
  const face = await upload(jobs, portrait);

  const call = await upload(jobs, { ...recording, bucket: "recordings" });
  const { data: held, error: callError } = await client.from("calls").insert({
    title: "Sunday call",
    recording_id: await addMedia(client, "audio", recording, call),
  }).select("id").single();
  if (callError) throw callError;

  const { data: slideshow, error: showError } = await client.from("slideshows")
    .insert({ title: SUMMER.title, description: SUMMER.description })
    .select("id").single();
  if (showError) throw showError;
  let bytes = recording.bytes.length * 2 + portrait.bytes.length;
  for (const [position, { picture, caption }] of SUMMER.slides.entries()) {
    const photo = await photoOf(picture);
    bytes += photo.bytes.length;
    const path = await upload(jobs, photo);
    const { error } = await client.from("slideshow_items").insert({
      slideshow_id: slideshow.id,
      media_id: await addMedia(client, "image", photo, path),
      position,
      caption,
    });
    if (error) throw error;
  }
  step(
    "uploaded",
    `two recordings, a portrait, ${SUMMER.slides.length} photos: ${
      sizeText(bytes)
    }`,
    COLUMN,
  );
  return {
    sample,
    portrait: face,
    call,
    callId: held.id,
    slideshowId: slideshow.id,
  };
}

async function addMedia(
  client: Client,
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

async function createJobs(jobs: AiJobs, inputs: Inputs): Promise<Task[]> {
  const voice = await jobs.create({
    job_type: "voice_clone",
    input_url: inputs.sample,
    metadata: { voice_name: "Ada", description: "A calm reading voice" },
  });
  const speech = await jobs.create({
    job_type: "text_to_speech",
    metadata: { text: LETTER },
    depends_on: voice.id,
  });
  const video = (provider: "d-id" | "heygen", name: string) =>
    jobs.create({
      job_type: "avatar_video",
      input_url: inputs.portrait,
      metadata: { name: `The letter, by ${name}`, provider },
      depends_on: speech.id,
    });
  const byDId = await video("d-id", "D-ID");
  const byHeyGen = await video("heygen", "HeyGen");
  const transcript = await jobs.create({
    job_type: "transcription",
    input_url: inputs.call,
    metadata: { call_id: inputs.callId },
  });
  const keepsake = await jobs.create({
    job_type: "pdf_render",
    metadata: { slideshow_id: inputs.slideshowId, page_size: "square" },
  });
  const same = (output: Uint8Array<ArrayBuffer>) => output;
  const film = (provider: string, created: CreatedJob<"avatar_video">) =>
    taskOf(
      `avatar_video, ${provider}`,
      created,
      ({ duration_seconds }) =>
        `the portrait says it${
          duration_seconds === null ? "" : `, ${duration_seconds.toFixed(0)} s`
        }`,
      { [`talking-portrait-${provider.toLowerCase()}.mp4`]: same },
    );
  return [
    taskOf(
      "voice_clone",
      voice,
      ({ voice_name, provider_voice_id }) =>
        `the voice "${voice_name}", ${provider_voice_id}`,
    ),
    taskOf(
      "text_to_speech",
      speech,
      ({ character_count, duration_seconds }) =>
        `a letter of ${character_count} characters in that voice, ${
          duration_seconds.toFixed(0)
        } s`,
      { "letter.mp3": same },
    ),
    film("D-ID", byDId),
    film("HeyGen", byHeyGen),
    taskOf(
      "transcription",
      transcript,
      ({ word_count, speaker_count }) =>
        `${word_count} words of ${count(speaker_count, "speaker")} in the call`,
      {
        "call-transcript.txt": (output) => toDialogue(readTranscript(output)),
        "call-transcript.json": (output) =>
          `${JSON.stringify(readTranscript(output), null, 2)}\n`,
      },
    ),
    taskOf(
      "pdf_render",
      keepsake,
      ({ title, page_count }) => `"${title}", ${count(page_count, "page")}`,
      { "keepsake.pdf": same },
    ),
  ];
}

/** Follows all jobs until the last has ended, and prints each end. Returns them in the order of the tasks. */
async function followAll(
  tasks: readonly Task[],
  timeoutMs: number,
): Promise<(Ended & { task: Task })[]> {
  const line = showWaiting();
  const open = new Map(tasks.map((task) => [task, 0]));
  const draw = () =>
    line.update(
      [...open].map(([{ label }, progress]) => `${label} ${progress} %`),
    );
  try {
    draw();
    return await Promise.all(tasks.map(async (task) => {
      const ended = await task.end({
        timeoutMs,
        onProgress({ progress }) {
          open.set(task, progress);
          draw();
        },
      });
      open.delete(task);
      line.clear();
      step(
        task.label,
        `${secondsOf(ended.job)}  ${ended.words}`,
        COLUMN,
      );
      if (open.size > 0) draw();
      return { ...ended, task };
    }));
  } finally {
    line.clear();
  }
}

/** Time from creation to completion, by the database's clock. */
function secondsOf(job: Job): string {
  const ms = Date.parse(job.completed_at ?? job.updated_at) -
    Date.parse(job.created_at);
  return `${(ms / 1000).toFixed(1).padStart(6)} s`;
}

async function saveFiles(task: Task, job: Job, out: string): Promise<void> {
  const files = Object.entries(task.files);
  if (files.length === 0) return;
  const output = await downloadOutput(job);
  for (const [name, make] of files) {
    const made = make(output);
    const bytes = typeof made === "string"
      ? new TextEncoder().encode(made)
      : made;
    const path = join(out, name);
    await Deno.writeFile(path, bytes);
    step("saved", `${path}  (${sizeText(bytes.length)})`, COLUMN);
  }
}

function readTranscript(output: Uint8Array): TranscriptFile {
  return transcriptFileSchema.parse(
    JSON.parse(new TextDecoder().decode(output)),
  );
}

/** Formats a transcript for reading: time, speaker and text. */
function toDialogue({ segments, text }: TranscriptFile): string {
  if (segments.length === 0) return `${text}\n`;
  return segments.map(({ speaker, start, text }) => {
    const seconds = Math.floor(start);
    const clock = `${Math.floor(seconds / 60)}:${
      String(seconds % 60).padStart(2, "0")
    }`;
    const name = speaker?.replace("speaker_", "Speaker ") ?? "Speaker";
    return `[${clock}] ${name}\n${text}\n`;
  }).join("\n");
}

/** Checks the rows of other tables that completed jobs have written. */
async function requireRows(client: Client, callId: string): Promise<void> {
  const [voices, avatars, pdfs, call] = await Promise.all([
    client.from("voices").select("id"),
    client.from("avatars").select("id"),
    client.from("pdfs").select("id"),
    client.from("calls").select("transcript").eq("id", callId).single(),
  ]);
  const counts = [voices, avatars, pdfs].map(({ data }) => data?.length);
  if (counts.join() !== "1,2,1" || !call.data?.transcript) {
    throw new Error(
      `rows are missing: ${counts.join()} voices, avatars and pdfs, transcript ${call.data?.transcript}`,
    );
  }
  step(
    "rows written",
    "1 voice, 2 avatars, 1 pdf, the transcript of 1 call",
    COLUMN,
  );
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

function sizeText(bytes: number): string {
  return bytes < 1_048_576
    ? `${Math.ceil(bytes / 1024)} KiB`
    : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
