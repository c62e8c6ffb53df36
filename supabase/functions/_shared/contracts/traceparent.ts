/** W3C Trace Context (https://www.w3.org/TR/trace-context/), version 00. */

const TRACEPARENT =
  /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A `traceparent` and the trace that it names, 32 hexadecimal digits. */
export interface Trace {
  traceparent: string;
  traceId: string;
}

/** Reads a `traceparent`; undefined when it is absent or malformed, which counts as absent. */
export function readTrace(
  traceparent: string | null | undefined,
): Trace | undefined {
  const [, traceId] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  return traceId === undefined || traceparent === null ||
      traceparent === undefined
    ? undefined
    : { traceparent, traceId };
}
