import { assert, assertEquals } from "@std/assert";
import type {
  OpsAction,
  OpsResponse,
} from "../../../supabase/functions/_shared/contracts/ops.ts";
import { OPS_RESPONSES } from "../../../supabase/functions/_shared/contracts/ops.ts";
import type { OpsResponses, Provider } from "../../../web/console/responses.ts";
import { probeOf, standingOf, toneOf } from "../../../web/console/overview.ts";
import { CHECK_WORDS } from "../../../web/words/checks.ts";
import { searchOf } from "../../../web/words/searches.ts";

/** Compiles only if each response of the contract has the members that the page reads. */
const fits: {
  [A in OpsAction]: (answer: OpsResponse<A>) => OpsResponses[A];
} = {
  overview: (answer) => answer,
  charts: (answer) => answer,
  failures: (answer) => answer,
  providers: (answer) => answer,
  parked: (answer) => answer,
  budgets: (answer) => answer,
  search: (answer) => answer,
  job: (answer) => answer,
  payload: (answer) => ({ ...answer }),
  actions: (answer) => answer,
  preview_redrive: (answer) => answer,
  redrive: (answer) => answer,
  pause: (answer) => answer,
  resume: (answer) => answer,
  probe: (answer) => answer,
  resolve: (answer) => answer,
  take_back: (answer) => answer,
  cancel: (answer) => answer,
  retry: (answer) => answer,
  set_budget: (answer) => answer,
};

Deno.test("console: the page has a message for every action of the contract", () => {
  assertEquals(Object.keys(fits).sort(), Object.keys(OPS_RESPONSES).sort());
});

Deno.test("console: every health check of the database has a text", async () => {
  const sql = await Deno.readTextFile(
    new URL("../../../supabase/schemas/ops/health.sql", import.meta.url),
  );
  const names = [...sql.matchAll(/^\s+\(?\s*\d, '([a-z_]+)',/gm)].map(
    ([, name]) => name ?? "",
  );
  assertEquals(names.sort(), Object.keys(CHECK_WORDS).sort());
});

Deno.test("console: a share of failures names its time, and that a job which ran again still counts", () => {
  const none = { value: 0, verdict: "good", words: "None." } as const;
  const overview = {
    status: "degraded",
    checked_at: new Date().toISOString(),
    words: "Jobs run.",
    waiting: none,
    scheduled: 0,
    running: none,
    oldest_waiting: none,
    failed_last_hour: none,
    stuck: none,
    parked: none,
    completed_last_hour: 0,
    spent_micros_last_hour: 0,
  } as const;
  assertEquals(
    CHECK_WORDS["failed_share"]?.say(0.432, {
      ...overview,
      open_breakers: [],
      checks: [],
    }),
    "43 % of the jobs that ended in the last 15 minutes failed. A failure counts even if its job has run again since.",
  );
});

Deno.test("console: the state is not called good next to a number that is not", () => {
  const good = { value: 0, verdict: "good", words: "None." } as const;
  const numbers = {
    waiting: good,
    running: good,
    oldest_waiting: good,
    failed_last_hour: good,
  };
  const bad = { ...good, verdict: "bad" } as const;
  assertEquals(toneOf({ ...numbers, status: "ok" }), "good");
  assertEquals(
    toneOf({ ...numbers, failed_last_hour: bad, status: "ok" }),
    "warn",
  );
  assertEquals(toneOf({ ...numbers, status: "degraded" }), "warn");
  assertEquals(toneOf({ ...numbers, status: "failing" }), "bad");
});

Deno.test("console: a probe is offered while the breaker is open, and otherwise says why not", () => {
  const of = (state: Provider["state"], running: number) =>
    probeOf({ state, running, next_probe_at: null });
  assertEquals(of("open", 1).isUseful, true);
  assertEquals(
    [of("working", 0), of("paused", 0), of("probing", 1), of("probing", 0)],
    [
      { isUseful: false, words: "Only for a provider that is down." },
      { isUseful: false, words: "Resume it first." },
      { isUseful: false, words: "A job is trying it now." },
      { isUseful: false, words: "It is due: the next job tries it." },
    ],
  );
});

Deno.test("console: a provider's card says what happens to its jobs in each state", () => {
  const at = new Date().toISOString();
  const working = {
    provider: "heygen",
    state: "working",
    paused_at: null,
    open_since: null,
    next_probe_at: null,
    failures_in_a_row: 0,
    breaker_threshold: 10,
    last_error_code: null,
    failed_probes: 0,
    max_concurrent: 10,
    running: 0,
    waiting: 0,
    scheduled: 0,
    calls_last_hour: 0,
    spent_micros_last_hour: 0,
    spent_micros_last_day: 0,
    budget_micros: null,
    spent_micros_this_month: 0,
  } as const;
  const down = {
    ...working,
    open_since: at,
    next_probe_at: at,
    failures_in_a_row: 10,
    last_error_code: "provider_timeout",
  };
  const words = (one: Parameters<typeof standingOf>[0]) =>
    standingOf(one).join(" ").replaceAll(
      /\d\d:\d\d(:\d\d)?( [AP]M)?/g,
      "12:00",
    );
  assertEquals(words(working), "Its jobs are sent as they come.");
  assertEquals(
    words({ ...working, failures_in_a_row: 3, last_error_code: "x" }),
    "Its jobs are sent as they come. 3 calls in a row failed, the last with x. At 10 its jobs wait.",
  );
  assertEquals(
    words({ ...down, state: "open", failed_probes: 2 }),
    "Down since 12:00: 10 calls in a row failed, the last with provider_timeout. 2 probes failed since. " +
      "Its jobs wait and do not fail; nothing is sent to it. At 12:00 one job tries it.",
  );
  assertEquals(
    words({ ...down, state: "probing", running: 1 }),
    "Down since 12:00: 10 calls in a row failed, the last with provider_timeout. " +
      "Its jobs wait and do not fail. One job is trying it now; once it takes a call, all continue. " +
      "Jobs whose call was lost first ask what became of it, one at a time.",
  );
  assertEquals(
    words({ ...down, state: "paused", paused_at: at }),
    "Paused by an operator since 12:00. Jobs in flight finish, the others wait until you resume it. " +
      "Down since 12:00: 10 calls in a row failed, the last with provider_timeout.",
  );
});

Deno.test("console: each job type of a provider names what to search for, and speech and transcripts no marker", () => {
  const types: [provider: string, type: string, boolean][] = [
    ["elevenlabs", "voice_clone", true],
    ["elevenlabs", "text_to_speech", false],
    ["elevenlabs", "transcription", false],
    ["d-id", "avatar_video", true],
    ["heygen", "avatar_video", true],
  ];
  for (const [provider, type, hasMarker] of types) {
    const search = searchOf(provider, type);
    assertEquals(search.hasMarker, hasMarker, type);
    assert(search.place !== provider, type);
  }
});
