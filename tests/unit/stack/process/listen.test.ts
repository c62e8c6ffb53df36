import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  explainListenError,
  listen,
  networkAddresses,
} from "../../../../dev/stack/process/listen.ts";
import { pidFromLsof } from "../../../../dev/stack/process/port-owner.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

const hello = () => new Response("hello");

/** Listens, connects to each address, and returns the results. */
async function listenAndConnect(host?: string) {
  const stop = new AbortController();
  const listening = await listen({ port: 0, host }, hello, stop.signal);
  for (const url of [listening.url, ...listening.networkUrls]) {
    assertEquals(await (await fetch(url)).text(), "hello", url);
  }
  stop.abort();
  await listening.finished;
  return listening;
}

async function canConnect(hostname: string, port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname, port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

const [own] = networkAddresses();

Deno.test("listen: without a host it is unreachable from other machines", async () => {
  for (const host of [undefined, "127.0.0.1"]) {
    assertEquals((await listenAndConnect(host)).networkUrls, []);
  }
  if (own === undefined) return;
  const stop = new AbortController();
  const { url, finished } = await listen({ port: 0 }, hello, stop.signal);
  assertEquals(await canConnect(own, Number(new URL(url).port)), false);
  stop.abort();
  await finished;
});

Deno.test("listen: a free port is outside the range of outgoing connections, like the database's", async () => {
  const { url } = await listenAndConnect();
  const port = Number(new URL(url).port);
  assert(port >= 10_000 && port <= 32_767, `${port}`);
});

Deno.test({
  name: "listen: with a host it answers there and on this machine, on one port",
  ignore: own === undefined,
  async fn() {
    const one = await listenAndConnect(own);
    assertEquals(one.networkUrls, [one.url.replace("127.0.0.1", own ?? "")]);
    const all = await listenAndConnect("0.0.0.0");
    assertEquals(
      all.networkUrls,
      networkAddresses().map((ip) => all.url.replace("127.0.0.1", ip)),
    );
  },
});

Deno.test("listen: the error for another machine's address lists those of this one; nothing listens", async () => {
  // TEST-NET-3 (RFC 5737): no machine has this address.
  const error = await assertRejects(
    () =>
      listen(
        { port: 0, host: "203.0.113.7" },
        hello,
        new AbortController().signal,
      ),
    StackError,
  );
  assertEquals(
    error.message,
    `203.0.113.7 is not an address of this machine. --host accepts ${
      [...networkAddresses(), "0.0.0.0"].join(", ")
    }.`,
  );
});

Deno.test("listen: a port in use is refused with the process that has it", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  for (const host of [undefined, "0.0.0.0"]) {
    const error = await assertRejects(
      () => listen({ port, host }, hello, new AbortController().signal),
      StackError,
    );
    assertMatch(
      error.message,
      new RegExp(
        `^Port ${port} is in use by process ${Deno.pid} \\(.* test .*\\)\\. Stop it, or choose another port with --port\\.$`,
      ),
    );
  }
});

Deno.test("listen: the error for a privileged port is one sentence", async () => {
  const error = await explainListenError(
    new Deno.errors.PermissionDenied("os error 13"),
    "127.0.0.1",
    80,
  );
  assert(error instanceof StackError);
  assertEquals(
    error.message,
    "This user may not listen on port 80, like most ports below 1024. Choose another one with --port.",
  );
});

Deno.test("listen: phones are more likely on Wi-Fi than on a container's bridge", () => {
  const at = (name: string, address: string, family = "IPv4") => ({
    name,
    address,
    family,
  });
  assertEquals(
    networkAddresses([
      at("lo", "127.0.0.1"),
      at("docker0", "172.17.0.1"),
      at("br-5f", "172.18.0.1"),
      at("wlan0", "192.168.1.5"),
      at("wlan0", "fe80::1", "IPv6"),
      at("eth0", "169.254.3.4"),
      at("eth1", "10.0.0.3"),
    ]),
    ["192.168.1.5", "10.0.0.3", "172.17.0.1", "172.18.0.1"],
  );
});

const hasLsof = await new Deno.Command("lsof", {
  args: ["-v"],
  stdout: "null",
  stderr: "null",
}).output().then(() => true, () => false);

Deno.test({
  name: "listen: without /proc, lsof names the same process",
  ignore: !hasLsof,
  async fn() {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    assertEquals(await pidFromLsof(listener.addr.port), Deno.pid);
    const { port } = listener.addr;
    listener.close();
    assertEquals(await pidFromLsof(port), undefined);
  },
});
