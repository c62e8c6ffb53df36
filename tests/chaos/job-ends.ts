/** How the jobs of a point ended, for points that concern several. */
import type { Rig } from "./rig.ts";

/** The end of a job. */
export interface JobEnd {
  id: string;
  status: string;
  errorCode: string | null;
  creations: number;
  /** Billable creations of a complete run. */
  steps: number;
}

/** The ends of these jobs, in their order. */
export async function jobEnds(
  rig: Rig,
  ids: readonly string[],
): Promise<JobEnd[]> {
  const { jobs, creations } = await rig.facts();
  return ids.map((id) => {
    const job = jobs.find((job) => job.id === id);
    return {
      id,
      status: job?.status ?? "unknown",
      errorCode: job?.error_code ?? null,
      creations: creations.filter(({ marker }) => marker === id).length,
      steps: rig.stepsOf(id),
    };
  });
}
