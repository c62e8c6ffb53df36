/** Which crash points are visited: all of them, or so many as a test has time for. */
import type { Facts } from "./audit.ts";
import type { Moment } from "./fault-proxy.ts";
import type { Blow, Point } from "./points.ts";

/** Every moment as a point. */
export function pointsOf(moments: readonly Moment[], blow: Blow): Point[] {
  return moments.map(({ call, nth, phase }) => ({ call, nth, phase, blow }));
}

/** Before and after each call, and everything that a request to Storage or a provider can be cut at. */
function chooseKills(moments: readonly Moment[]): Point[] {
  return pointsOf(moments, "kill").filter(({ call, phase }) =>
    phase === "headers" || phase === "answered" || call === "voices.add" ||
    (call === "storage.download" && phase === "half answered")
  );
}

/** Where a worker that stands still has something in hand that is no longer its own when it wakes up. */
const STALLS = [
  ["claim_dispatched_ai_jobs", "answered"],
  ["begin_provider_calls", "answered"],
  ["voices.add", "headers"],
  ["voices.add", "answered"],
  ["complete_ai_jobs", "headers"],
] as const;

/** Where an answer that is lost leaves a worker in doubt. */
const CUTS = [
  ["claim_dispatched_ai_jobs", "answered"],
  ["begin_provider_calls", "answered"],
  ["voices.add", "half sent"],
  ["voices.add", "answered"],
  ["complete_ai_jobs", "answered"],
] as const;

function isOneOf(
  list: readonly (readonly [string, string])[],
  { call, phase }: Point,
): boolean {
  return list.some(([name, at]) => name === call && at === phase);
}

/** A choice for the type that the engine itself is tried with. */
export function choosePoints(moments: readonly Moment[]): Point[] {
  return [
    ...chooseKills(moments),
    ...pointsOf(moments, "stall").filter((point) => isOneOf(STALLS, point)),
    ...pointsOf(moments, "cut").filter((point) => isOneOf(CUTS, point)),
  ];
}

/** The calls that cost money, by their names in tables. */
const PAID = /^(voices\.add|speech|transcripts|talks\.create|videos\.create)$/;

/** Where each type is tried in little time: around what is paid, what is stored, and the end. */
export function chooseFew(moments: readonly Moment[]): Point[] {
  const last = (call: RegExp, phase: Moment["phase"]) =>
    moments.findLast((moment) =>
      call.test(moment.call) && moment.phase === phase
    );
  const isPaid = moments.some(({ call }) => PAID.test(call));
  const stored = /^storage\.(POST|PUT)$/;
  const chosen: (readonly [Moment | undefined, Blow])[] = [
    ...(isPaid
      ? [
        [last(PAID, "headers"), "kill"],
        [last(PAID, "sent"), "kill"],
        [last(PAID, "headers"), "stall"],
        [last(PAID, "answered"), "cut"],
      ] as const
      : [
        [last(/\.GET$/, "answered"), "kill"],
        [last(stored, "half sent"), "kill"],
        [last(stored, "headers"), "stall"],
        [last(/^complete/, "headers"), "kill"],
      ] as const),
    [last(stored, "answered"), "kill"],
    [last(/^complete/, "answered"), "cut"],
  ];
  // A voice clone stores nothing.
  return chosen.flatMap(([moment, blow]) =>
    moment === undefined
      ? []
      : [{ call: moment.call, nth: moment.nth, phase: moment.phase, blow }]
  );
}

/** The events that end an attempt without its result. */
const MISHAPS = new Set(["rescued", "retried", "released", "failed"]);

/** Whether an attempt of one of the jobs was broken: its run then has calls that no other run has. */
export function hadMishap(
  ids: readonly string[],
  events: readonly Pick<Facts["events"][number], "job_id" | "event">[],
): boolean {
  return events.some(({ job_id, event }) =>
    ids.includes(job_id) && MISHAPS.has(event)
  );
}
