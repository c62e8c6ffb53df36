import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { abortableFetch } from "../../../../supabase/functions/_shared/platform/abortable-fetch.ts";
import {
  collectGarbage,
  startStalling,
} from "../../../_support/stalled-bodies.ts";

Deno.test("abortableFetch: an abort ends a body that stalls, also after garbage collection", async () => {
  const server = startStalling();
  const abort = new AbortController();
  // In a function, so that only the body of the request remains referenced.
  const open = async () => {
    const { status, headers, body } = await abortableFetch(fetch)(
      `http://127.0.0.1:${server.addr.port}/`,
      { signal: AbortSignal.any([abort.signal, new AbortController().signal]) },
    );
    assertEquals([status, headers.get("x-kind")], [206, "stalled"]);
    return body?.getReader();
  };
  const reader = await open();
  const first = await reader?.read();
  assertEquals(new TextDecoder().decode(first?.value), "half");
  // Without the abort it would never settle.
  const rest = deadline(Promise.resolve(reader?.read()), 30_000);
  await collectGarbage();
  abort.abort(new DOMException("too late", "TimeoutError"));
  await assertRejects(() => rest, DOMException, "too late");
  await server.shutdown();
});

Deno.test("abortableFetch: without a signal or a body the response is the one of fetch", async () => {
  const responses = [
    new Response("whole"),
    new Response(null, { status: 204 }),
  ];
  const given = [...responses];
  const inner = () => Promise.resolve(given.shift() ?? Response.error());
  const wrapped = abortableFetch(inner);
  assertEquals(await wrapped("http://a.test/"), responses[0]);
  assertEquals(
    await wrapped("http://a.test/", { signal: new AbortController().signal }),
    responses[1],
  );
});

Deno.test("abortableFetch: a body is read to its end, and can be cancelled", async () => {
  const wrapped = abortableFetch(() =>
    Promise.resolve(new Response("the whole body"))
  );
  const { signal } = new AbortController();
  const response = await wrapped("http://a.test/", { signal });
  assertEquals(await response.text(), "the whole body");
  const other = await wrapped("http://a.test/", { signal });
  await other.body?.cancel();
});
