/** The marker of a job in a request. */
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
const MARKED = new RegExp(`\\bjob:(${UUID.source})`, "i");

/**
 * The uuid, in lower case, of the job for which an object was created, or null. Searched in this order: the label
 * `job_id`, then `job:<uuid>` in the texts, then the first uuid in the texts or labels.
 */
export function findMarker(
  texts: readonly (string | null | undefined)[],
  labels: Readonly<Record<string, string>> = {},
): string | null {
  const all = [...texts, ...Object.values(labels)].filter((text) =>
    typeof text === "string"
  );
  const found = UUID.exec(labels["job_id"] ?? "")?.[0] ??
    all.map((text) => MARKED.exec(text)?.[1]).find((id) => id !== undefined) ??
    all.map((text) => UUID.exec(text)?.[0]).find((id) => id !== undefined);
  return found?.toLowerCase() ?? null;
}
