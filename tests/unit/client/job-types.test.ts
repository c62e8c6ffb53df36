/** The client's types are those of the contracts. That is decided when this file is type-checked. */
import { assertEquals } from "@std/assert";
import type { z } from "zod";
import type * as client from "../../../client/mod.ts";
import type {
  avatarVideoMetadataSchema,
  avatarVideoResultSchema,
} from "../../../supabase/functions/_shared/contracts/avatar-video.ts";
import {
  type aiJobSchema,
  type createAiJobRequestSchema,
  JOB_STATUSES,
  type voiceCloneMetadataSchema,
  type voiceCloneResultSchema,
} from "../../../supabase/functions/_shared/contracts/jobs.ts";
import type {
  pdfRenderMetadataSchema,
  pdfRenderResultSchema,
} from "../../../supabase/functions/_shared/contracts/keepsake.ts";
import type {
  textToSpeechMetadataSchema,
  textToSpeechResultSchema,
} from "../../../supabase/functions/_shared/contracts/speech.ts";
import type {
  transcriptionMetadataSchema,
  transcriptionResultSchema,
} from "../../../supabase/functions/_shared/contracts/transcription.ts";

/** `true` when each can stand for the other, with the same members. */
type Same<A, B> = [A, keyof A] extends [B, keyof B]
  ? [B, keyof B] extends [A, keyof A] ? true : false
  : false;

const metadata: {
  voice_clone: Same<
    client.VoiceCloneMetadata,
    z.input<typeof voiceCloneMetadataSchema>
  >;
  text_to_speech: Same<
    client.TextToSpeechMetadata,
    z.input<typeof textToSpeechMetadataSchema>
  >;
  transcription: Same<
    client.TranscriptionMetadata,
    z.input<typeof transcriptionMetadataSchema>
  >;
  avatar_video: Same<
    client.AvatarVideoMetadata,
    z.input<typeof avatarVideoMetadataSchema>
  >;
  pdf_render: Same<
    client.PdfRenderMetadata,
    z.input<typeof pdfRenderMetadataSchema>
  >;
} = {
  voice_clone: true,
  text_to_speech: true,
  transcription: true,
  avatar_video: true,
  pdf_render: true,
};

const results: {
  voice_clone: Same<
    client.VoiceCloneResult,
    z.output<typeof voiceCloneResultSchema>
  >;
  text_to_speech: Same<
    client.TextToSpeechResult,
    z.output<typeof textToSpeechResultSchema>
  >;
  transcription: Same<
    client.TranscriptionResult,
    z.output<typeof transcriptionResultSchema>
  >;
  avatar_video: Same<
    client.AvatarVideoResult,
    z.output<typeof avatarVideoResultSchema>
  >;
  pdf_render: Same<
    client.PdfRenderResult,
    z.output<typeof pdfRenderResultSchema>
  >;
} = {
  voice_clone: true,
  text_to_speech: true,
  transcription: true,
  avatar_video: true,
  pdf_render: true,
};

/** What every request of the client is: a request that the function takes. */
type Accepted = client.JobRequest extends
  z.input<typeof createAiJobRequestSchema> ? true : false;
const isAccepted: Accepted = true;
const isSameType: Same<
  client.JobType,
  z.input<typeof createAiJobRequestSchema>["job_type"]
> = true;

/** Every column of a job, but for what the client calls `result`. */
type Columns = Same<
  Exclude<keyof client.Job, "result" | "output_path">,
  Exclude<keyof z.output<typeof aiJobSchema>, "result_data">
>;
const hasColumns: Columns = true;

const statuses: client.JobStatus[] = [...JOB_STATUSES];

Deno.test("client types: metadata, results, requests and jobs are those of the contracts", () => {
  // The twin: a type that lacks a member is not the same.
  const differs: Same<{ a: string }, { a: string; b?: string }> = false;
  assertEquals(
    [
      ...Object.values(metadata),
      ...Object.values(results),
      isAccepted,
      isSameType,
      hasColumns,
      differs,
    ],
    [...Array(13).fill(true), false],
  );
  assertEquals(statuses.length, JOB_STATUSES.length);
});
