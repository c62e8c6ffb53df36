/** Keyset pagination: the position at which a page ends, as an opaque token. */
import { z } from "zod";
import { AppError } from "../_shared/failures/app-error.ts";

/** Where a page ends. */
export interface Place {
  at: string;
  id: string;
}

const placeSchema = z.tuple([z.string().max(64), z.string().max(64)]);

/** Encodes a position as a token. */
export function encodeCursor({ at, id }: Place): string {
  return btoa(JSON.stringify([at, id]))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Decodes a token whose parts match these schemas.
 *
 * @throws {AppError} `invalid_request` for anything that {@link encodeCursor} cannot produce.
 */
export function decodeCursor(
  cursor: string | undefined,
  forms: { at: z.ZodType<string>; id: z.ZodType<string> },
): Place | undefined {
  if (cursor === undefined) return undefined;
  try {
    const [at, id] = placeSchema.parse(
      JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/"))),
    );
    return { at: forms.at.parse(at), id: forms.id.parse(id) };
  } catch (cause) {
    const message = "is not one of ours";
    throw new AppError("invalid_request", {
      details: `cursor: ${message}`,
      fields: [{ field: "cursor", message }],
      cause,
    });
  }
}

/** The first `limit` of `rows` (read with one extra row), and the token of the next page, or null. */
export function pageOf<Row>(
  rows: readonly Row[],
  limit: number,
  place: (row: Row) => Place,
): { rows: Row[]; next_cursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    rows: page,
    next_cursor: rows.length > limit && last !== undefined
      ? encodeCursor(place(last))
      : null,
  };
}
