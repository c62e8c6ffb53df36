/** How a recording reaches the provider, and what is not read while its transcript is awaited. */
import { assert, assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../supabase/functions/_shared/failures/provider-failure.ts";
import { Snooze } from "../../../supabase/functions/_shared/jobs/outcome.ts";
import type { PaidResult } from "../../../supabase/functions/_shared/jobs/paid-call.ts";
import type { JobContext } from "../../../supabase/functions/_shared/jobs/job-context.ts";
import { createLogger } from "../../../supabase/functions/_shared/platform/log.ts";
import type {
  ElevenLabsTranscripts,
  Transcript,
  TranscriptSubmission,
} from "../../../supabase/functions/_shared/providers/elevenlabs/transcripts.ts";
import {
  createTranscriptionProcessor,
  type TranscriptionDeps,
} from "../../../supabase/functions/process-ai-job/processors/transcription.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const USER = "9c1d7f04-1c8b-4b8e-8f53-2f9b0a6f7e22";
const STARTED = Date.parse("2026-11-22T10:00:00Z");
const RECORDING = new TextEncoder().encode("a recording");
const never = new AbortController().signal;

/** A Storage with one recording, which records each request and accepts files only when set to. */
function storage(size: number, requests: string[], acceptsFiles: boolean) {
  const object = `recordings/${USER}/call.mp3`;
  return createClient<Database>("http://project.test", "key", {
    auth: {
      persistSession: false,
      autoRefreshToken: false,
      detectSessionInUrl: false,
    },
    global: {
      fetch: async (input, init) => {
        const { pathname } = new URL(
          input instanceof Request ? input.url : input,
        );
        const path = pathname.replace("/storage/v1/object/", "");
        const range = new Headers(init?.headers).get("range");
        requests.push(
          [path.replace(object, "…"), range].filter(Boolean).join(" "),
        );
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
        if (from !== undefined && to !== undefined) {
          const piece = new Uint8Array(Number(to) - Number(from) + 1);
          piece.set(RECORDING.subarray(Number(from), Number(to) + 1));
          return new Response(piece, { status: 206 });
        }
        if (acceptsFiles && path.startsWith("outputs/")) {
          await new Response(init?.body).arrayBuffer();
          return Response.json({ Id: "1", Key: path });
        }
        return path === `info/${object}`
          ? Response.json({ id: "1", name: object, size })
          : path === `sign/${object}`
          ? Response.json({ signedURL: `/object/sign/${object}?token=t` })
          : path === object
          ? new Response(RECORDING)
          : Response.json({ message: "not found" }, { status: 404 });
      },
    },
  });
}

function idOf(made: string | PaidResult): string {
  return typeof made === "string" ? made : made.providerObjectId;
}

interface Case {
  inputUrl?: string;
  size?: number;
  acceptsFiles?: boolean;
  deps?: Partial<TranscriptionDeps>;
  context?: Partial<JobContext>;
  spend?: "none" | "unknown" | "incurred";
  ageSeconds?: number;
  get?: () => Promise<Transcript | null>;
}

/** Runs a job whose submission always succeeds; the transcript is not ready. */
async function run(
  {
    size = 1000,
    spend = "none",
    ageSeconds = 0,
    acceptsFiles = false,
    ...given
  }: Case,
) {
  const requests: string[] = [];
  const submissions: TranscriptSubmission[] = [];
  const bodies: string[] = [];
  const heard: number[] = [];
  const transcripts: ElevenLabsTranscripts = {
    transcribe: async ({ recording }) => {
      bodies.push(await new Response(recording).text());
      throw ProviderFailure.unknown("provider_timeout");
    },
    submit: async (submission) => {
      submissions.push(submission);
      if ("recording" in submission.source) {
        bodies.push(await new Response(submission.source.recording).text());
      }
      return "t1";
    },
    get: given.get ?? (() => Promise.resolve(null)),
  };
  const context: JobContext = {
    job: {
      id: JOB,
      user_id: USER,
      job_type: "transcription",
      provider: "elevenlabs",
      spend,
      input_url: given.inputUrl ?? `recordings/${USER}/call.mp3`,
      metadata: { speaker_count: 2 },
      attempt: 1,
      max_attempts: 5,
      input_hash: null,
      depends_on_job_id: null,
      cached_from_job_id: null,
      lease_token: crypto.randomUUID(),
      lease_expires_at: new Date(STARTED).toISOString(),
      started_at: new Date(STARTED).toISOString(),
      updated_at: new Date(STARTED + ageSeconds * 1000).toISOString(),
    },
    log: createLogger({ now: () => new Date(), writeLine() {} }, {
      level: "error",
      secrets: [],
      fields: {},
    }),
    signal: never,
    remainingMs: () => 100_000,
    progress() {},
    pay: (call) => call.send(never, 0).then(idOf),
    recordUsage: (_operation, units) => Promise.resolve(void heard.push(units)),
    reportMissing: () => Promise.resolve(),
    dependency: () => Promise.resolve(null),
    ...given.context,
  };
  const processor = createTranscriptionProcessor({
    supabase: storage(size, requests, acceptsFiles),
    transcripts,
    waitMaxBytes: 1000,
    hasWebhook: true,
    storageUrl: "https://project.example",
    random: () => 0,
    ...given.deps,
  });
  let resultData: Record<string, unknown> | undefined;
  const ending: unknown = await processor.run(context).then(
    (completion) => {
      resultData = completion.resultData;
      return null;
    },
    (error) => error,
  );
  return { ending, resultData, requests, submissions, bodies, heard };
}

Deno.test("transcription: a recording of the largest awaited size is sent and awaited", async () => {
  const { requests, submissions, bodies } = await run({ size: 1000 });
  assertEquals([requests, submissions, bodies], [
    ["info/…", "… bytes=0-999", "…"],
    [],
    ["a recording"],
  ]);
});

Deno.test("transcription: a larger recording is submitted by its URL; only its length is read here", async () => {
  const { ending, requests, submissions } = await run({ size: 1001 });
  assertEquals(requests, ["info/…", "… bytes=0-1000", "sign/…"]);
  assertEquals(submissions, [{
    jobId: JOB,
    languageCode: undefined,
    speakers: 2,
    tagAudioEvents: false,
    source: {
      url:
        `https://project.example/storage/v1/object/sign/recordings/${USER}/call.mp3?token=t`,
    },
  }]);
  assert(ending instanceof Snooze);
  assertEquals([ending.seconds, ending.stage], [5, "transcribing"]);
});

Deno.test("transcription: a small but long recording is submitted with a webhook, and awaited without one", async () => {
  // The format is unknown, so 750 bytes count as a second: a quarter of an hour and one second.
  for (
    const [size, hasWebhook, isOrdered] of [
      [675_000, true, false],
      [675_750, true, true],
      [675_750, false, false],
    ] as const
  ) {
    const { submissions, bodies } = await run({
      size,
      deps: { waitMaxBytes: 10_000_000, hasWebhook },
    });
    assertEquals(
      [submissions.length, bodies.length],
      isOrdered ? [1, 0] : [0, 1],
    );
  }
});

Deno.test("transcription: if the provider cannot reach Storage, a larger recording is submitted with its bytes", async () => {
  const { requests, submissions, bodies } = await run({
    size: 1001,
    deps: { storageUrl: undefined },
  });
  assertEquals(requests, ["info/…", "… bytes=0-1000", "…"]);
  assertEquals([submissions.length, bodies], [1, ["a recording"]]);
});

Deno.test("transcription: a larger recording without a webhook is refused before anything is paid", async () => {
  let paid = 0;
  const { ending, requests, submissions } = await run({
    size: 1001,
    deps: { hasWebhook: false },
    context: { pay: () => Promise.resolve(String(++paid)) },
  });
  assert(ending instanceof JobFailure);
  assertEquals([
    ending.code,
    ending.isRetryable,
    paid,
    requests,
    submissions.length,
  ], [
    "provider_webhook_missing",
    false,
    0,
    ["info/…"],
    0,
  ]);
});

Deno.test("transcription: a submitted transcript needs no recording, and is polled at growing intervals", async () => {
  for (const [ageSeconds, seconds] of [[2, 5], [40, 20], [3000, 60]] as const) {
    const { ending, requests, submissions } = await run({
      spend: "incurred",
      ageSeconds,
      context: { pay: () => Promise.resolve("t1") },
    });
    assert(ending instanceof Snooze);
    assertEquals([ending.seconds, requests, submissions], [seconds, [], []]);
  }
});

Deno.test("transcription: a submitted transcript continues without its recording, and costs the reported length", async () => {
  const { ending, heard } = await run({
    spend: "incurred",
    inputUrl: `recordings/${USER}/gone.mp3`,
    context: { pay: () => Promise.resolve("t1") },
    get: () =>
      Promise.resolve({ text: "", words: [], audio_duration_secs: 61.5 }),
  });
  assertEquals(heard, [62]);
  // This Storage does not accept the transcript.
  assert(ending instanceof JobFailure);
  assertEquals(ending.code, "storage_unavailable");
});

Deno.test("transcription: an outage during a poll spends no attempt, and a refusal fails the job", async () => {
  for (
    const [failure, expected] of [
      [ProviderFailure.unknown("provider_unavailable"), Snooze],
      [ProviderFailure.rejected("provider_rate_limited"), Snooze],
      [
        ProviderFailure.rejected("provider_unauthorized"),
        JobFailure,
      ],
    ] as const
  ) {
    const { ending } = await run({
      spend: "incurred",
      context: { pay: () => Promise.resolve("t1") },
      get: () => Promise.reject(failure),
    });
    assert(ending instanceof expected, String(ending));
  }
});

Deno.test("transcription: a failure between the journal and the request counts as a refusal", async () => {
  let failure: unknown;
  const { submissions } = await run({
    // A refused call is no longer open, so the recording is read when it is sent again.
    spend: "unknown",
    size: 1001,
    deps: { hasWebhook: false },
    context: {
      pay: (call) =>
        call.send(never, 0).then(idOf, (error) => {
          failure = error;
          throw error;
        }),
    },
  });
  assert(failure instanceof ProviderFailure);
  assertEquals([failure.code, failure.certainty, submissions], [
    "provider_webhook_missing",
    "rejected",
    [],
  ]);
});

Deno.test("transcription: the text in the result is cut between characters", async () => {
  const character = "👍🏽";
  const text = `${"x".repeat(9_998)}${character}${character}`;
  const { ending, resultData } = await run({
    size: 1001,
    acceptsFiles: true,
    get: () => Promise.resolve({ text, words: [] }),
  });
  assertEquals(ending, null);
  assertEquals(
    [resultData?.["text"], resultData?.["is_text_cut"]],
    ["x".repeat(9_998), true],
  );
});
