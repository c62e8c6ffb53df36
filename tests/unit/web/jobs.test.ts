import { assertEquals } from "@std/assert";
import {
  cancelWarningOf,
  eventOf,
  stageOf,
  statusOf,
  typeWordsOf,
} from "../../../web/words/jobs.ts";

Deno.test("page words: the text about the end of a paid call shows whether a response arrived", () => {
  const words = (outcome?: string) =>
    eventOf({ event: "settled", stage: "calling_provider", outcome });
  assertEquals(words("unknown"), "No response arrived from the AI service");
  assertEquals(words("succeeded"), "The AI service answered");
  assertEquals(words("rejected"), "The AI service refused");
  assertEquals(words(), "The call to the AI service ended");
});

const pending = {
  status: "pending",
  stage: "rendering",
  error_code: null,
  cancel_requested_at: null,
  depends_on_job_id: null,
  attempt: 1,
  jobs_ahead: null,
} as const;

Deno.test("page words: a job is shown as working while the provider works, not while it waits after a failure", () => {
  assertEquals(
    [statusOf(pending).name, stageOf(pending)],
    ["Working", "Making the film"],
  );
  const words = (error_code: string, stage = "speaking") => {
    const job = { ...pending, stage, error_code };
    return [statusOf(job).name, stageOf(job)];
  };
  assertEquals(words("provider_unavailable"), [
    "Waiting",
    "The AI service does not answer; it will be tried again",
  ]);
  assertEquals(words("provider_rate_limited"), [
    "Waiting",
    "The AI service is busy; it will be tried again",
  ]);
  assertEquals(words("lease_expired"), [
    "Waiting",
    "Waiting for the next attempt",
  ]);
  assertEquals(words("provider_unavailable", "waiting_for_recovery"), [
    "Waiting",
    "Waiting until the AI service answers again",
  ]);
  assertEquals(
    stageOf({
      ...pending,
      status: "processing",
      stage: "speaking",
      error_code: "provider_unavailable",
    }),
    "Speaking",
  );
});

Deno.test("typeWordsOf: a type that the page does not know has its own name", () => {
  assertEquals(typeWordsOf("pdf_render").name, "Book");
  assertEquals(typeWordsOf("sound_effect").name, "sound_effect");
  assertEquals(typeWordsOf("constructor").name, "constructor");
});

Deno.test("page words: cancelling has a warning once a paid call is sent, and while it can be cancelled", () => {
  const warns = (
    status: "pending" | "processing" | "cancelled",
    spend: "none" | "unknown" | "incurred",
    cancel_requested_at: string | null = null,
  ) => cancelWarningOf({ status, spend, cancel_requested_at }) !== undefined;
  assertEquals(
    [warns("processing", "none"), warns("pending", "none")],
    [false, false],
  );
  assertEquals(
    [
      warns("processing", "unknown"),
      warns("pending", "incurred"),
      warns("pending", "unknown"),
    ],
    [true, true, true],
  );
  assertEquals(
    [
      warns("processing", "unknown", "2026-11-30T12:00:00Z"),
      warns("cancelled", "incurred"),
    ],
    [false, false],
  );
});
