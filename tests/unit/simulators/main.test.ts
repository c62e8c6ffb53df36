import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";

const MAIN = new URL("../../../dev/simulators/main.ts", import.meta.url);

/** Starts the program as its users do. */
function start(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      MAIN.pathname,
      ...args,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Reads the line with its address; later output goes to `rest`. */
async function ready(
  child: Deno.ChildProcess,
): Promise<{ url: string; rest: () => Promise<string> }> {
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.endsWith("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`ended before it was ready: ${line}`);
    line += value;
  }
  assertMatch(line, /^simulators listening on http:\/\/127\.0\.0\.1:\d+\n$/);
  return {
    url: line.trim().split(" ").at(-1) ?? "",
    rest: async () => {
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return text;
        text += value;
      }
    },
  };
}

/** True when nothing listens there any more. */
async function isClosed(url: string): Promise<boolean> {
  try {
    using _connection = await Deno.connect({
      hostname: "127.0.0.1",
      port: Number(new URL(url).port),
    });
    return false;
  } catch {
    return true;
  }
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test({
    name:
      `main.ts: ${signal} ends it with 0, one line printed and no port left`,
    ignore: Deno.build.os === "windows",
    fn: async () => {
      const child = start("--port", "0");
      const { url, rest } = await ready(child);
      const health = await fetch(`${url}/_control/health`);
      assertEquals(health.status, 200);
      await health.body?.cancel();
      // A request that hangs must not keep the program alive.
      const hanging = await fetch(`${url}/_control/faults`, {
        method: "POST",
        body: JSON.stringify({
          provider: "elevenlabs",
          fault: { kind: "hang" },
        }),
      });
      await hanging.body?.cancel();
      const broken = fetch(`${url}/elevenlabs/v1/voices`).then(
        () => "answered",
        () => "broken",
      );
      const seen = await fetch(`${url}/_control/requests?at_least=1`);
      await seen.body?.cancel();
      child.kill(signal);
      const [status, text, errors] = await Promise.all([
        child.status,
        rest(),
        new Response(child.stderr).text(),
      ]);
      await child.stdin.close().catch(() => {});
      assertEquals([status.code, text, errors], [0, "", ""]);
      assertEquals(await broken, "broken");
      assert(await isClosed(url));
    },
  });
}

Deno.test("main.ts: with --exit-with-stdin the end of standard input ends it with 0, other input does not", async () => {
  const child = start("--exit-with-stdin");
  const { url, rest } = await ready(child);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("some input\n"));
  const health = await fetch(`${url}/_control/health`);
  assertEquals(health.status, 200);
  await health.body?.cancel();
  await writer.close();
  const [status, text] = await Promise.all([
    child.status,
    rest(),
    child.stderr.cancel(),
  ]);
  assertEquals([status.code, text], [0, ""]);
  assert(await isClosed(url));
});

Deno.test("main.ts: without --exit-with-stdin the end of its input changes nothing", async () => {
  const child = start();
  const { url, rest } = await ready(child);
  await child.stdin.close();
  const health = await fetch(`${url}/_control/health`);
  assertEquals(health.status, 200);
  await health.body?.cancel();
  child.kill("SIGTERM");
  await Promise.all([child.status, rest(), child.stderr.cancel()]);
});

Deno.test("main.ts: a port in use is one clear line and exit code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const child = start("--port", String(port));
  const [{ code }, out, errors] = await Promise.all([
    child.status,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.stdin.close(),
  ]);
  assertEquals([code, out], [1, ""]);
  assertEquals(errors.trim().split("\n").length, 1);
  assertStringIncludes(errors, `simulators cannot start on port ${port}`);
});

Deno.test("main.ts: unknown and wrong arguments print the usage and exit with 2", async () => {
  for (const args of [["--prot", "1"], ["--port", "x"], ["extra"]]) {
    const child = start(...args);
    const [{ code }, errors] = await Promise.all([
      child.status,
      new Response(child.stderr).text(),
      child.stdout.cancel(),
      child.stdin.close(),
    ]);
    assertEquals(code, 2, args.join(" "));
    assertStringIncludes(errors, "usage: ");
  }
});
