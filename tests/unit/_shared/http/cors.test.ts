import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  createClient,
  FunctionRegion,
  type SupabaseClient,
} from "@supabase/supabase-js";
import {
  ALLOWED_REQUEST_HEADERS,
  CORS_HEADERS,
} from "../../../../supabase/functions/_shared/http/cors.ts";

/** The key under which `@supabase/supabase-js/tracing` registers its reader (src/lib/tracingRegistry.ts there). */
const TRACE_EXTRACTOR = Symbol.for(
  "@supabase/supabase-js.traceContextExtractor",
);

const TRACE = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "vendor=1",
  baggage: "sentry-release=1",
};

/** The names of all headers that supabase-js puts on the calls that `call` makes with a traced client. */
async function headersSentBy(
  call: (client: SupabaseClient) => PromiseLike<unknown>,
): Promise<Set<string>> {
  const names = new Set<string>();
  const client = createClient("https://ref.supabase.co", "sb_publishable_x", {
    accessToken: () => Promise.resolve("a.b.c"),
    tracePropagation: true,
    global: {
      fetch: (input, init) => {
        for (const name of new Request(input, init).headers.keys()) {
          names.add(name.toLowerCase());
        }
        return Promise.resolve(Response.json({}));
      },
    },
  });
  Reflect.set(globalThis, TRACE_EXTRACTOR, () => TRACE);
  try {
    await call(client);
  } finally {
    Reflect.deleteProperty(globalThis, TRACE_EXTRACTOR);
  }
  return names;
}

Deno.test("cors: every request of the pinned functions-js passes the preflight", async () => {
  const bodies = [
    { a: 1 },
    "text",
    new Blob(["x"], { type: "image/png" }),
    new ArrayBuffer(1),
    new FormData(),
  ];
  const sent = await headersSentBy(async ({ functions }) => {
    for (const body of bodies) {
      await functions.invoke("create-ai-job", {
        body,
        region: FunctionRegion.EuCentral1,
      });
    }
    await functions.invoke("get-ai-job?id=1", { method: "GET", timeout: 1000 });
  });
  // The test proves something only if the client has sent every header that it can.
  for (const name of ["x-region", "apikey", ...Object.keys(TRACE)]) {
    assert(sent.has(name), `${name} was not sent`);
  }
  assertEquals(
    [...sent].filter((name) => !ALLOWED_REQUEST_HEADERS.includes(name)),
    [],
  );
});

Deno.test("cors: the headers of Sentry and of our own endpoints pass the preflight, and each is listed once", () => {
  for (
    const name of ["sentry-trace", "baggage", "idempotency-key", "x-request-id"]
  ) assert(ALLOWED_REQUEST_HEADERS.includes(name), name);
  assertEquals(
    [...new Set(ALLOWED_REQUEST_HEADERS)],
    [...ALLOWED_REQUEST_HEADERS],
  );
  assertEquals(
    CORS_HEADERS["Access-Control-Allow-Headers"]?.split(", "),
    [...ALLOWED_REQUEST_HEADERS],
  );
});

Deno.test("cors: a page of any origin may call, and can read Location and Retry-After", () => {
  assertEquals(
    CORS_HEADERS["Access-Control-Expose-Headers"],
    "location, retry-after, x-request-id",
  );
  assertMatch(CORS_HEADERS["Access-Control-Allow-Methods"] ?? "", /POST/);
  assertEquals(CORS_HEADERS["Access-Control-Allow-Origin"], "*");
});
