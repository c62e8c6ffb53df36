import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import {
  mayExecute,
  removeForgotten,
} from "../../../dev/tools/memory-folder.ts";

Deno.test("mayExecute: false for a mount with noexec, and without a mount; the last mount counts", () => {
  const mount = (options: string) => `tmpfs /dev/shm tmpfs ${options} 0 0\n`;
  assertEquals(mayExecute(mount("rw,relatime,size=64k")), true);
  assertEquals(mayExecute(mount("rw,nosuid,noexec,relatime")), false);
  assertEquals(mayExecute(mount("rw,noexec") + mount("rw")), true);
  assertEquals(mayExecute("tmpfs /run tmpfs rw 0 0\n"), false);
});

Deno.test({
  name: "removeForgotten: deletes the folders of ended runs, and nothing else",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const dir = await Deno.makeTempDir();
    const ended = new Deno.Command("true").spawn();
    await ended.status;
    const kept = [`edge-ai-jobs-tests-${Deno.pid}`, "edge-ai-jobs-tests-", "x"];
    for (const name of [...kept, `edge-ai-jobs-tests-${ended.pid}`]) {
      await Deno.mkdir(join(dir, name, "inside"), { recursive: true });
    }
    await removeForgotten(dir);
    const left: string[] = [];
    for await (const { name } of Deno.readDir(dir)) left.push(name);
    assertEquals(left.sort(), kept.sort());
    await Deno.remove(dir, { recursive: true });
  },
});
