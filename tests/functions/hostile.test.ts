/**
 * Hostile input through the whole stack: a refusal that names the field, no row changed, and no address called. The
 * many more cases that need no stack are in tests/unit/hostile.
 */
import { assert, assertEquals } from "@std/assert";
import fc, { PROPERTY_SEED } from "../_support/fast-check.ts";
import {
  callFunction,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { uploadPortrait } from "../_support/avatar-jobs.ts";
import { assertNames, refusalOf } from "../_support/hostile-answers.ts";
import {
  downloadShape,
  formless,
  hostileBodies,
  JOB_ID,
  jobShapes,
  UPLOAD,
} from "../_support/hostile-bodies.ts";
import {
  hostilePaths,
  hostileUrls,
  writingsOf,
} from "../_support/hostile-urls.ts";
import { hmacHex } from "../_support/hmac.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { reportCases } from "../_support/try-cases.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const running = useStack({
  env: {
    HEYGEN_WEBHOOK_SECRET: SECRET,
    DID_WEBHOOK_SECRET: SECRET,
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  },
});

/** A server that listens where the addresses point, and redirects every request to the project. */
class Canary implements AsyncDisposable {
  readonly visits: string[] = [];
  readonly port: number;
  readonly #servers: Deno.HttpServer[] = [];

  constructor(target: string) {
    const first = this.#listen("127.0.0.1", 0, target);
    this.port = first.addr.port;
    // Without IPv6 nothing can listen there, or be called.
    if (hasIpv6()) this.#listen("::1", this.port, target);
  }

  #listen(
    hostname: string,
    port: number,
    target: string,
  ): Deno.HttpServer<Deno.NetAddr> {
    const server = Deno.serve({ hostname, port, onListen() {} }, (request) => {
      this.visits.push(`${request.method} ${request.url}`);
      return Response.redirect(target);
    });
    this.#servers.push(server);
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.shutdown()));
  }
}

function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/** The number of rows and their digest, for every table that a request could change. */
async function everything(
  stack: TestStack,
  except: readonly string[],
): Promise<Map<string, string>> {
  await using connection = stack.connect();
  const { sql } = connection;
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p')
      and (n.nspname in ('public', 'private') or (n.nspname, c.relname) in
        (('storage', 'objects'), ('storage', 'buckets'), ('auth', 'users'), ('net', 'http_request_queue'), ('net', '_http_response')))
    order by 1`;
  assert(tables.length > 20, `${tables.length} tables`);
  const seen = new Map<string, string>();
  for (const { name } of tables) {
    if (except.includes(name)) continue;
    const [row] = await sql.unsafe<{ digest: string }[]>(
      // Measuring the caller's own file changes only its last access.
      `select count(*) || ' ' || coalesce(md5(string_agg(row_text, e'\\n' order by row_text)), '') as digest
       from (select (to_jsonb(t) - 'last_accessed_at')::text as row_text from ${name} as t)`,
    );
    seen.set(name, row?.digest ?? "");
  }
  return seen;
}

/** Generated cases, the same for the same seed. */
const sample = <T>(cases: fc.Arbitrary<T>, count: number): T[] =>
  fc.sample(cases, { numRuns: count, seed: PROPERTY_SEED });

/** Runs them, a few at a time. Fails with the first failure and the seed that reproduces it. */
async function each<T>(
  subject: string,
  cases: readonly T[],
  check: (one: T) => Promise<void>,
): Promise<void> {
  const left = [...cases].reverse();
  const one = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      try {
        await check(next);
      } catch (error) {
        throw new Error(
          `${subject}: PROPERTY_SEED=${PROPERTY_SEED}: ${
            JSON.stringify(next)
          }: ${error}`,
          { cause: error },
        );
      }
    }
  };
  await Promise.all(Array.from({ length: 6 }, one));
  reportCases(subject, cases.length);
}

/** Fails if a row changed or the canary got a request. */
async function withNothingChanged(
  stack: TestStack,
  work: (canary: Canary) => Promise<void>,
  except: readonly string[] = [],
): Promise<void> {
  await using canary = new Canary(stack.apiUrl);
  const before = await everything(stack, except);
  await work(canary);
  assertEquals(await everything(stack, except), before, "a row has changed");
  assertEquals(canary.visits, [], "a disguised address was called");
  // The twin: a request to a disguised address does reach the canary.
  const disguised = writingsOf("127.0.0.1").find((host) =>
    host.startsWith("0x")
  );
  const response = await fetch(`http://${disguised}:${canary.port}/`, {
    redirect: "manual",
  });
  await response.body?.cancel();
  assertEquals(canary.visits.length, 1);
}

