import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { deliver } from "../../../../../dev/stack/extensions/pg_net/delivery.ts";
import { startStalling } from "../../../../_support/stalled-bodies.ts";

function requestOf(port: number, timeout_milliseconds: number) {
  return {
    id: 1,
    method: "get",
    url: `http://127.0.0.1:${port}/`,
    headers: null,
    body: null,
    timeout_milliseconds,
  };
}

Deno.test("pg_net: a response whose body stalls ends by its timeout", async () => {
  const server = startStalling();
  const delivered = deadline(
    deliver(requestOf(server.addr.port, 300), new AbortController().signal),
    30_000,
  );
  const { timed_out, status_code, error_msg } = await delivered;
  assertEquals([timed_out, status_code], [true, null]);
  assertMatch(error_msg ?? "", /^Timeout of 300 ms reached/);
  await server.shutdown();
});

Deno.test("pg_net: a delivery that the end of the stack interrupts has no result", async () => {
  const server = startStalling();
  const stopping = new AbortController();
  const delivered = deliver(
    requestOf(server.addr.port, 60_000),
    stopping.signal,
  );
  stopping.abort(new DOMException("the stack stops", "AbortError"));
  await assertRejects(() => delivered, DOMException, "the stack stops");
  await server.shutdown();
});
