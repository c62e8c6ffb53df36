/** Following a job, and errors, with a project in memory. */
import { assertEquals } from "@std/assert";
import { FakeProject } from "../../_support/fake-project.ts";

Deno.test("watch: a job that had ended before ends it, also when its last event is known already", async () => {
  const project = new FakeProject();
  const id = project.add();
  project.complete(id);
  const after = (seq: number) =>
    Array.fromAsync(project.jobs.watch(id, { after: seq }));
  assertEquals((await after(0)).map(({ seq }) => seq), [1, 2]);
  assertEquals((await after(1)).map(({ seq }) => seq), [2]);
  assertEquals(await after(2), []);
});

Deno.test("watch: closing the client ends what is watched, without another request", async () => {
  const project = new FakeProject({ pollMs: 60_000 });
  const id = project.add();
  const events = project.jobs.watch(id);
  assertEquals((await events.next()).value?.seq, 1);
  const all = project.jobs.watchAll();
  assertEquals((await all.next()).value?.seq, 1);
  const next = [events.next(), all.next()];
  const { length } = project.requests;
  project.jobs.close();
  assertEquals((await Promise.all(next)).map(({ done }) => done), [true, true]);
  assertEquals(project.requests.length, length);
});

Deno.test("client: every limit is LimitReached, temporary or not; another conflict is not", async () => {
  const project = new FakeProject();
  const refusedWith = async (status: number, code: string) => {
    project.intercept = () => Response.json({ code }, { status });
    const error = await project.jobs.cancel("1").catch((error) => error);
    return [error.name, error.code];
  };
  assertEquals(await refusedWith(429, "daily_jobs_exceeded"), [
    "LimitReached",
    "daily_jobs_exceeded",
  ]);
  assertEquals(await refusedWith(409, "voices_exceeded"), [
    "LimitReached",
    "voices_exceeded",
  ]);
  assertEquals(await refusedWith(409, "job_not_cancellable"), [
    "Conflict",
    "job_not_cancellable",
  ]);
});

Deno.test("client: an account that is too new is LimitReached, another 403 RequestInvalid", async () => {
  const project = new FakeProject();
  for (
    const [code, name] of [
      ["account_not_established", "LimitReached"],
      ["path_not_allowed", "RequestInvalid"],
    ] as const
  ) {
    project.intercept = () => Response.json({ code }, { status: 403 });
    const error = await project.jobs.cancel("1").catch((error) => error);
    assertEquals([error.name, error.code], [name, code]);
  }
});