async function post(
  user: TestUser,
  slug: string,
  text: string,
): Promise<Response> {
  return await fetch(`${running().apiUrl}/functions/v1/${slug}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${user.accessToken}`,
      apikey: running().publishableKey,
    },
    body: text,
  });
}

Deno.test("hostile bodies: every endpoint refuses them and names the field, and no row changes", async () => {
  const stack = running();
  const user = await signUp(stack);
  const recording = await uploadRecording(user);
  const photo = await uploadPortrait(user);
  await withNothingChanged(stack, async () => {
    for (
      const [type, shape] of Object.entries(jobShapes({ recording, photo }))
    ) {
      await each(
        `create-ai-job ${type}`,
        sample(hostileBodies(shape), 120),
        async ({ text, fields }) =>
          assertNames(
            await refusalOf(await post(user, "create-ai-job", text)),
            fields,
          ),
      );
    }
    const path = photo.slice("uploads/".length);
    for (
      const [slug, shape] of Object.entries({
        "cancel-ai-job": JOB_ID,
        "retry-ai-job": JOB_ID,
        "create-upload-url": UPLOAD,
        "create-download-url": downloadShape(path),
      })
    ) {
      await each(
        slug,
        sample(hostileBodies(shape), 120),
        async ({ text, fields, isOneEnough }) =>
          assertNames(
            await refusalOf(await post(user, slug, text)),
            fields,
            isOneEnough,
          ),
      );
      await each(
        `${slug}, formless`,
        sample(formless, 60),
        async (text) => void await refusalOf(await post(user, slug, text)),
      );
    }
  });
});

Deno.test("input_url in every disguise: refused by field name; no row changes, no address is called", async () => {
  const stack = running();
  const user = await signUp(stack);
  const otherUser = await signUp(stack);
  const own = await uploadRecording(user);
  const theirs = await uploadRecording(otherUser);
  const folder = own.split("/").slice(0, 2).join("/");
  const { host } = new URL(stack.apiUrl);
  await withNothingChanged(stack, async (canary) => {
    const inputs = [
      ...sample(hostileUrls(host, folder, canary.port), 500),
      ...sample(hostilePaths(stack.apiUrl, folder), 250),
      // Only the database can refuse these: another user's object, and a missing one.
      theirs,
      `${stack.apiUrl}/storage/v1/object/${theirs}`,
      `${stack.apiUrl}/storage/v1/object/sign/${theirs}?token=x`,
      `${stack.apiUrl}/storage/v1/object/${folder}/../${theirs}`,
      `${folder}/not-there.mp3`,
      `outputs/${user.id}/x/y.mp3`,
      `constructor/${user.id}/a.mp3`,
      `127/0/0.1:${canary.port}`,
    ];
    await each("input_url", inputs, async (input_url) => {
      for (
        const job of [
          { job_type: "voice_clone", metadata: { voice_name: "V" } },
          { job_type: "transcription", metadata: {} },
        ]
      ) {
        const text = JSON.stringify({ ...job, input_url });
        const problem = await refusalOf(
          await post(user, "create-ai-job", text),
        );
        assertNames(problem, ["input_url"]);
      }
    });
    // A plain insert, without a function, is refused by the database too.
    await each(
      "ai_jobs.input_url",
      inputs.slice(0, 200).concat(inputs.slice(-8)),
      async (input_url) => {
        if (input_url === `${stack.apiUrl}/storage/v1/object/${theirs}`) return;
        const { error, status } = await user.client.from("ai_jobs").insert({
          job_type: "voice_clone",
          input_url,
          metadata: { voice_name: "V" },
        });
        assert(error !== null && status >= 400 && status < 500, `${status}`);
      },
    );
  });
});

Deno.test("audio_url in every disguise: refused by field name; no row changes, no address is called", async () => {
  const stack = running();
  const user = await signUp(stack);
  const theirs = await uploadRecording(await signUp(stack));
  const lastAccess = () =>
    stack.sql`
      select last_accessed_at from storage.objects where bucket_id || '/' || name = ${theirs}`;
  const accessed = await lastAccess();
  assertEquals(accessed.length, 1);
  const input_url = await uploadPortrait(user);
  const { host } = new URL(stack.apiUrl);
  const folder = `recordings/${user.id}`;
  await withNothingChanged(stack, async (canary) => {
    const audios = [
      ...sample(hostileUrls(host, folder, canary.port), 300),
      ...sample(hostilePaths(stack.apiUrl, folder), 100),
      theirs,
      `${folder}/not-there.mp3`,
      input_url,
    ];
    await each("audio_url", audios, async (audio_url) => {
      const text = JSON.stringify({
        job_type: "avatar_video",
        input_url,
        metadata: { audio_url },
      });
      const problem = await refusalOf(await post(user, "create-ai-job", text));
      assertNames(problem, ["metadata.audio_url"]);
    });
  });
  assertEquals(await lastAccess(), accessed, "another user's file was read");
});

