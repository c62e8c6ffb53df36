/**
 * The main guarantee, under random faults: however the provider responds, and whenever isolates die, stall or shut down, a
 * job is paid for at most once, and it ends.
 *
 * Assumed, as by `ai_job_types.reconcile_seconds`: the delay of a request plus the lag of the provider's listing is shorter
 * than that time.
 */
import { assert, assertEquals } from "@std/assert";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { Heartbeats } from "../../../../supabase/functions/_shared/jobs/heartbeats.ts";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/job-context.ts";
import { JobRun } from "../../../../supabase/functions/_shared/jobs/job-run.ts";
import { ShuttingDown } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import type { PaidCall } from "../../../../supabase/functions/_shared/jobs/paid-call.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";
import {
  type FakeJob,
  FakeRepository,
} from "../../../_support/fake-repository.ts";
import fc from "../../../_support/fast-check.ts";

const RECONCILE_SECONDS = 60;
const LEASE_SECONDS = 10;
const MAX_LAG_SECONDS = 25;

/** One attempt, in one isolate. */
interface Round {
  /** The provider's reaction to the paid call. */
  send:
    | "makes"
    | "refuses"
    | "is busy"
    | "is at our concurrency limit"
    | "makes, response lost"
    | "breaks";
  /** The provider's reaction to a query. */
  query: "answers" | "fails" | "is at our concurrency limit" | "is not allowed";
  /** What happens to the isolate, and at which of its external calls. */
  event: { at: number; kind: "die" | "shut down" | "stall" | "cancel" } | null;
}

interface Scenario {
  rounds: Round[];
  maxAttempts: number;
  lagSeconds: number;
}

