/** The content types that a bucket accepts, by the rule of hosted Storage (`src/storage/uploader.ts`). */
import type { KyselyPlugin } from "kysely";

/**
 * Whether a bucket with this list accepts the type. `audio/*` accepts every audio type, parameters included; any other
 * entry accepts exactly the same text.
 */
export function acceptsMimeType(
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

/** The list of a bucket. The embedded Storage only checks whether it includes a type, without wildcards. */
class AllowedMimeTypes extends Array<string> {
  override includes(given: string): boolean {
    return acceptsMimeType([...this], given);
  }
}

const isText = (value: unknown): value is string => typeof value === "string";

/** Gives the embedded Storage bucket lists that match as in hosted Storage. */
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
