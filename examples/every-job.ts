/**
 * Every job type with the client, in Node 22.18 or newer, which runs TypeScript:
 *
 *   npm install "./$(npm pack --silent ../edge-ai-jobs/dist/client)" @supabase/supabase-js
 *   node --env-file=.env.local every-job.ts recording.mp3 portrait.jpg
 *
 * `deno task start --write-env .env.local` writes the file with the addresses.
 */
import { openAsBlob } from "node:fs";
import { basename } from "node:path";
import { argv, env, stdout } from "node:process";
import { createClient } from "@supabase/supabase-js";
import { createAiJobs, type JobSnapshot } from "edge-ai-jobs";

const [recordingPath = "recording.mp3", portraitPath = "portrait.jpg"] = argv
  .slice(2);

const supabase = createClient(
  env["API_URL"] ?? "",
  env["PUBLISHABLE_KEY"] ?? "",
);
const jobs = createAiJobs(supabase);

function print(value: unknown): void {
  stdout.write(`${JSON.stringify(value)}\n`);
}

const onProgress = ({ id, progress, stage }: JobSnapshot) =>
  print({ id, progress, stage });

/** The id of a row that was inserted; throws the reason where it was not. */
function idOf(
  { data, error }: { data: { id: string } | null; error: unknown },
): string {
  if (data === null) throw error;
  return data.id;
}

const { error } = await supabase.auth.signUp({
  email: `${crypto.randomUUID()}@example.com`,
  password: crypto.randomUUID(),
});
if (error) throw error;

const recording = await openAsBlob(recordingPath, { type: "audio/mpeg" });
const portrait = await openAsBlob(portraitPath, { type: "image/jpeg" });
const sample = await jobs.upload(recording, {
  bucket: "voice-samples",
  name: basename(recordingPath),
});
const call = await jobs.upload(recording, { bucket: "recordings" });
const photo = await jobs.upload(portrait, { name: basename(portraitPath) });

// A voice, a letter in that voice, and a portrait that says the letter: each waits for the one before.
const clone = await jobs.create({
  job_type: "voice_clone",
  input_url: sample.input_url,
  metadata: { voice_name: "Grandma" },
});
const letter = await jobs.create({
  job_type: "text_to_speech",
  metadata: { text: "Good evening, everyone." },
  depends_on: clone.id,
});
const film = await jobs.create({
  job_type: "avatar_video",
  input_url: photo.input_url,
  metadata: { name: "The letter" },
  depends_on: letter.id,
});
const transcript = await jobs.create({
  job_type: "transcription",
  input_url: call.input_url,
});

// A book of a slideshow, whose pictures are rows of the app's own.
const mediaId = idOf(
  await supabase.from("media").insert({
    media_type: "image",
    storage_path: photo.input_url,
    file_name: "portrait.jpg",
    content_type: "image/jpeg",
    size_bytes: portrait.size,
  }).select("id").single(),
);
const slideshowId = idOf(
  await supabase.from("slideshows").insert({ title: "Summers" }).select("id")
    .single(),
);
idOf(
  await supabase.from("slideshow_items").insert({
    slideshow_id: slideshowId,
    media_id: mediaId,
    position: 0,
  }).select("id").single(),
);
const book = await jobs.create({
  job_type: "pdf_render",
  metadata: { slideshow_id: slideshowId },
});

// Results are typed by job_type.
const [voice, speech, text, portraitFilm, pdf] = await Promise.all([
  clone.wait({ onProgress }),
  letter.wait({ onProgress }),
  transcript.wait({ onProgress }),
  film.wait({ onProgress }),
  book.wait({ onProgress }),
]);
print({
  voice_clone: voice.result.voice_name,
  text_to_speech: speech.result.duration_seconds,
  transcription: text.result.word_count,
  avatar_video: portraitFilm.result.provider,
  pdf_render: pdf.result.page_count,
});
for (const job of [letter, film, book]) {
  const response = await fetch(await job.downloadUrl({ expiresIn: 60 }));
  const { size } = await response.blob();
  print({ id: job.id, size, type: response.headers.get("content-type") });
}

jobs.close();
await supabase.auth.signOut();
await supabase.realtime.disconnect();
