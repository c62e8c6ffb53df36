import { assert, assertEquals, assertRejects } from "@std/assert";
import { boundedFetch } from "../../../../supabase/functions/_shared/platform/bounded-fetch.ts";

const URL_OF_ALL = "https://project.test/rest/v1/rpc/claim_ai_jobs";

/** A network that never answers; its calls end only with their signal. */
function silentNetwork() {
  const signals: AbortSignal[] = [];
  const network: typeof fetch = (_input, init) => {
    const signal = init?.signal;
    assert(signal instanceof AbortSignal);
    signals.push(signal);
    const { promise, reject } = Promise.withResolvers<Response>();
    signal.addEventListener("abort", () => reject(signal.reason));
    if (signal.aborted) reject(signal.reason);
    return promise;
  };
  return { network, signals };
}

Deno.test("boundedFetch: a call ends at its time limit", async () => {
  const bounded = boundedFetch(silentNetwork().network, 0.01);
  const error = await assertRejects(() => bounded(URL_OF_ALL), DOMException);
  assertEquals(error.name, "TimeoutError");
});

Deno.test("boundedFetch: a call ends with the caller's signal, in the options or in the request", async () => {
  const bounded = boundedFetch(silentNetwork().network, 5);
  const caller = new AbortController();
  const calls = [
    bounded(URL_OF_ALL, { signal: caller.signal }),
    bounded(new Request(URL_OF_ALL, { signal: caller.signal })),
  ];
  caller.abort(new RangeError("enough"));
  for (const call of calls) {
    const error = await assertRejects(() => call, RangeError);
    assertEquals(error.message, "enough");
  }
});

Deno.test("boundedFetch: every call ends with the shared signal, also a later one", async () => {
  const shared = new AbortController();
  const bounded = boundedFetch(silentNetwork().network, 60, shared.signal);
  const early = bounded(URL_OF_ALL);
  shared.abort(new RangeError("time is up"));
  await assertRejects(() => early, RangeError, "time is up");
  await assertRejects(() => bounded(URL_OF_ALL), RangeError, "time is up");
});

Deno.test("boundedFetch: a call is not ended before any of its deadlines", async () => {
  const { network, signals } = silentNetwork();
  const shared = new AbortController();
  const caller = new AbortController();
  const bounded = boundedFetch(network, 60, shared.signal);
  const call = bounded(URL_OF_ALL, { signal: caller.signal });
  assertEquals(signals.map((signal) => signal.aborted), [false]);
  caller.abort();
  await assertRejects(() => call, DOMException);
});

Deno.test("boundedFetch: the time limit may depend on the URL", async () => {
  const bounded = boundedFetch(
    silentNetwork().network,
    (url) => url.pathname.startsWith("/storage/") ? 60 : 0.01,
  );
  const caller = new AbortController();
  const slow = bounded("https://project.test/storage/v1/object/b/u/f", {
    signal: caller.signal,
  });
  for (
    const address of [URL_OF_ALL, new URL(URL_OF_ALL), new Request(URL_OF_ALL)]
  ) {
    const error = await assertRejects(() => bounded(address), DOMException);
    assertEquals(error.name, "TimeoutError");
  }
  caller.abort(new RangeError("still going"));
  await assertRejects(() => slow, RangeError, "still going");
});

Deno.test("boundedFetch: passes on method, headers and body", async () => {
  const seen: (RequestInit | undefined)[] = [];
  const bounded = boundedFetch((_input, init) => {
    seen.push(init);
    return Promise.resolve(new Response("ok"));
  }, 60);
  await bounded(URL_OF_ALL, { method: "POST", headers: { a: "b" }, body: "c" });
  const { signal: _signal, ...rest } = seen[0] ?? {};
  assertEquals(rest, { method: "POST", headers: { a: "b" }, body: "c" });
});

Deno.test("boundedFetch: a body that stalls after the headers ends too", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () =>
      new Response(
        new ReadableStream({
          start: (stream) => stream.enqueue(new TextEncoder().encode("[1,")),
        }),
      ),
  );
  const shared = new AbortController();
  const bounded = boundedFetch(fetch, 60, shared.signal);
  const response = await bounded(`http://127.0.0.1:${server.addr.port}/`);
  const body = response.text();
  shared.abort(new RangeError("time is up"));
  await assertRejects(() => body, RangeError, "time is up");
});
