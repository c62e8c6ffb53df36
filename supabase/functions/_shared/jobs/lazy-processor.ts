/** Processors that are imported at their first job. */
import type { Processor } from "./job-context.ts";

/**
 * A processor whose modules are imported at its first job, so that an isolate loads only what its jobs need. The claim
 * has started the job's heartbeat by then.
 *
 * @param load imports the modules and creates the processor. Called again after a failure; a job whose processor cannot
 *   be loaded fails with that error.
 */
export function lazyProcessor(
  jobType: string,
  load: () => Promise<Processor>,
): Processor {
  let loading: Promise<Processor> | undefined;
  return {
    jobType,
    async run(context) {
      loading ??= load();
      let processor: Processor;
      try {
        processor = await loading;
      } catch (error) {
        loading = undefined;
        throw error;
      }
      return await processor.run(context);
    },
  };
}
