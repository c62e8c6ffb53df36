/** A client that sends slowly, endlessly, or reads nothing holds its own connection and nothing else. */
import { assert, assertEquals } from "@std/assert";
import { FunctionsHttpError } from "@supabase/supabase-js";
import postgres from "postgres";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import { createUploadUrlResponseSchema } from "../../supabase/functions/_shared/contracts/storage.ts";
import { signUp, type TestUser } from "../_support/as-user.ts";
import { chunk, type RawClient, sendHead } from "../_support/raw-client.ts";
import { until } from "../_support/stack-fixture.ts";

/** More than the services have connections to the database. */
const AT_ONCE = 25;
const MEBIBYTE = 1_048_576;
/**
 * An isolate retires at half of it. These tests are shorter than that even on a busy machine, so that no isolate
 * reaches the end.
 */
const WALL_CLOCK_MS = 20 * 60_000;

/** What each function answers to a POST whose body does not end. */
const ANSWERS: Readonly<Record<string, number>> = {
  "cancel-ai-job": 504,
  "create-ai-job": 504,
  "create-download-url": 504,
  "create-upload-url": 504,
  "get-ai-job": 405,
  "health": 405,
  "janitor": 401,
  "list-ai-jobs": 405,
  "metrics": 405,
  "ops": 403,
  "process-ai-job": 401,
  "provider-webhook": 404,
  "render-ai-job": 401,
  "retry-ai-job": 504,
};
/** So often no machine is too busy to answer one client in time. */
const MAX_TRIES = 20;

interface Endpoint {
  name?: string;
  method?: string;
  path: string;
  headers?: Record<string, string>;
  /** The first bytes of its body. */
  begin?: string;
}

interface Rig extends AsyncDisposable {
  stack: Stack;
  user: TestUser;
  headers: Record<string, string>;
}

async function start(
  bootFunctions: "at-once" | "on-demand" = "on-demand",
): Promise<Rig> {
  const stack = await startStack({
    ephemeral: true,
    bootFunctions,
    simulators: false,
    env: { REQUEST_TIMEOUT: "4" },
    wallClockMs: WALL_CLOCK_MS,
  });
  await removeStatementTimeout(stack);
  const user = await signUp(stack);
  return {
    stack,
    user,
    headers: {
      apikey: stack.publishableKey,
      authorization: `Bearer ${user.accessToken}`,
      "content-type": "application/json",
    },
    [Symbol.asyncDispose]: () => stack.stop(),
  };
}

/**
 * Removes the time limit of users' statements, before the first one. No test here is about it, and a busy machine needs
 * longer for 25 lists of 2 MB.
 */
async function removeStatementTimeout({ adminDbUrl }: Stack): Promise<void> {
  const sql = postgres(adminDbUrl, { max: 1 });
  await using _end = { [Symbol.asyncDispose]: () => sql.end() };
  await sql`alter role authenticated set statement_timeout = 0`;
}

const FORM = {
  "content-type": "multipart/form-data; boundary=x",
};
const FORM_BEGIN =
  '--x\r\ncontent-disposition: form-data; name=""; filename="a"\r\ncontent-type: image/png\r\n\r\n';

/** Every endpoint that accepts a body, except functions. */
async function endpoints({ user }: Rig): Promise<Endpoint[]> {
  const { body } = await user.call("create-upload-url", {
    body: {
      bucket: "uploads",
      file_name: "signed.png",
      content_type: "image/png",
      size_bytes: 9,
    },
  });
  const signed = new URL(createUploadUrlResponseSchema.parse(body).upload_url);
  const image = { "content-type": "image/png" };
  return [
    { path: "/rest/v1/profiles" },
    {
      path: "/rest/v1/orders?select=id,order_items(*)",
      headers: { prefer: "return=representation" },
    },
    { method: "PATCH", path: "/rest/v1/profiles?user_id=not.is.null" },
    { path: "/rest/v1/rpc/get_ai_budget" },
    { path: "/auth/v1/signup" },
    { path: "/auth/v1/token?grant_type=password" },
    { path: "/auth/v1/admin/users" },
    { path: "/storage/v1/object/list/uploads" },
    { path: "/storage/v1/object/sign/uploads" },
    { path: "/storage/v1/object/copy" },
    { path: "/storage/v1/bucket" },
    { path: "/realtime/v1/api/broadcast" },
    {
      name: "a file",
      path: `/storage/v1/object/uploads/${user.id}/slow/raw.png`,
      headers: image,
      begin: "x",
    },
    {
      name: "a form with a file",
      path: `/storage/v1/object/uploads/${user.id}/slow/form.png`,
      headers: FORM,
      begin: FORM_BEGIN,
    },
    {
      name: "a file by signed URL",
      method: "PUT",
      path: signed.pathname + signed.search,
      headers: image,
      begin: "x",
    },
  ];
}

const nameOf = ({ name, method = "POST", path }: Endpoint) =>
  name ?? `${method} ${path}`;

