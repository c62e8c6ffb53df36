/** Who may call an endpoint and how: tokens, methods, other origins. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { encodeBase64Url } from "@std/encoding";
import {
  decodeJwt,
  decodeProtectedHeader,
  generateKeyPair,
  SignJWT,
} from "jose";
import {
  callFunction,
  type FunctionRequest,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { assertProblem } from "../_support/problem.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForLog } from "../_support/wait-for.ts";

const running = useStack();

/** A request to each user endpoint that would succeed with the right token. */
async function goodRequests(
  user: TestUser,
): Promise<[string, FunctionRequest][]> {
  const inputUrl = await uploadRecording(user);
  const path = inputUrl.slice("voice-samples/".length);
  return [
    ["create-ai-job", {
      body: {
        job_type: "voice_clone",
        input_url: inputUrl,
        metadata: { voice_name: "A voice" },
      },
    }],
    ["get-ai-job", { query: `?id=${crypto.randomUUID()}` }],
    ["create-upload-url", {
      body: {
        bucket: "voice-samples",
        file_name: "a.mp3",
        content_type: "audio/mpeg",
        size_bytes: 10,
      },
    }],
    ["create-download-url", { body: { bucket: "voice-samples", path } }],
  ];
}

const secondsFromNow = (seconds: number) =>
  Math.floor(Date.now() / 1000) + seconds;

/** Tokens that must be refused, by what is wrong with them. */
async function badTokens(
  stack: TestStack,
  user: TestUser,
  victim: TestUser,
): Promise<Record<string, string>> {
  const { sub = "" } = decodeJwt(user.accessToken);
  const kid = decodeProtectedHeader(user.accessToken).kid ?? "";
  const claims = {
    sub,
    role: "authenticated",
    aud: "authenticated",
    iat: secondsFromNow(-7200),
    exp: secondsFromNow(3600),
  };
  const [header = "", , signature = ""] = user.accessToken.split(".");
  const json = (value: unknown) => encodeBase64Url(JSON.stringify(value));
  const { privateKey } = await generateKeyPair("ES256");
  const jwks = await fetch(`${stack.apiUrl}/auth/v1/.well-known/jwks.json`);
  const publicKeys = new TextEncoder().encode(await jwks.text());
  return {
    garbage: "garbage",
    "three parts of garbage": "a.b.c",
    expired: await stack.signToken({ ...claims, exp: secondsFromNow(-120) }),
    "signed with another key": await new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid, typ: "JWT" }).sign(privateKey),
    "signed with the published key as a shared secret": await new SignJWT(
      claims,
    ).setProtectedHeader({ alg: "HS256", kid, typ: "JWT" }).sign(publicKeys),
    "not signed at all": `${json({ alg: "none", typ: "JWT" })}.${
      json(claims)
    }.`,
    "with another user's id under the old signature": `${header}.${
      json({ ...claims, sub: victim.id })
    }.${signature}`,
    "cut short": user.accessToken.slice(0, -10),
    "the publishable key": stack.publishableKey,
    "the secret key": stack.secretKey,
  };
}

Deno.test("user endpoints: without a valid user token the answer is 401, at the gateway and behind it", async () => {
  const stack = running();
  const user = await signUp(stack);
  const requests = await goodRequests(user);
  const tokens = await badTokens(stack, user, await signUp(stack));
  const [before] = await stack.sql`select count(*) from public.ai_jobs`;

  for (const [slug, request] of requests) {
    const origin = await stack.ask("/functions/origin", slug);
    const call = async (name: string, headers: Record<string, string>) => {
      const atGateway = await callFunction(stack, slug, {
        ...request,
        headers,
      });
      assertEquals(atGateway.status, 401, `${slug}, ${name}, at the gateway`);
      assertEquals(atGateway.headers.get("access-control-allow-origin"), "*");
      const behind = await callAt(origin, slug, { ...request, headers });
      try {
        assertProblem(behind, { status: 401, code: "unauthenticated" });
      } catch (error) {
        throw new Error(`${slug}, ${name}: ${error}`, { cause: error });
      }
    };
    await call("no token", {});
    await call("no token, publishable key", { apikey: stack.publishableKey });
    await call("no token, secret key", { apikey: stack.secretKey });
    await call("another scheme", { authorization: "Basic YTpi" });
    for (const [name, token] of Object.entries(tokens)) {
      await call(name, {
        authorization: `Bearer ${token}`,
        apikey: stack.publishableKey,
      });
    }
    // The twin: with the right token neither way returns 401.
    const headers = { authorization: `Bearer ${user.accessToken}` };
    for (
      const answer of [
        await user.call(slug, request),
        await callAt(origin, slug, { ...request, headers }),
      ]
    ) assert([200, 201, 202, 404].includes(answer.status), slug);
  }
  const [after] = await stack.sql`
    select count(*) - 2 as count from public.ai_jobs`;
  assertEquals(after, before, "only the twins created jobs");
});

/** Calls a function at its own address, without the gateway. */
function callAt(origin: string, slug: string, request: FunctionRequest) {
  // The path has the gateway's prefix, which functions may ignore.
  return callFunction({ apiUrl: origin }, slug, request);
}

