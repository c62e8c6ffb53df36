/** A place in the queue in words: how many jobs start before. Only an estimate, since users take turns. */
export function placeOf(ahead: number): string {
  if (ahead === 0) return "Next in the queue";
  if (ahead === 1) return "1 job ahead of yours";
  return `${ahead < 100 ? "About" : "At least"} ${ahead} jobs ahead of yours`;
}
