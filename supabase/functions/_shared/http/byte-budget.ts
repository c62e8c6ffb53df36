/** A bound for all the bodies together that an isolate reads at the same time. */
import { AppError } from "../failures/app-error.ts";

/** Passes the chunks of a body on while there is room for it; see {@link createByteBudget}. */
export type ByteBudget = (
  chunks: AsyncIterable<Uint8Array>,
  length: { declaredBytes: number | undefined; maxBytes: number },
) => AsyncGenerator<Uint8Array, void, undefined>;

/**
 * A budget of `maxBytes` over all bodies that are being read. A body takes what its Content-Length says, and one without
 * it the most that it may have, until it has been read or given up; the bodies that have at most `freeBytes` take
 * nothing, so that long ones never keep short ones out.
 *
 * @throws {AppError} from the loop: `service_unavailable` when there is no room, for a declared length before anything
 *   is read.
 */
export function createByteBudget(
  { maxBytes, freeBytes }: { maxBytes: number; freeBytes: number },
): ByteBudget {
  let taken = 0;
  return async function* (chunks, length) {
    let own = 0;
    const take = (bytes: number) => {
      if (bytes <= freeBytes || bytes <= own) return;
      if (taken + bytes - own > maxBytes) {
        throw new AppError("service_unavailable", {
          details: "Too many long bodies arrive at the same time.",
        });
      }
      taken += bytes - own;
      own = bytes;
    };
    let size = 0;
    try {
      take(length.declaredBytes ?? 0);
      for await (const chunk of chunks) {
        size += chunk.byteLength;
        if (size > freeBytes) {
          take(Math.max(size, length.declaredBytes ?? length.maxBytes));
        }
        yield chunk;
      }
    } finally {
      taken -= own;
    }
  };
}
