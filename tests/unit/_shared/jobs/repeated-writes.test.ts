/** repeatWrites: a database that is away for a moment costs neither an attempt nor a known outcome. */
import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { repeatWrites } from "../../../../supabase/functions/_shared/jobs/repeated-writes.ts";
import type { JobRepository } from "../../../../supabase/functions/_shared/jobs/repository.ts";
import { FakeRepository } from "../../../_support/fake-repository.ts";

const away = () => new AppError("service_unavailable");

function bench(failures: number, phase: "before" | "after", error = away) {
  const inner = new FakeRepository();
  const job = inner.claim(inner.insert());
  const slept: number[] = [];
  let left = failures;
  inner.interrupt = (_method, now) => {
    if (now !== phase || left === 0) return;
    left--;
    throw error();
  };
  const repository = repeatWrites(inner, (ms) => {
    slept.push(ms);
    return Promise.resolve();
  });
  return { inner, job, repository, slept };
}

const WRITES = {
  beginProviderCall: (repository, job) =>
    repository.beginProviderCall(job, "speak", 1, "speaking", 1, CALL),
  complete: (repository, job) => repository.complete(job, { resultData: {} }),
  fail: (repository, job) =>
    repository.fail(job, {
      code: "internal_error",
      message: "m",
      isRetryable: true,
    }),
  snooze: (repository, job) => repository.snooze(job, 1, "waiting"),
  release: (repository, job) => repository.release(job),
} satisfies Partial<
  Record<
    keyof JobRepository,
    (
      repository: JobRepository,
      job: { id: string; lease_token: string },
    ) => Promise<unknown>
  >
>;
const CALL = "00000000-0000-4000-8000-0000000000cc";

for (const [name, write] of Object.entries(WRITES)) {
  Deno.test(`repeatWrites: ${name} is told again until the database is back`, async () => {
    const { job, inner, repository, slept } = bench(3, "before");
    const answer = await write(repository, job);
    assertEquals([answer === false, answer === null], [false, false]);
    assertEquals([...inner.effects], [name]);
    assertEquals(slept, [250, 500, 1_000]);
  });
}

Deno.test("repeatWrites: what was written although the answer was lost is not written twice", async () => {
  const { job, inner, repository } = bench(1, "after");
  assertEquals(await repository.complete(job, { resultData: {} }), false);
  assertEquals(inner.effects, ["complete"]);
});

Deno.test("repeatWrites: a database that stays away is told of after eight seconds", async () => {
  const { job, inner, repository, slept } = bench(100, "before");
  const error = await assertRejects(
    () => repository.complete(job, { resultData: {} }),
    AppError,
  );
  assertEquals(error.code, "service_unavailable");
  assertEquals(slept.reduce((sum, ms) => sum + ms, 0), 7_750);
  assertEquals(inner.effects, []);
});

Deno.test("repeatWrites: an error that does not pass, a claim and a heartbeat are not repeated", async () => {
  const refused = bench(1, "before", () => new AppError("internal_error"));
  await assertRejects(() =>
    refused.repository.complete(refused.job, { resultData: {} })
  );
  const { repository, slept } = bench(1, "before");
  await assertRejects(() => repository.claimDue(1));
  assertEquals([...refused.slept, ...slept], []);
});
