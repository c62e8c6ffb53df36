import { assertEquals } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { readEnv } from "../../../../supabase/functions/_shared/config/env.ts";
import {
  createDirectDispatch,
  USELESS_PAUSE_MS,
} from "../../../../supabase/functions/_shared/http/direct-dispatch.ts";
import { createLogger } from "../../../../supabase/functions/_shared/platform/log.ts";
import { COMPLETE_ENV, fakePlatform } from "../../../_support/fake-platform.ts";

const JOB = "3f1e0a52-6a51-4b0b-9d5e-0d6f4a3c2b11";

interface Call {
  url: string;
  body: string;
  headers: Headers;
  signal: AbortSignal | null | undefined;
}

/** A direct dispatch whose calls are answered by `respond`. */
function subject(
  respond: () => Promise<Response>,
  env: Record<string, string> = {},
) {
  const calls: Call[] = [];
  const platform = fakePlatform({
    env: { ...COMPLETE_ENV, ...env },
    fetch: (input, init) => {
      calls.push({
        url: String(input),
        body: String(init?.body),
        headers: new Headers(init?.headers),
        signal: init?.signal,
      });
      return respond();
    },
  });
  const log = createLogger(platform, { level: "debug", secrets: [] });
  const dispatch = createDirectDispatch({ platform, env: readEnv(platform) });
  return { calls, platform, dispatch: () => dispatch(JOB, log) };
}

const claiming = (...claimed: string[]) => () =>
  Promise.resolve(Response.json({ claimed }, { status: 202 }));

Deno.test("direct dispatch: the worker starts in the region of the database, if it is known", async () => {
  for (const region of [undefined, "eu-central-1"]) {
    const { calls, platform, dispatch } = subject(
      claiming(JOB),
      region === undefined ? {} : { WORKER_REGION: region },
    );
    dispatch();
    await platform.background();
    assertEquals(calls[0]?.headers.get("x-region"), region ?? null);
  }
});

Deno.test("direct dispatch: the call equals the database's, with a signature and a time limit", async () => {
  const { calls, platform, dispatch } = subject(claiming(JOB));
  dispatch();
  await platform.background();
  const [call] = calls;
  assertEquals(
    call?.url,
    `${COMPLETE_ENV["SUPABASE_URL"]}/functions/v1/process-ai-job`,
  );
  const timestamp = Number(call?.headers.get("webhook-timestamp"));
  assertEquals(timestamp, Math.floor(platform.now().getTime() / 1000));
  assertEquals(
    new Webhook(COMPLETE_ENV["DISPATCH_SECRET"] ?? "").sign(
      call?.headers.get("webhook-id") ?? "",
      new Date(timestamp * 1000),
      call?.body ?? "",
    ),
    call?.headers.get("webhook-signature"),
  );
  assertEquals(JSON.parse(call?.body ?? ""), {
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: JOB },
    old_record: null,
    job_ids: [JOB],
  });
  assertEquals(call?.signal instanceof AbortSignal, true);
});

Deno.test("direct dispatch: one call at a time; the next job after it causes another", async () => {
  const gate = Promise.withResolvers<Response>();
  const { calls, platform, dispatch } = subject(() => gate.promise);
  dispatch();
  dispatch();
  gate.resolve(await claiming(JOB)());
  await platform.background();
  assertEquals(calls.length, 1);
  dispatch();
  assertEquals(calls.length, 1, "the request is signed first");
  await Promise.allSettled([platform.background()]);
  assertEquals(calls.length, 2);
});

const USELESS: Record<string, () => Promise<Response>> = {
  "claims nothing": claiming(),
  "is refused": () =>
    Promise.resolve(Response.json({ code: "dispatch_stale" }, { status: 401 })),
  "has no JSON": () => Promise.resolve(new Response("bad gateway")),
  "cannot be sent": () => Promise.reject(new TypeError("connection refused")),
};
for (const [name, respond] of Object.entries(USELESS)) {
  Deno.test(`direct dispatch: a call that ${name} has no effect, logs at debug only, and is followed by a pause`, async () => {
    const { calls, platform, dispatch } = subject(respond);
    dispatch();
    await platform.background();
    dispatch();
    await platform.background();
    assertEquals(calls.length, 1);
    assertEquals(
      platform.logged().filter(({ level }) => level !== "debug"),
      [],
    );
    platform.advance(USELESS_PAUSE_MS);
    dispatch();
    await platform.background();
    assertEquals(calls.length, 2);
  });
}

Deno.test("direct dispatch: nothing is sent when it is disabled", async () => {
  const { calls, platform, dispatch } = subject(claiming(JOB), {
    DIRECT_DISPATCH: "off",
  });
  dispatch();
  await platform.background();
  assertEquals(calls, []);
});