Deno.test("provider-webhook: forged, corrupt, old and replayed webhooks change no row", async () => {
  const stack = running();
  const now = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({
    event_data: { callback_id: `job:${crypto.randomUUID()}`, video_id: "v" },
    data: { webhook_metadata: { job_id: crypto.randomUUID() } },
  });
  const heyGen = async (text: string, secret = SECRET, at = now, id = "e") => ({
    provider: "heygen",
    body: text,
    headers: {
      "heygen-signature": await hmacHex(secret, text),
      "heygen-timestamp": String(at),
      "heygen-event-id": id,
    },
  });
  const elevenLabs = async (text: string, secret = SECRET, at = now) => ({
    provider: "elevenlabs",
    body: text,
    headers: {
      "elevenlabs-signature": `t=${at},v0=${await hmacHex(
        secret,
        `${at}.${text}`,
      )}`,
    },
  });
  type Sent = { provider: string; body: string; headers: HeadersInit };
  const send = async (sent: Sent) =>
    await fetch(
      `${stack.apiUrl}/functions/v1/provider-webhook/${sent.provider}`,
      {
        method: "POST",
        headers: { "content-type": "application/json", ...sent.headers },
        body: sent.body,
      },
    );
  // From here on, two genuine ones have a receipt.
  for (const one of [await heyGen(body), await elevenLabs(body)]) {
    const response = await send(one);
    assertEquals(response.status, 200, await response.text());
  }
  await withNothingChanged(stack, async () => {
    const forged: Sent[] = [];
    for (const text of sample(fc.json(), 100)) {
      forged.push(
        { ...await heyGen(body), body: text },
        { ...await elevenLabs(body), body: text },
        await heyGen(text, "whsec_of-another-user-0123456789"),
        await elevenLabs(text, "whsec_of-another-user-0123456789"),
        {
          provider: `d-id/${crypto.randomUUID()}/${"0".repeat(64)}`,
          body: text,
          headers: {},
        },
        { provider: "d-id", body: text, headers: {} },
        { provider: text.slice(0, 8).replace(/\W/g, "x"), body, headers: {} },
      );
    }
    for (let hours = 1; hours <= 40; hours++) {
      const past = now - hours * 3600;
      const fresh = JSON.stringify({ data: { request_id: `r${hours}` } });
      forged.push(
        await heyGen(fresh, SECRET, past, `old ${hours}`.replace(" ", "")),
        await heyGen(fresh, SECRET, now + hours * 3600, `new${hours}`),
        await elevenLabs(fresh, SECRET, past),
        await elevenLabs(fresh, SECRET, now + hours * 3600),
      );
    }
    await each("webhooks, forged or old", forged, async (sent) => {
      const { code } = await refusalOf(await send(sent));
      assert(
        /^(webhook_signature_invalid|webhook_stale|not_found)$/.test(code),
        code,
      );
    });
  });
  await withNothingChanged(stack, async () => {
    const replayed: Sent[] = [await elevenLabs(body)];
    for (let at = 0; at < 60; at++) {
      replayed.push(await heyGen(body, SECRET, now - at, `again-${at}`));
    }
    await each("webhooks, replayed", replayed, async (sent) => {
      const response = await send(sent);
      assertEquals(await response.json(), { status: "replayed" });
    });
  }, ["private.provider_webhook_receipts"]); // where replays are recorded, for two days
});

Deno.test("process-ai-job: dispatches without a valid signature are refused, and nothing is claimed", async () => {
  const stack = running();
  await withNothingChanged(stack, async () => {
    await each("process-ai-job", sample(formless, 200), async (body) => {
      const { status, body: answer } = await callFunction(
        stack,
        "process-ai-job",
        {
          body,
          headers: {
            "webhook-id": "msg_1",
            "webhook-timestamp": String(Math.floor(Date.now() / 1000)),
            "webhook-signature":
              "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
          },
        },
      );
      assertEquals(status, 401, JSON.stringify(answer));
    });
  });
});
