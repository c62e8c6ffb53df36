/** Which content types a bucket takes, by the rule of hosted Storage (`src/storage/uploader.ts`). */
import type { KyselyPlugin } from "kysely";

/**
 * Whether a bucket with that list takes the type. `audio/*` admits every sound, parameters included; any other entry
 * admits the very same text and nothing else.
 */
export function takesMimeType(
  allowed: readonly string[],
  given: string,
): boolean {
  const [type, subtype] = given.split("/");
  return subtype !== undefined && allowed.some((entry) => {
    const [allowedType, allowedSubtype] = entry.split("/");
    return type === allowedType &&
      (allowedSubtype === "*" || allowedSubtype === subtype);
  });
}

/** The list of a bucket. The embedded Storage asks it whether it includes a type, and knows no wildcard itself. */
class AllowedMimeTypes extends Array<string> {
  override includes(given: string): boolean {
    return takesMimeType([...this], given);
  }
}

const isText = (value: unknown): value is string => typeof value === "string";

/** Gives the buckets that the embedded Storage reads a list that answers as hosted Storage does. */
export const hostedMimeTypes: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  transformResult: ({ result }) =>
    Promise.resolve({
      ...result,
      rows: result.rows.map((row) => {
        const list = row.allowed_mime_types;
        return Array.isArray(list)
          ? {
            ...row,
            allowed_mime_types: AllowedMimeTypes.from(list.filter(isText)),
          }
          : row;
      }),
    }),
};
