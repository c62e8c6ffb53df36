/** Limits the bytes of all bodies that an isolate reads at the same time. */
import { AppError } from "../failures/app-error.ts";

/** Passes the chunks of a body through while the budget has room; see {@link createByteBudget}. */
export type ByteBudget = (
  chunks: AsyncIterable<Uint8Array>,
  length: { declaredBytes: number | undefined; maxBytes: number },
) => AsyncGenerator<Uint8Array, void, undefined>;

/**
 * A budget of `maxBytes` for all bodies that are being read. A body reserves its Content-Length, or its maximum without
 * one, until it has been read or abandoned. Bodies of at most `freeBytes` reserve nothing, so long bodies never block
 * short ones.
 *
 * @throws {AppError} from the loop: `service_unavailable` when the budget has no room; for a declared length before
 *   anything is read.
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
