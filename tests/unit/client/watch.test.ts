/** Following a job with a project in memory. */
import { assertEquals } from "@std/assert";
import { FakeProject } from "../../helpers/fake-project.ts";

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
