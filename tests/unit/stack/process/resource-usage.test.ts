import { assert, assertEquals } from "@std/assert";
import {
  readResourceUsage,
  type ResourceUsage,
} from "../../../../dev/stack/process/resource-usage.ts";

const MEBIBYTE = 1_048_576;

/** Runs a program that prints a line at each stop, and returns the resources that it had used there. */
async function usageAtStops(program: string): Promise<ResourceUsage[]> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `const stop = () => { console.log("stop"); const line = new Uint8Array(1); Deno.stdin.readSync(line); };\n${program}`,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const goOn = process.stdin.getWriter();
  const used: ResourceUsage[] = [];
  for await (const _ of process.stdout) {
    const usage = readResourceUsage(process.pid);
    assert(usage !== undefined);
    used.push(usage);
    await goOn.write(new Uint8Array(1));
  }
  await goOn.close().catch(() => {});
  assertEquals((await process.status).code, 0);
  return used;
}

Deno.test({
  name:
    "readResourceUsage: counts the processor time of a program's JavaScript",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const [before, after, later] = await usageAtStops(`
      stop();
      const own = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
      const end = own() + 300;
      let sum = 0;
      while (own() < end) for (let i = 0; i < 1e6; i++) sum += i;
      stop();
      stop();
    `);
    assert(before && after && later);
    // The program's own count includes all its threads.
    const used = after.cpuMs - before.cpuMs;
    assert(used > 150 && used < 450, `${used} ms`);
    assert(later.cpuMs - after.cpuMs < 100);
  },
});

Deno.test({
  name:
    "readResourceUsage: counts memory outside V8's heap, and reports the peak",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const [before, after, later] = await usageAtStops(`
      stop();
      let buffer = new Uint8Array(${64 * MEBIBYTE}).fill(1);
      stop();
      buffer = buffer.buffer.transfer(0);
      stop();
    `);
    assert(before && after && later);
    assert(before.memoryBytes > 10 * MEBIBYTE);
    assert(before.memoryBytes < 100 * MEBIBYTE);
    const withBuffer = before.memoryBytes + 60 * MEBIBYTE;
    assert(after.memoryBytes >= withBuffer);
    assert(after.peakMemoryBytes >= after.memoryBytes);
    assert(later.memoryBytes < withBuffer);
    assert(later.peakMemoryBytes >= withBuffer);
  },
});

Deno.test("readResourceUsage: undefined for a process that does not exist", () => {
  assertEquals(readResourceUsage(2 ** 22 + 1), undefined);
});
