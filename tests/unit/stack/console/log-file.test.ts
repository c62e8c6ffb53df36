import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openLogFile } from "../../../../dev/stack/console/log-file.ts";

const record = (line: string) => ({
  at: "2026-01-01T00:00:00.000Z",
  source: "cron",
  stream: "stdout" as const,
  line,
});

Deno.test("log file: each run begins a new one, readable only by its owner, and the previous one is kept", async () => {
  const dir = await Deno.makeTempDir({ prefix: "log-file-" });
  const path = join(dir, "stack.log");
  for (const line of ["first", "second", "third"]) {
    using file = openLogFile(path);
    file.add(record(line));
  }
  assertEquals(
    await Deno.readTextFile(path),
    "2026-01-01T00:00:00.000Z cron third\n",
  );
  assertEquals(
    await Deno.readTextFile(`${path}.1`),
    "2026-01-01T00:00:00.000Z cron second\n",
  );
  assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("log file: it never exceeds 20 MB, and drops only the oldest lines", async () => {
  const dir = await Deno.makeTempDir({ prefix: "log-file-" });
  const path = join(dir, "stack.log");
  {
    using file = openLogFile(path);
    const long = "x".repeat(1_000_000);
    for (let nth = 0; nth < 30; nth++) file.add(record(`${nth} ${long}`));
  }
  const numbers = async (path: string) =>
    [...(await Deno.readTextFile(path)).matchAll(/ cron (\d+) /g)].map((
      [, nth],
    ) => Number(nth));
  const older = await numbers(`${path}.1`), newer = await numbers(path);
  assertEquals(
    [...older, ...newer],
    Array.from({ length: 30 }, (_, nth) => nth),
  );
  assertEquals(newer.length, 11);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("log file: a line that cannot be written is dropped without an error", async () => {
  const dir = await Deno.makeTempDir({ prefix: "log-file-" });
  const file = openLogFile(join(dir, "stack.log"));
  file[Symbol.dispose]();
  file.add(record("after the end"));
  assertEquals(await Deno.readTextFile(join(dir, "stack.log")), "");
  await Deno.remove(dir, { recursive: true });
});
