import { assertEquals, assertRejects } from "@std/assert";
import type { JobContext } from "../../../../supabase/functions/_shared/jobs/job-context.ts";
import { lazyProcessor } from "../../../../supabase/functions/_shared/jobs/lazy-processor.ts";

/** Only passed on: the processor of these tests does not read it. */
const context: JobContext = JSON.parse("{}");

function loader() {
  const state = { loads: 0, isBroken: false };
  const processor = lazyProcessor("voice_clone", () => {
    state.loads += 1;
    const number = state.loads;
    return state.isBroken
      ? Promise.reject(new TypeError("the module cannot be loaded"))
      : Promise.resolve({
        jobType: "voice_clone",
        run: () => Promise.resolve({ resultData: { number } }),
      });
  });
  return { processor, state };
}

Deno.test("lazy processor: nothing is loaded before the first job", () => {
  const { processor, state } = loader();
  assertEquals([processor.jobType, state.loads], ["voice_clone", 0]);
});

Deno.test("lazy processor: jobs that start together share one load", async () => {
  const { processor } = loader();
  assertEquals(
    await Promise.all([processor.run(context), processor.run(context)]),
    [{ resultData: { number: 1 } }, { resultData: { number: 1 } }],
  );
});

Deno.test("lazy processor: a job fails with the error of the load, and the next job loads again", async () => {
  const { processor, state } = loader();
  state.isBroken = true;
  await assertRejects(
    () => processor.run(context),
    TypeError,
    "the module cannot be loaded",
  );
  state.isBroken = false;
  assertEquals(await processor.run(context), { resultData: { number: 2 } });
});
