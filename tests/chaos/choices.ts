/** Selects the crash points to visit: all of them, or as many as a test has time for. */
import type { Facts } from "./audit.ts";
import type { Moment } from "./fault-proxy.ts";
import type { Fault, Point } from "./points.ts";

/** Every moment as a point. */
export function pointsOf(moments: readonly Moment[], fault: Fault): Point[] {
  return moments.map(({ call, nth, phase }) => ({ call, nth, phase, fault }));
}

/** Before and after each call, and within the requests to Storage and the provider. */
function chooseKills(moments: readonly Moment[]): Point[] {
  return pointsOf(moments, "kill").filter(({ call, phase }) =>
    phase === "headers" || phase === "answered" || call === "voices.add" ||
    (call === "storage.download" && phase === "half answered")
  );
}

/** Moments at which a stalled worker holds a job or a call that another worker takes over. */
const STALLS = [
  ["claim_dispatched_ai_jobs", "answered"],
  ["begin_provider_calls", "answered"],
  ["voices.add", "headers"],
  ["voices.add", "answered"],
  ["complete_ai_jobs", "headers"],
] as const;

/** Moments at which a lost response leaves the outcome of a call unknown to the worker. */
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

/** The points of a voice clone that a bounded run visits. */
export function choosePoints(moments: readonly Moment[]): Point[] {
  return [
    ...chooseKills(moments),
    ...pointsOf(moments, "stall").filter((point) => isOneOf(STALLS, point)),
    ...pointsOf(moments, "cut").filter((point) => isOneOf(CUTS, point)),
  ];
}

/** Calls that cost money. */
const PAID = /^(voices\.add|speech|transcripts|talks\.create|videos\.create)$/;

/** Six points of a job type: around the paid call, the stored file and the completion. */
export function chooseFew(moments: readonly Moment[]): Point[] {
  const last = (call: RegExp, phase: Moment["phase"]) =>
    moments.findLast((moment) =>
      call.test(moment.call) && moment.phase === phase
    );
  const isPaid = moments.some(({ call }) => PAID.test(call));
  const stored = /^storage\.(POST|PUT)$/;
  const chosen: (readonly [Moment | undefined, Fault])[] = [
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
  return chosen.flatMap(([moment, fault]) =>
    moment === undefined
      ? []
      : [{ call: moment.call, nth: moment.nth, phase: moment.phase, fault }]
  );
}

/** Events that end an attempt without a result. */
const INTERRUPTIONS = new Set(["rescued", "retried", "released", "failed"]);

/** Whether an attempt of one of the jobs was interrupted: its run then has calls that other runs do not have. */
export function wasInterrupted(
  ids: readonly string[],
  events: readonly Pick<Facts["events"][number], "job_id" | "event">[],
): boolean {
  return events.some(({ job_id, event }) =>
    ids.includes(job_id) && INTERRUPTIONS.has(event)
  );
}
