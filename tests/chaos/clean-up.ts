/** After a storm: an operator resolves the jobs with an unknown outcome and redrives the failed ones. */
import type { Rig } from "./rig.ts";

/** Numbers of jobs resolved and retried, and the jobs that failed nevertheless. */
export interface CleanUpResult {
  resolved: number;
  retried: number;
  stillFailed: string[];
}

/** Resolves parked jobs according to the provider's ledger, retries the other failed ones, and waits until they end. */
export async function cleanUp(rig: Rig): Promise<CleanUpResult> {
  const { jobs, creations } = await rig.facts();
  let resolved = 0;
  for (const { id } of jobs.filter(({ spend }) => spend === "unknown")) {
    const created = creations.find(({ marker }) => marker === id);
    const [row] = await rig.sql<{ answer: boolean }[]>`
      select public.resolve_unknown_ai_job(${id}, ${created !== undefined}, ${
      created?.id ?? null
    }) as answer`;
    if (row?.answer) resolved++;
  }
  const [row] = await rig.sql<{ retried: number }[]>`
    select public.redrive_ai_jobs() as retried`;
  await rig.untilSettled(40);
  const after = await rig.facts();
  return {
    resolved,
    retried: row?.retried ?? 0,
    stillFailed: after.jobs.filter(({ status }) => status === "failed")
      .map(({ id, error_code }) => `${id}: ${error_code}`),
  };
}
