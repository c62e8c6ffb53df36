import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  freePort,
  isPortTaken,
  onFreePort,
  PortTaken,
} from "../../../../dev/stack/process/free-port.ts";
import { startPostgres } from "../../../../dev/stack/postgres/postgres.ts";
import { listen } from "../../../../dev/stack/process/listen.ts";

Deno.test("free port: it is free, and outside the range that the system assigns", async () => {
  const range = await Deno.readTextFile(
    "/proc/sys/net/ipv4/ip_local_port_range",
  )
    .catch(() => "49152 65535");
  const [lowest = 0] = range.trim().split(/\s+/).map(Number);
  for (let nth = 0; nth < 50; nth++) {
    const port = freePort();
    // Some machines are configured to assign lower ports than usual.
    assert(port < lowest || lowest < 32_768, `${port} may be assigned`);
    using _ = Deno.listen({ hostname: "127.0.0.1", port });
    assertEquals(isPortTaken(port), true);
  }
});

/** Runs {@link onFreePort} with ports of which the first is taken after it was chosen. */
async function onPortsOfWhichOneIsTaken<T>(
  use: (port: number) => Promise<T>,
): Promise<T> {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: freePort() });
  const ports = [taken.addr.port];
  return await onFreePort(use, () => ports.shift() ?? freePort());
}

Deno.test("free port: a port that is taken after it was chosen is replaced, for a server and for Postgres", async () => {
  await onPortsOfWhichOneIsTaken(async (port) => {
    const stop = new AbortController();
    const { finished, url } = await listen(
      { port },
      () => new Response("hello"),
      stop.signal,
    );
    assertEquals(await (await fetch(url)).text(), "hello");
    stop.abort();
    await finished;
  });
  await onPortsOfWhichOneIsTaken(async (port) => {
    await using database = await startPostgres({ ephemeral: true, port });
    assertEquals(database.port, port);
  });
});

Deno.test("free port: another error is thrown immediately, and a port that is always taken after five choices", async () => {
  for (
    const [error, choices] of [[new Error("other"), 1], [
      new PortTaken("taken"),
      5,
    ]] as const
  ) {
    const used: number[] = [];
    const thrown = await assertRejects(() =>
      onFreePort((port) => {
        used.push(port);
        return Promise.reject(error);
      })
    );
    assertEquals([thrown, used.length], [error, choices]);
  }
});
