import { assertEquals } from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import { elevenLabsWebhookSchema } from "../../../../supabase/functions/_shared/providers/elevenlabs/webhook.ts";
import { heyGenWebhookSchema } from "../../../../supabase/functions/_shared/providers/heygen/webhook.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";

for (const name of ["webhook-success", "webhook-fail"]) {
  Deno.test(`heyGenWebhookSchema: ${name} names our job and their video`, () => {
    const url = new URL(
      `../../../fixtures/heygen/${name}.json`,
      import.meta.url,
    );
    const { body } = JSON.parse(Deno.readTextFileSync(url));
    assertEquals(heyGenWebhookSchema.parse(body), {
      jobId: JOB,
      providerJobId: "b3f1c0de9a7745d2a1e6c3a5f0d2b8e4",
    });
  });
}

Deno.test("heyGenWebhookSchema: a callback id that is not ours is ignored, the video's id still counts", () => {
  assertEquals(
    heyGenWebhookSchema.parse({
      event_data: { callback_id: "their own", video_id: "v" },
    }),
    { providerJobId: "v" },
  );
});

for (
  const [how, metadata] of [
    ["an object", { job_id: JOB }],
    ["JSON text", JSON.stringify({ job_id: `job:${JOB}` })],
  ] as const
) {
  Deno.test(`elevenLabsWebhookSchema: metadata as ${how} names our job`, () => {
    assertEquals(
      elevenLabsWebhookSchema.parse({
        type: "speech_to_text_transcription",
        data: {
          request_id: "r",
          webhook_metadata: metadata,
          transcription: { transcription_id: "t", text: "…" },
        },
      }),
      { jobId: JOB, providerJobId: "t", submissionId: "r" },
    );
  });
}

Deno.test("elevenLabsWebhookSchema: without the id of a transcript there is only that of the submission", () => {
  assertEquals(
    elevenLabsWebhookSchema.parse({ data: { request_id: "r" } }),
    { providerJobId: "r" },
  );
});

Deno.test("webhook schemas: any JSON names a job or nothing, and nothing throws", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const schema of [heyGenWebhookSchema, elevenLabsWebhookSchema]) {
        for (const body of [value, { data: value }, { event_data: value }]) {
          const named = schema.safeParse(body).data ?? {};
          assertEquals(
            Object.keys(named).filter((key) =>
              key !== "jobId" && key !== "providerJobId"
            ),
            [],
          );
        }
      }
    }),
    { numRuns: 2000 },
  );
});
