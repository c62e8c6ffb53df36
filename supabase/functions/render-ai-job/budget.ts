/**
 * How much processor time work takes, so that one request never takes more than a hosted isolate surely has. It has 2 s in all,
 * and gets no further request once it has used 1 s: what a request takes has to fit into the other one. The clock of the
 * processor cannot be read there, so that costs are those that `deno task bench:pdf-render` measures, rounded up.
 */

/** Milliseconds of processor time that the work of one request may take by {@link COSTS}. */
const REQUEST_MS = 800;

/** What things cost, in milliseconds of processor time. */
export const COSTS = {
  /** To begin: the claim, the checkpoint, the slideshow. */
  claim: 100,
  /** To ask Storage for a part of an object. */
  read: 3,
  /** To pass a mebibyte on from Storage to Storage, both times through TLS. */
  passedMebibyte: 6,
  /** To unpack a mebibyte of pixels and pack it again. */
  unpackedMebibyte: 13,
  /** The fonts, and the writer of PDF. */
  pages: 350,
  /** A slide, and each character that is set. */
  slide: 1,
  character: 0.022,
} as const;

/** The processor time of one request. */
export class Budget {
  #left: number;
  #hasBegun = false;

  /**
   * @param attempt of the job, from 1. A request that died may have taken more than the model says, so that each further
   *   attempt plans with less: the half, a third, …
   */
  constructor(attempt: number) {
    this.#left = REQUEST_MS / attempt - COSTS.claim;
  }

  /**
   * Takes what a piece of work costs, if that is left; the first piece of a request is always granted.
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