function open(
  rig: Rig,
  { method = "POST", path, headers = {} }: Endpoint,
  length: Record<string, string>,
): Promise<RawClient> {
  return sendHead(`${rig.stack.apiUrl}${path}`, method, {
    ...rig.headers,
    ...headers,
    ...length,
  });
}

/**
 * Repeats a call that exceeded the short limit of these tests, which can happen on a busy machine. A blocked function
 * never answers, so the test still fails.
 */
async function untilServed<T extends { error: unknown }>(
  call: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const answer = await call();
    const { error } = answer;
    const isLate = error instanceof FunctionsHttpError &&
      error.context instanceof Response && error.context.status === 504;
    if (!isLate) return answer;
    await error.context.body?.cancel();
  }
}

/** Asserts that every service answers other clients in time, and that no client holds a database connection. */
async function assertOthersAreServed({ stack, user }: Rig): Promise<void> {
  const soon = AbortSignal.timeout(300_000);
  const late = Promise.withResolvers<never>();
  soon.addEventListener("abort", () => late.reject(soon.reason));
  const served = await Promise.race([
    late.promise,
    Promise.all([
      user.client.from("ai_jobs").select("id").abortSignal(soon),
      user.client.auth.getUser(),
      user.client.storage.from("uploads").upload(
        `${user.id}/other/${crypto.randomUUID()}.png`,
        new Blob([new Uint8Array(9)], { type: "image/png" }),
        { contentType: "image/png" },
      ),
      untilServed(() =>
        user.client.functions.invoke("list-ai-jobs", {
          method: "GET",
          signal: soon,
        })
      ),
      untilServed(() =>
        user.client.functions.invoke("create-upload-url", {
          signal: soon,
          body: {
            bucket: "uploads",
            file_name: "a.png",
            content_type: "image/png",
            size_bytes: 9,
          },
        })
      ),
    ]),
  ]);
  assertEquals(served.map(({ error }) => error), served.map(() => null));
  const sql = postgres(stack.adminDbUrl, { max: 1, onnotice() {} });
  await using _end = { [Symbol.asyncDispose]: () => sql.end() };
  // Running statements end by themselves; a connection that a client holds would not.
  await until("no connection is held", async () => {
    const held = await sql`
      select 1 from pg_stat_activity
      where application_name in ('rest', 'storage and auth') and state <> 'idle'`;
    return held.length === 0;
  });
}

Deno.test("slow clients: a byte per second blocks no other request, and no isolate from retiring", async (t) => {
  await using rig = await start("at-once");
  const { stack } = rig;
  using clients = new DisposableStack();
  const slow: RawClient[] = [];
  const dripping = setInterval(() => {
    for (const client of slow) client.send(" ");
  }, 1000);
  clients.defer(() => clearInterval(dripping));
  const begin = async (endpoint: Endpoint): Promise<RawClient> => {
    const client = clients.use(
      await open(rig, endpoint, { "content-length": "1000000" }),
    );
    await client.send(endpoint.begin ?? "{");
    slow.push(client);
    return client;
  };

  for (const endpoint of await endpoints(rig)) {
    await t.step(nameOf(endpoint), async () => {
      await Promise.all(
        Array.from({ length: AT_ONCE }, () => begin(endpoint)),
      );
      await assertOthersAreServed(rig);
    });
  }

  const isolates = stack.functions.slugs.flatMap((slug) =>
    stack.functions.processes(slug)
  );
  await t.step(
    "every function answers before the rest of the body",
    async () => {
      const ask = async (slug: string) => {
        const path = slug === "provider-webhook" ? `${slug}/elevenlabs` : slug;
        return {
          slug,
          client: await begin({ path: `/functions/v1/${path}` }),
        };
      };
      const waiting = await Promise.all(
        stack.functions.slugs.flatMap((slug) =>
          Array.from({ length: AT_ONCE }, () => ask(slug))
        ),
      );
      await assertOthersAreServed(rig);
      assertEquals(stack.functions.slugs, Object.keys(ANSWERS));
      const answers = new Map<string, Set<number>>();
      for (const { slug, client } of waiting) {
        const statuses = answers.get(slug) ?? new Set();
        answers.set(slug, statuses.add(await client.status()));
      }
      for (const [slug, statuses] of answers) {
        const wanted = ANSWERS[slug];
        // A busy machine may exceed the short limit before the function has found its answer. It does not need the body
        // for it, so that one client with as slow a body gets it in the end.
        for (let tries = 0; wanted !== 504 && statuses.delete(504); tries++) {
          assert(tries < MAX_TRIES, `${slug} waits for the body`);
          statuses.add(await (await ask(slug)).client.status());
        }
        assertEquals([...statuses], [wanted], slug);
      }
    },
  );

  await t.step(
    "retiring isolates end, while all clients continue",
    async () => {
      await stack.functions.advance(WALL_CLOCK_MS / 2);
      const ends = await Promise.all(isolates.map(({ exited }) => exited));
      assertEquals(ends.filter(({ killedFor }) => killedFor !== undefined), []);
    },
  );
});

