/** What people do when the storm is over: owners retry what failed, and an operator decides what nobody knows. */
import type { Rig } from "./rig.ts";

/** How many jobs were decided by an operator and retried by hand; none of them may be failed afterwards. */
export interface Aftermath {
  resolved: number;
  retried: number;
  stillFailed: string[];
}

/** Resolves parked jobs as the ledger has it, runs all other failed ones again, and waits for their end. */
export async function clearUp(rig: Rig): Promise<Aftermath> {
  const { jobs, creations } = await rig.facts();
  let resolved = 0;
  for (const { id } of jobs.filter(({ spend }) => spend === "unknown")) {
    const made = creations.find(({ marker }) => marker === id);
    const [row] = await rig.sql<{ answer: boolean }[]>`
      select public.resolve_unknown_ai_job(${id}, ${made !== undefined}, ${
      made?.id ?? null
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
