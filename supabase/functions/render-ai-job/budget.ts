/**
 * Limits the processor time of a request to what a hosted isolate certainly has. An isolate has 2 s in
 * all, and receives no further request once it has used 1 s: a request has to fit into the other second. The runtime
 * has no clock for processor time, so the costs are those that `deno task bench:pdf-render` measures, rounded up.
 */

/** Processor time for the work of one request, in milliseconds, by {@link COSTS}. */
const REQUEST_MS = 800;

/** Costs in milliseconds of processor time. */
export const COSTS = {
  /** The start of a request: claim, checkpoint, slideshow. */
  claim: 100,
  /** Reading a part of an object of Storage. */
  read: 3,
  /** Copying a mebibyte from Storage to Storage, through TLS both ways. */
  passedMebibyte: 6,
  /** Decompressing a mebibyte of pixels and compressing it again. */
  unpackedMebibyte: 13,
  /** Loading the fonts and the PDF writer. */
  pages: 350,
  /** A slide, and each character of its text. */
  slide: 1,
  character: 0.022,
} as const;

/** The processor time that is left of one request. */
export class Budget {
  #left: number;
  #hasBegun = false;

  /**
   * @param attempt of the job, from 1. A request that was killed may have cost more than the model says, so each
   *   further attempt plans with less: a half, a third, …
   */
  constructor(attempt: number) {
    this.#left = REQUEST_MS / attempt - COSTS.claim;
  }

  /**
   * Reserves the cost of a piece of work; false when too little is left. The first piece of a request is always
   * granted.
   *
   * @param ms by {@link COSTS}.
   */
  take(ms: number): boolean {
    if (this.#hasBegun && ms > this.#left) return false;
    this.#hasBegun = true;
    this.#left -= ms;
    return true;
  }
}