Deno.test("endless bodies: they end with 413, and are not held in memory", async (t) => {
  await using rig = await start();
  /** Sends `most` mebibytes, or fewer if it is cut off, and passes the growth of memory to `use`. */
  const flood = async (
    endpoint: Endpoint,
    most: number,
    use: (client: RawClient, grown: number) => void | Promise<void>,
  ) => {
    using client = await open(rig, endpoint, {
      "transfer-encoding": "chunked",
    });
    if (endpoint.begin) await client.send(chunk(endpoint.begin));
    const piece = chunk(MEBIBYTE);
    const before = Deno.memoryUsage().rss;
    let grown = 0;
    for (let sent = 0; sent < most; sent++) {
      if (!await client.send(piece)) break;
      grown = Math.max(grown, Deno.memoryUsage().rss - before);
    }
    await use(client, grown);
  };

  for (const endpoint of await endpoints(rig)) {
    if (endpoint.begin !== undefined) continue;
    await t.step(nameOf(endpoint), async () => {
      await flood(endpoint, 24, async (client) => {
        // Storage answers 400, with 413 in the body.
        const isStorage = endpoint.path.startsWith("/storage/");
        assertEquals(await client.status(), isStorage ? 400 : 413);
      });
    });
  }

  for (const endpoint of await endpoints(rig)) {
    if (endpoint.begin === undefined) continue;
    await t.step(nameOf(endpoint), async () => {
      await flood(endpoint, 200, (_client, grown) => {
        assert(grown < 120 * MEBIBYTE, `${grown} bytes more`);
      });
    });
  }

  await t.step("a function's: it is answered, and then cut off", async () => {
    await flood({ path: "/functions/v1/create-ai-job" }, 64, async (client) => {
      assertEquals(await client.status(), 413);
      assertEquals(await client.send(chunk(1)), false);
    });
    await assertOthersAreServed(rig);
  });
});

Deno.test("clients that read nothing: downloads, lists and messages do not delay other clients", async (t) => {
  await using rig = await start();
  const { stack, user, headers } = rig;
  using clients = new DisposableStack();

  await t.step("files and rows", async () => {
    const path = `${user.id}/large/${crypto.randomUUID()}.png`;
    const { error } = await user.client.storage.from("uploads").upload(
      path,
      new Blob([new Uint8Array(24 * MEBIBYTE)], { type: "image/png" }),
      { contentType: "image/png" },
    );
    if (error) throw error;
    const sql = postgres(stack.dbUrl, { max: 1, onnotice() {} });
    await sql`
      insert into public.slideshows (user_id, title, description)
      select ${user.id}, 'A', repeat('x', 2000) from generate_series(1, 900)`;
    await sql.end();
    for (
      const wanted of [
        `/storage/v1/object/authenticated/uploads/${path}`,
        "/rest/v1/slideshows?select=*",
      ]
    ) {
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        const client = clients.use(
          await sendHead(`${stack.apiUrl}${wanted}`, "GET", headers),
        );
        assertEquals(await client.status(), 200);
      }));
      await assertOthersAreServed(rig);
    }
  });

  await t.step(
    "a WebSocket is closed before its messages fill the memory",
    async () => {
      const url = new URL(`${stack.apiUrl}/realtime/v1/websocket?vsn=2.0.0`);
      const client = clients.use(
        await sendHead(url.href, "GET", {
          apikey: stack.publishableKey,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }),
      );
      assertEquals(await client.status(), 101);
      await client.send(textFrame(JSON.stringify([
        "1",
        "1",
        "realtime:room",
        "phx_join",
        { config: {} },
      ])));
      const isDisconnected = () =>
        stack.logs.records("realtime").some(({ line }) =>
          line.includes("does not read its messages")
        );
      const before = Deno.memoryUsage().rss;
      for (let sent = 0; !isDisconnected(); sent++) {
        assert(sent < 200, "200 MiB are held for it");
        const answer = await fetch(
          `${stack.apiUrl}/realtime/v1/api/broadcast`,
          {
            method: "POST",
            headers,
            body: JSON.stringify({
              messages: [{
                topic: "room",
                event: "e",
                payload: { text: "x".repeat(MEBIBYTE) },
              }],
            }),
          },
        );
        await answer.body?.cancel();
        assertEquals(answer.status, 202);
      }
      assert(Deno.memoryUsage().rss - before < 200 * MEBIBYTE);
      await assertOthersAreServed(rig);
    },
  );
});

/** A text message as a client sends it, masked with zeros (RFC 6455, 5.2). */
function textFrame(text: string): Uint8Array<ArrayBuffer> {
  const payload = new TextEncoder().encode(text);
  assert(payload.byteLength < 65_536);
  const head = payload.byteLength < 126
    ? [0x81, 0x80 | payload.byteLength]
    : [0x81, 0xfe, payload.byteLength >> 8, payload.byteLength & 0xff];
  return new Uint8Array([...head, 0, 0, 0, 0, ...payload]);
}