Deno.test("user endpoints: a valid token that belongs to no user is 401", async () => {
  const stack = running();
  const user = await signUp(stack);
  const times = { iat: secondsFromNow(-10), exp: secondsFromNow(3600) };
  const tokens = {
    "role anon": await stack.signToken({ role: "anon", ...times }),
    "role service_role": await stack.signToken({
      role: "service_role",
      ...times,
    }),
    "no role": await stack.signToken(times),
  };
  for (const [slug, request] of await goodRequests(user)) {
    for (const [name, token] of Object.entries(tokens)) {
      const answer = await callFunction(stack, slug, {
        ...request,
        headers: { authorization: `Bearer ${token}` },
      });
      assertEquals(
        answer.status,
        401,
        `${slug}, ${name}: ${JSON.stringify(answer.body)}`,
      );
    }
  }
});

Deno.test("user endpoints: a token of a deleted account is 401 account_not_found, and creates nothing", async () => {
  const stack = running();
  const user = await signUp(stack);
  const someJob = { job_id: crypto.randomUUID() };
  const requests: [string, FunctionRequest][] = [
    ...await goodRequests(user),
    ["list-ai-jobs", { query: "" }],
    ["cancel-ai-job", { body: someJob }],
    ["retry-ai-job", { body: someJob }],
    // The request needs no object, so that only the account can be missing.
    ["create-ai-job", {
      body: {
        job_type: "text_to_speech",
        metadata: { text: "Hello", voice_id: "21m00Tcm4TlvDq8ikWAM" },
      },
    }],
    ["create-download-url", {
      body: { bucket: "voice-samples", path: `${user.id}/not-there.mp3` },
    }],
  ];
  await stack.sql`delete from auth.users where id = ${user.id}`;
  for (const [slug, request] of requests) {
    const answer = await user.call(slug, request);
    assertProblem(answer, { status: 401, code: "account_not_found" });
  }
  const { data, error } = await user.client.auth.refreshSession();
  assertEquals([data.session, error?.status], [null, 400], "no newer token");
  assertEquals(
    await stack.sql`select id from public.ai_jobs where user_id = ${user.id}`,
    [],
  );
});

Deno.test("user endpoints: for an existing account a missing object is 404", async () => {
  const user = await signUp(running());
  assertProblem(
    await user.call("get-ai-job", { query: `?id=${crypto.randomUUID()}` }),
    { status: 404, code: "not_found" },
  );
  const { status, body } = await user.call("list-ai-jobs", { query: "" });
  assertEquals([status, body], [200, { jobs: [], next_cursor: null }]);
});

Deno.test("endpoints: another method is 405, with the right one in Allow", async () => {
  const stack = running();
  const user = await signUp(stack);
  const allowed = {
    "create-ai-job": "POST",
    "get-ai-job": "GET",
    "create-upload-url": "POST",
    "create-download-url": "POST",
    "process-ai-job": "POST",
  };
  for (const [slug, right] of Object.entries(allowed)) {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
      if (method === right) continue;
      const answer = await user.call(slug, { method });
      assertProblem(answer, { status: 405, code: "method_not_allowed" });
      assertEquals(answer.headers.get("allow"), `${right}, OPTIONS`);
    }
  }
});

Deno.test("endpoints: the CORS preflight of another origin passes without a token", async () => {
  const stack = running();
  for (
    const slug of [
      "create-ai-job",
      "get-ai-job",
      "create-upload-url",
      "create-download-url",
    ]
  ) {
    const { status, headers, body } = await callFunction(stack, slug, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
      },
    });
    assertEquals(status, 204, slug);
    assertEquals(body, "");
    assertEquals(headers.get("access-control-allow-origin"), "*");
    const names = headers.get("access-control-allow-headers")?.toLowerCase() ??
      "";
    for (
      const name of [
        "authorization",
        "apikey",
        "content-type",
        "x-client-info",
        "idempotency-key",
        "x-request-id",
        "x-region",
        "sentry-trace",
        "baggage",
        "traceparent",
        "tracestate",
      ]
    ) assertStringIncludes(names, name);
    const methods = headers.get("access-control-allow-methods") ?? "";
    for (const method of ["GET", "POST", "OPTIONS"]) {
      assertStringIncludes(methods, method);
    }
    assertStringIncludes(
      headers.get("access-control-expose-headers") ?? "",
      "location",
    );
  }
});

Deno.test("endpoints: a body without a Content-Length is cut off at the limit", async () => {
  const stack = running();
  const user = await signUp(stack);
  const piece = new TextEncoder().encode(" ".repeat(16_384));
  for (
    const [slug, headers] of [
      ["create-ai-job", {}],
      // A signature of the right form, because otherwise the body is not read.
      ["process-ai-job", {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1767225600",
        "webhook-signature": `v1,${btoa("0".repeat(32))}`,
      }],
    ] as const
  ) {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent >= 64 * piece.length) return controller.close();
        sent += piece.length;
        controller.enqueue(piece);
      },
    });
    assertProblem(await user.call(slug, { body, headers }), {
      status: 413,
      code: "payload_too_large",
    });
  }
});

Deno.test("endpoints: a plain x-request-id is returned and logged; any other is replaced", async () => {
  const stack = running();
  const user = await signUp(stack);
  const query = `?id=${crypto.randomUUID()}`;
  const mine = `app-${crypto.randomUUID()}`;
  const answer = await user.call("get-ai-job", {
    query,
    headers: { "x-request-id": mine },
  });
  assertEquals(answer.headers.get("x-request-id"), mine);
  await waitForLog(stack, "get-ai-job", {
    request_id: mine,
    event: "request_answered",
    status: 404,
  });
  const odd = await user.call("get-ai-job", {
    query,
    headers: { "x-request-id": 'x" event="forged' },
  });
  assert(/^[0-9a-f-]{36}$/.test(odd.headers.get("x-request-id") ?? ""));
});
