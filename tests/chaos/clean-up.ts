/** After a storm: an operator resolves the jobs with an unknown outcome and redrives the failed ones. */
import { z } from "zod";
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
    const { rows: [row] } = await rig.database.query(
      "select public.resolve_unknown_ai_job($1, $2, $3) as answer",
      [id, created !== undefined, created?.id ?? null],
    );
    if (row?.answer === true) resolved++;
  }
  const { rows: [row] } = await rig.database.query(
    "select public.redrive_ai_jobs() as retried",
  );
  await rig.untilSettled(40);
  const after = await rig.facts();
  return {
    resolved,
    retried: z.number().parse(row?.retried),
    stillFailed: after.jobs.filter(({ status }) => status === "failed")
      .map(({ id, error_code }) => `${id}: ${error_code}`),
  };
}
