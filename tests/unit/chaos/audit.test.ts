/** Each rule of the audit finds its violation, and nothing in consistent data. */
import { assert, assertEquals } from "@std/assert";
import {
  audit,
  AUDIT_RULES,
  type AuditRule,
  type Facts,
} from "../../chaos/audit.ts";

const NOW = new Date("2026-03-04T12:00:00Z");
const before = (seconds: number) => new Date(NOW.getTime() - seconds * 1000);
const ANN = "ann", BOB = "bob";

/** One job of each kind, with all its rows. */
function healthy(): Facts {
  const job = (
    id: string,
    user_id: string,
    more: Partial<Facts["jobs"][number]>,
  ): Facts["jobs"][number] => ({
    id,
    user_id,
    job_type: "voice_clone",
    provider: "elevenlabs",
    status: "completed",
    attempt: 1,
    max_attempts: 3,
    error_code: null,
    spend: "incurred",
    billable_calls: 1,
    provider_job_id: null,
    cached_from_job_id: null,
    depends_on_job_id: null,
    output_url: null,
    cancel_requested_at: null,
    scheduled_at: before(60),
    lease_expires_at: null,
    completed_at: before(30),
    created_at: before(60),
    event_seq: 2,
    last_event: "completed",
    ...more,
  });
  const events = (
    job_id: string,
    ...named: [event: string, secondsAgo: number][]
  ) =>
    named.map(([event, secondsAgo], index) => ({
      job_id,
      seq: index + 1,
      event,
      created_at: before(secondsAgo),
    }));
  return {
    now: NOW,
    jobs: [
      job("done", ANN, {}),
      job("filmed", ANN, {
        job_type: "avatar_video",
        provider: "d-id",
        output_url: "outputs/ann/filmed/video.mp4",
        last_event: "completed",
      }),
      job("parked", ANN, {
        status: "failed",
        error_code: "outcome_unknown",
        spend: "unknown",
        last_event: "failed",
      }),
      job("running", BOB, {
        status: "processing",
        spend: "none",
        billable_calls: 0,
        lease_expires_at: before(-10),
        completed_at: null,
        event_seq: 1,
        last_event: "claimed",
      }),
      job("waiting", BOB, {
        status: "pending",
        attempt: 0,
        spend: "none",
        billable_calls: 0,
        completed_at: null,
        scheduled_at: before(-60),
        event_seq: 1,
        last_event: "created",
      }),
    ],
    events: [
      ...events("done", ["claimed", 50], ["completed", 30]),
      ...events("filmed", ["claimed", 80], ["completed", 70]),
      ...events("parked", ["claimed", 25], ["failed", 20]),
      ...events("running", ["claimed", 5]),
      ...events("waiting", ["created", 60]),
    ],
    calls: [
      {
        job_id: "done",
        operation: "voices.add",
        outcome: "succeeded",
        provider_object_id: "voice-1",
      },
      {
        job_id: "filmed",
        operation: "create_video",
        outcome: "succeeded",
        provider_object_id: "talk-1",
      },
      {
        job_id: "parked",
        operation: "voices.add",
        outcome: "unknown",
        provider_object_id: null,
      },
    ],
    voices: [{ job_id: "done", provider_voice_id: "voice-1" }],
    limits: [
      {
        user_id: null,
        max_concurrent_jobs: 1,
        active_jobs_at_most: 0,
        jobs_that_day: 0,
        is_counted_today: true,
        is_paused: false,
      },
      {
        user_id: ANN,
        max_concurrent_jobs: null,
        active_jobs_at_most: 0,
        jobs_that_day: 3,
        is_counted_today: true,
        is_paused: false,
      },
      {
        user_id: BOB,
        max_concurrent_jobs: 2,
        active_jobs_at_most: 2,
        jobs_that_day: 2,
        is_counted_today: true,
        is_paused: false,
      },
    ],
    types: [{
      job_type: "voice_clone",
      provider: "elevenlabs",
      may_run: true,
      lease_seconds: 10,
    }, {
      job_type: "avatar_video",
      provider: "d-id",
      may_run: true,
      lease_seconds: 10,
    }],
    products: [{ job_id: "filmed", kind: "avatar" }],
    files: ["outputs/ann/filmed/video.mp4"],
    providers: [{ provider: "elevenlabs", max_concurrent: 2 }, {
      provider: "d-id",
      max_concurrent: 1,
    }],
    creations: [{
      id: "voice-1",
      provider: "elevenlabs",
      operation: "voices.add",
      marker: "done",
    }, {
      id: "talk-1",
      provider: "d-id",
      operation: "talks.create",
      marker: "filmed",
    }],
    capsSince: before(3600),
    samples: [[{ provider: "elevenlabs", user_id: ANN, running: 1 }]],
  };
}

function jobOf(facts: Facts, id: string): Facts["jobs"][number] {
  const job = facts.jobs.find((job) => job.id === id);
  assert(job !== undefined);
  return job;
}