const CALM: Round = { send: "makes", query: "answers", event: null };

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  rounds: fc.array(
    fc.record<Round>({
      send: fc.constantFrom(
        "makes",
        "is busy",
        "is at our concurrency limit",
        "makes, response lost",
        "breaks",
        "refuses",
      ),
      query: fc.constantFrom(
        "answers",
        "fails",
        "is at our concurrency limit",
        "is not allowed",
      ),
      event: fc.option(fc.record({
        at: fc.nat(14),
        kind: fc.constantFrom("die", "shut down", "stall", "cancel"),
      })),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  maxAttempts: fc.integer({ min: 1, max: 5 }),
  lagSeconds: fc.nat(MAX_LAG_SECONDS),
});

/** How a processor makes its paid call: correctly, or as in one of the twins. */
type Pay = (context: JobContext, call: PaidCall) => Promise<string>;
const rightly: Pay = (context, call) => context.pay(call);

const AT_LIMIT = ProviderFailure.rejected("provider_concurrency_limited", {});

/** A provider that stores its objects, and lists them after a lag. */
class Provider {
  readonly made: { id: string; at: number }[] = [];
  constructor(readonly now: () => number, readonly lagSeconds: number) {}

  async send(round: Round, reach: () => Promise<void>): Promise<string> {
    await reach();
    if (round.send === "refuses") {
      throw ProviderFailure.rejected("provider_rejected_input");
    }
    if (round.send === "is busy") {
      throw ProviderFailure.rejected("provider_rate_limited");
    }
    if (round.send === "is at our concurrency limit") throw AT_LIMIT;
    if (round.send === "breaks") {
      throw ProviderFailure.unknown("provider_unavailable");
    }
    const id = `voice-${this.made.length + 1}`;
    this.made.push({ id, at: this.now() });
    await reach();
    if (round.send === "makes, response lost") {
      throw ProviderFailure.unknown("provider_timeout");
    }
    return id;
  }

  async find(round: Round, reach: () => Promise<void>): Promise<string | null> {
    await reach();
    if (round.query === "is at our concurrency limit") throw AT_LIMIT;
    if (round.query !== "answers") {
      throw new ProviderFailure(
        "provider_unavailable",
        round.query === "fails" ? "unknown" : "rejected",
        { isRetryable: round.query === "fails" },
      );
    }
    const listed = this.made.find((voice) =>
      voice.at + this.lagSeconds <= this.now()
    );
    return listed?.id ?? null;
  }
}

class Death extends Error {}

/** The result of a scenario. */
interface Ending {
  row: FakeJob;
  repository: FakeRepository;
  provider: Provider;
}

/** Runs a scenario, then attempts without faults until the job is final. */
async function live(scenario: Scenario, pay: Pay): Promise<Ending> {
  let seconds = 0;
  const repository = new FakeRepository({
    leaseSeconds: LEASE_SECONDS,
    reconcileSeconds: RECONCILE_SECONDS,
  });
  const pass = (more: number) => {
    seconds += more;
    repository.pass(more);
  };
  const provider = new Provider(() => seconds, scenario.lagSeconds);
  const row = repository.insert({ maxAttempts: scenario.maxAttempts });
  const rounds = [...scenario.rounds];

  async function isolate(round: Round, mayStall: boolean): Promise<void> {
    if (row.status !== "pending") return;
    pass(Math.max(0, repository.wait(row)));
    const job = repository.claim(row);
    const shutdown = new AbortController();
    let points = 0;
    let isDead = false;
    const reach = async () => {
      if (isDead) throw new Death();
      if (points++ !== round.event?.at) return;
      switch (round.event.kind) {
        case "die":
          isDead = true;
          throw new Death();
        case "shut down":
          return shutdown.abort(new ShuttingDown("wall_clock"));
        case "cancel":
          return repository.requestCancel(row);
        case "stall": {
          if (!mayStall) return;
          // Another worker claims the job; then this isolate resumes.
          pass(LEASE_SECONDS + 1);
          repository.rescue();
          await isolate(rounds.shift() ?? CALM, false);
          repository.interrupt = reach;
        }
      }
    };
    repository.interrupt = reach;
    const platform = fakePlatform();
    const log = createLogger(platform, { level: "error", secrets: [] });
    await new JobRun({
      platform,
      repository,
      processors: new Map([["voice_clone", {
        jobType: "voice_clone",
        run: async (context) => {
          context.progress(10, "fetching_input");
          const id = await pay(context, {
            operation: "create_voice",
            stage: "calling_provider",
            progressBefore: 30,
            progressAfter: 70,
            units: 1,
            send: () => provider.send(round, reach),
            find: () => provider.find(round, reach),
          });
          return { resultData: { voice_id: id } };
        },
      }]]),
      results: {
        find: () => Promise.resolve(null),
        remember: () => Promise.resolve(),
      },
      dependencyOf: () => Promise.resolve(null),
      log,
      heartbeats: new Heartbeats(platform, repository, log),
      deadlineMs: 135_000,
      shutdown: shutdown.signal,
      removeLostFiles: () => Promise.resolve(0),
    }, job).run();
    repository.interrupt = () => {};
  }

  for (let lives = 0; lives < 50 && !isFinal(row); lives++) {
    await isolate(rounds.shift() ?? CALM, true);
    if (row.status === "processing") {
      pass(LEASE_SECONDS + 1);
      repository.rescue();
    }
  }
  return { row, repository, provider };
}

const isFinal = (row: FakeJob) =>
  row.status === "completed" || row.status === "failed" ||
  row.status === "cancelled";

const isPaidOnce = ({ provider }: Ending) => provider.made.length <= 1;

/** Checks the conditions of every ending. */
function judge(ending: Ending): void {
  const { row, repository, provider } = ending;
  assert(isPaidOnce(ending), `${provider.made.length} were paid for`);
  assert(isFinal(row), `the job is still ${row.status}`);
  if (row.status === "completed") {
    assertEquals(row.completion?.resultData["voice_id"], provider.made[0]?.id);
  }
  // Spent money is recorded: by the voice's id, or as a call with an unknown outcome.
  if (provider.made.length === 1) {
    const outcomes = repository.journal.calls.map((call) => call.outcome);
    const onRecord = ["succeeded", "adopted", "unknown"];
    assert(
      outcomes.some((outcome) => onRecord.includes(outcome)),
      outcomes.join(),
    );
  }
}

Deno.test("JobRun: under any faults of provider and isolates, a job is paid for at most once, and ends", async () => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const ending = await live(scenario, rightly);
      judge(ending);
      const calls = ending.repository.journal.calls;
      seen.add([
        ending.row.status,
        ending.row.errorCode,
        ...calls.map((call) => call.outcome),
      ].join(" "));
    }),
    { numRuns: 2_000 },
  );
  // The interesting endings occurred.
  for (
    const ending of [
      /^completed .*succeeded$/,
      /^completed .*adopted$/,
      /^completed .*absent succeeded$/,
      /^completed .*rejected.*succeeded$/,
      /^failed provider_rejected_input/,
      /^failed provider_rate_limited/,
      /^failed outcome_unknown .*unknown$/,
      /^failed lease_expired/,
      /^cancelled cancelled$/,
      /^cancelled cancelled .*unknown$/,
      /^cancelled cancelled .*rejected$/,
    ]
  ) {
    const hasOccurred = [...seen].some((one) => ending.test(one));
    assert(hasOccurred, `${ending} is not among ${[...seen].join("; ")}`);
  }
});

// The twins: each breaks one rule, and a job is paid for twice.

const twins: Record<string, Pay> = {
  "is sent without the journal": async (context, call) => {
    const made = await call.send(context.signal, 0);
    return typeof made === "string" ? made : made.providerObjectId;
  },
  "treats an unknown outcome as a refusal": (context, call) =>
    context.pay({
      ...call,
      send: (signal) =>
        call.send(signal, 0).catch((error) => {
          throw error instanceof ProviderFailure
            ? ProviderFailure.rejected(error.code, { isRetryable: true })
            : error;
        }),
    }),
  "treats a failed query as an empty one": (context, call) =>
    context.pay({
      ...call,
      find: (signal) => call.find(signal).catch(() => null),
    }),
  "is a new step each time": (context, call) =>
    context.pay({ ...call, operation: `create_voice_${crypto.randomUUID()}` }),
};
for (const [fault, pay] of Object.entries(twins)) {
  Deno.test(`JobRun: with a paid call that ${fault}, a job would be paid for twice`, async () => {
    const { failed, counterexample } = await fc.check(
      fc.asyncProperty(
        scenarios,
        async (scenario) => isPaidOnce(await live(scenario, pay)),
      ),
      { numRuns: 20_000 },
    );
    assert(failed && counterexample !== null);
    // With the same faults, a correct call is paid for once.
    judge(await live(counterexample[0], rightly));
  });
}
