import { assert, assertEquals } from "@std/assert";
import {
  readCommand,
  readProcess,
  readProcessByPs,
} from "../../../../dev/stack/process/processes.ts";

const hasPs = await new Deno.Command("ps", { stdout: "null" }).output()
  .then(({ success }) => success, () => false);

Deno.test("processes: this one is listed with its parent, program and start time", async () => {
  const self = await readProcess(Deno.pid);
  assertEquals([self?.pid, self?.parent], [Deno.pid, Deno.ppid]);
  assert((self?.group ?? 0) > 0);
  assertEquals(self?.started, (await readProcess(Deno.pid))?.started);
  assert((await readCommand(Deno.pid)).includes("test"));
});

Deno.test({
  name: "processes: ps reports the same as /proc",
  ignore: !hasPs,
  async fn() {
    const [one, other] = [
      await readProcess(Deno.pid),
      await readProcessByPs(Deno.pid),
    ];
    assertEquals(
      [other?.pid, other?.parent, other?.group],
      [one?.pid, one?.parent, one?.group],
    );
    assertEquals(other?.started, (await readProcessByPs(Deno.pid))?.started);
    assert(/^\w{3} \w{3} +\d/.test(other?.started ?? ""), other?.started);
  },
});

Deno.test("processes: an ended process is not listed, even before its exit status is read", async () => {
  const child = new Deno.Command("/bin/sh", { args: ["-c", "exit 0"] }).spawn();
  while (await readProcess(child.pid) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (hasPs) assertEquals(await readProcessByPs(child.pid), undefined);
  await child.status;
  assertEquals(await readProcess(child.pid), undefined);
  assertEquals(await readCommand(child.pid), []);
});
