import { assertEquals, assertRejects } from "@std/assert";
import { withAnswerHeaders } from "../../../../supabase/functions/_shared/platform/answer-headers.ts";

/** Answers each request with its path as a header, once `gate` is open. */
function server(gate: Promise<void> = Promise.resolve()) {
  const http = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      await gate;
      return new Response("body", { headers: { "x-path": pathname } });
    },
  );
  return {
    get: async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${http.addr.port}${path}`);
      return await response.text();
    },
    [Symbol.asyncDispose]: () => http.shutdown(),
  };
}

Deno.test("withAnswerHeaders: returns the headers of the latest response, and none before the first", async () => {
  await using at = server();
  await withAnswerHeaders(async (newest) => {
    assertEquals(newest(), undefined);
    await at.get("/1");
    assertEquals(newest()?.get("x-path"), "/1");
    assertEquals(await at.get("/2"), "body");
    assertEquals(newest()?.get("x-path"), "/2");
  });
});

Deno.test("withAnswerHeaders: concurrent works get only the headers of their own responses", async () => {
  const gate = Promise.withResolvers<void>();
  await using at = server(gate.promise);
  const paths = Array.from({ length: 20 }, (_, index) => `/${index}`);
  const seen = paths.map((path) =>
    withAnswerHeaders(async (newest) => {
      await at.get(path);
      return newest()?.get("x-path");
    })
  );
  const outside = at.get("/outside");
  gate.resolve();
  assertEquals(await Promise.all(seen), paths);
  assertEquals(await outside, "body");
});

Deno.test("withAnswerHeaders: throws the errors of the work and of fetch", async () => {
  await assertRejects(
    () => withAnswerHeaders(() => Promise.reject(new Error("mine"))),
    Error,
    "mine",
  );
  await withAnswerHeaders(async (newest) => {
    await assertRejects(() => fetch("http://127.0.0.1:1/"), TypeError);
    assertEquals(newest(), undefined);
  });
});
