/** When an avatar video is polled, and what a poll does not read. tests/functions tests its requests. */
import { assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { z } from "zod";
import { AVATAR_PROVIDERS } from "../../../supabase/functions/_shared/contracts/avatar-video.ts";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../supabase/functions/_shared/failures/provider-failure.ts";
import { Snooze } from "../../../supabase/functions/_shared/jobs/outcome.ts";
import type { JobContext } from "../../../supabase/functions/_shared/jobs/job-context.ts";
import { createLogger } from "../../../supabase/functions/_shared/platform/log.ts";
import type {
  AvatarVideos,
  AvatarVideoState,
} from "../../../supabase/functions/_shared/providers/avatar-videos.ts";
import type { ResultDownload } from "../../../supabase/functions/_shared/providers/result-download.ts";
import { createAvatarVideoProcessor } from "../../../supabase/functions/process-ai-job/processors/avatar-video.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const USER = "9c1d7f04-1c8b-4b8e-8f53-2f9b0a6f7e22";
const STARTED = Date.parse("2026-11-22T10:00:00Z");

function fakeProvider(
  pauses: AvatarVideos["pauses"],
  read: () => Promise<AvatarVideoState>,
  chargesFailed = true,
): AvatarVideos {
  const refuse = () => Promise.reject(new Error("not expected here"));
  return {
    maxAudioBytes: 1,
    maxAudioSeconds: 600,
    audioTypes: [],
    chargesFailed,
    pauses,
    uploadPhoto: refuse,
    uploadAudio: refuse,
    create: refuse,
    findByMarker: refuse,
    remove: refuse,
    read,
  };
}

/** A submitted job that is polled `seconds` after its start. */
function context(
  ageSeconds: number,
  recordUsage: (operation: string, units: number) => void = () => {},
  reportMissing: JobContext["reportMissing"] = () => Promise.resolve(),
): JobContext {
  return {
    job: {
      id: JOB,
      user_id: USER,
      job_type: "avatar_video",
      provider: "d-id",
      spend: "incurred",
      input_url: `uploads/${USER}/face.jpg`,
      metadata: { text: "Hello.", voice_id: "v" },
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
    signal: new AbortController().signal,
    remainingMs: () => 100_000,
    progress() {},
    // The call has succeeded: its id is returned, and nothing is sent.
    pay: () => Promise.resolve("tlk_1"),
    recordUsage: (operation, units) =>
      Promise.resolve(recordUsage(operation, units)),
    reportMissing,
    dependency: () => Promise.resolve(null),
  };
}

function run(
  ageSeconds: number,
  read: () => Promise<AvatarVideoState>,
  options: {
    chargesFailed?: boolean;
    recordUsage?: (operation: string, units: number) => void;
    reportMissing?: JobContext["reportMissing"];
  } = {},
): Promise<unknown> {
  const provider = fakeProvider(
    { first: 5, longest: 60 },
    read,
    options.chargesFailed,
  );
  const download = () => {
    throw JobFailure.retryable("provider_unavailable");
  };
  return createAvatarVideoProcessor({
    supabase: createClient<Database>("http://127.0.0.1:1", "key", {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: () => Promise.reject(new Error("Storage must not be called")),
      },
    }),
    providers: z.record(z.enum(AVATAR_PROVIDERS), z.custom<AvatarVideos>())
      .parse(
        Object.fromEntries(AVATAR_PROVIDERS.map((name) => [name, provider])),
      ),
    results: z.record(z.enum(AVATAR_PROVIDERS), z.custom<ResultDownload>())
      .parse(
        Object.fromEntries(AVATAR_PROVIDERS.map((name) => [name, download])),
      ),
    random: Math.random,
  }).run(context(ageSeconds, options.recordUsage, options.reportMissing));
}

for (
  const { what, state, chargesFailed, expected } of [
    {
      what: "is finished costs its length, rounded up to whole seconds",
      state: {
        status: "done",
        videoUrl: "http://127.0.0.1/film.mp4",
        durationSeconds: 7.2,
      },
      chargesFailed: true,
      expected: [["create_video", 8]],
    },
    {
      what: "is finished without a length costs the estimate",
      state: {
        status: "done",
        videoUrl: "http://127.0.0.1/film.mp4",
        durationSeconds: null,
      },
      chargesFailed: true,
      expected: [],
    },
    {
      what: "fails costs nothing if the provider does not charge for it",
      state: {
        status: "failed",
        code: "provider_render_failed",
        reason: "no face",
      },
      chargesFailed: false,
      expected: [["create_video", 0]],
    },
    {
      what: "fails costs the estimate if the provider may charge for it",
      state: {
        status: "failed",
        code: "provider_render_failed",
        reason: "no face",
      },
      chargesFailed: true,
      expected: [],
    },
  ] as const
) {
  Deno.test(`avatar video: a video that ${what}`, async () => {
    const recorded: [string, number][] = [];
    await assertRejects(
      () =>
        run(20, () => Promise.resolve(state), {
          chargesFailed,
          recordUsage: (operation, units) => recorded.push([operation, units]),
        }),
      JobFailure,
    );
    assertEquals<unknown>(recorded, expected);
  });
}

for (
  const [age, pause] of [[0, 5], [9, 5], [20, 10], [60, 30], [120, 60], [
    7200,
    60,
  ]] as const
) {
  Deno.test(`avatar video: ${age} s after its start a render is polled again in ${pause} s, and no file is read`, async () => {
    const snooze = await assertRejects(
      () => run(age, () => Promise.resolve({ status: "rendering" })),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [pause, "rendering"]);
  });
}

for (
  const [code, stage] of [
    ["provider_unavailable", "waiting_for_recovery"],
    ["provider_timeout", "waiting_for_recovery"],
    ["provider_rate_limited", "waiting_for_provider"],
  ] as const
) {
  Deno.test(`avatar video: ${code} during a render snoozes the job for the provider's Retry-After`, async () => {
    const snooze = await assertRejects(
      () =>
        run(20, () =>
          Promise.reject(
            ProviderFailure.unknown(code, {
              retryAfterSeconds: 17,
            }),
          )),
      Snooze,
    );
    assertEquals([snooze.seconds, snooze.stage], [17, stage]);
  });
}

Deno.test("avatar video: an invalid response spends an attempt, so that the job ends", async () => {
  const failure = await assertRejects(
    () =>
      run(20, () =>
        Promise.reject(
          ProviderFailure.unknown("provider_answer_invalid"),
        )),
    JobFailure,
  );
  assertEquals([failure.code, failure.isRetryable], [
    "provider_answer_invalid",
    true,
  ]);
});

for (
  const [isNamed, code] of [
    [true, "provider_object_missing"],
    [false, "provider_answer_invalid"],
  ] as const
) {
  Deno.test(`avatar video: a video that is gone ends with ${code} if it was ${isNamed ? "named by an operator" : "returned by the call"}`, async () => {
    const missing: string[] = [];
    const failure = await assertRejects(
      () =>
        run(20, () =>
          Promise.reject(
            ProviderFailure.unknown("provider_answer_invalid", {
              httpStatus: 404,
              isGone: true,
            }),
          ), {
          reportMissing: (operation) => {
            missing.push(operation);
            return isNamed
              ? Promise.reject(JobFailure.final("provider_object_missing"))
              : Promise.resolve();
          },
        }),
      JobFailure,
    );
    assertEquals([failure.code, missing], [code, ["create_video"]]);
  });
}