const SPOILT: { rule: AuditRule; what: string; spoil(facts: Facts): void }[] = [
  {
    rule: "unfinished",
    what: "a due job without a reason to wait",
    spoil: (facts) => jobOf(facts, "waiting").scheduled_at = before(120),
  },
  {
    rule: "unfinished",
    what: "a waiting job that its owner has cancelled",
    spoil: (facts) => jobOf(facts, "waiting").cancel_requested_at = before(1),
  },
  {
    rule: "overdue",
    what: "an expired lease that is not rescued",
    spoil: (facts) => jobOf(facts, "running").lease_expires_at = before(120),
  },
  {
    rule: "attempts",
    what: "one attempt too many",
    spoil: (facts) => jobOf(facts, "running").attempt = 4,
  },
  {
    rule: "attempts",
    what: "a waiting job without an attempt left",
    spoil: (facts) => jobOf(facts, "waiting").attempt = 3,
  },
  {
    rule: "billed twice",
    what: "two voices for one job",
    spoil: (facts) =>
      facts.creations.push({
        id: "voice-2",
        provider: "elevenlabs",
        operation: "voices.add",
        marker: "done",
      }),
  },
  {
    rule: "billed without a job",
    what: "a voice without a job",
    spoil: (facts) =>
      facts.creations.push({
        id: "voice-2",
        provider: "elevenlabs",
        operation: "voices.add",
        marker: null,
      }),
  },
  {
    rule: "spend",
    what: "a row that says nothing was spent",
    spoil: (facts) => jobOf(facts, "done").spend = "none",
  },
  {
    rule: "spend",
    what: "a row that says something was spent",
    spoil: (facts) => jobOf(facts, "running").spend = "incurred",
  },
  {
    rule: "parked",
    what: "an unknown spend under another error code",
    spoil: (facts) => jobOf(facts, "parked").error_code = "provider_timeout",
  },
  {
    rule: "journal",
    what: "a call in flight of a final job",
    spoil: ({ calls }) => {
      for (const call of calls) {
        if (call.job_id === "parked") call.outcome = "sent";
      }
    },
  },
  {
    rule: "caps",
    what: "a user with two jobs at the same time, seen in a sample",
    spoil: (facts) =>
      facts.samples.push([{
        provider: "elevenlabs",
        user_id: ANN,
        running: 2,
      }]),
  },
  {
    rule: "caps",
    what: "a user with two jobs at the same time, by their events",
    spoil: ({ events }) => {
      for (const event of events) {
        if (event.job_id === "parked" && event.event === "claimed") {
          event.created_at = before(40);
        }
      }
    },
  },
  {
    rule: "limits",
    what: "a wrong count of active jobs",
    spoil: ({ limits }) => {
      for (const limit of limits) {
        if (limit.user_id === BOB) limit.active_jobs_at_most = 1;
      }
    },
  },
  {
    rule: "limits",
    what: "a wrong count of the day's jobs",
    spoil: ({ limits }) => {
      for (const limit of limits) {
        if (limit.user_id === ANN) limit.jobs_that_day = 1;
      }
    },
  },
  {
    rule: "events",
    what: "a gap in the numbers",
    spoil: ({ events }) => {
      for (const event of events) {
        if (event.job_id === "done" && event.seq === 2) event.seq = 3;
      }
    },
  },
  {
    rule: "events",
    what: "a missing event",
    spoil: (facts) => jobOf(facts, "done").event_seq = 3,
  },
  {
    rule: "voices",
    what: "a completed job without its voice",
    spoil: ({ voices }) => voices.splice(0),
  },
  {
    rule: "voices",
    what: "a voice created for another job",
    spoil: ({ voices }) => {
      for (const voice of voices) voice.provider_voice_id = "voice-9";
    },
  },
  {
    rule: "products",
    what: "a video without its row",
    spoil: ({ products }) => products.splice(0),
  },
  {
    rule: "products",
    what: "two rows for one video",
    spoil: ({ products }) =>
      products.push({ job_id: "filmed", kind: "avatar" }),
  },
  {
    rule: "products",
    what: "a video without its file",
    spoil: ({ files }) => files.splice(0),
  },
  {
    rule: "products",
    what: "a row of a job type that creates none",
    spoil: ({ products }) => products.push({ job_id: "done", kind: "pdf" }),
  },
  {
    rule: "caps",
    what: "two videos at the same time at a provider with a cap of one",
    spoil: (facts) =>
      facts.samples.push([
        { provider: "d-id", user_id: ANN, running: 1 },
        { provider: "d-id", user_id: BOB, running: 1 },
      ]),
  },
];

Deno.test("audit: reports nothing for consistent data", () => {
  assertEquals(audit(healthy()), []);
});

for (const { rule, what, spoil } of SPOILT) {
  Deno.test(`audit: ${what} is found as "${rule}"`, () => {
    const facts = healthy();
    spoil(facts);
    const found = audit(facts).map((finding) => finding.rule);
    assert(found.includes(rule), `found: ${found.join(", ")}`);
  });
}

Deno.test("audit: every rule has a violation in this test", () => {
  const tried = new Set(SPOILT.map(({ rule }) => rule));
  assertEquals([...tried].sort(), Object.keys(AUDIT_RULES).sort());
});
