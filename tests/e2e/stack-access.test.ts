import {
  assert,
  assertArrayIncludes,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

/** A token with the given header and claims, and an invalid signature. */
function forgedToken(header: object, claims: object): string {
  const part = (value: object) =>
    btoa(JSON.stringify(value)).replaceAll("=", "").replaceAll("+", "-")
      .replaceAll("/", "_");
  return `${part(header)}.${part(claims)}.c2lnbmF0dXJl`;
}

// auth-js leaves the answer to deleteUser unread.
Deno.test(
  "access: keys, tokens, policies and grants hold as on a hosted project",
  {
    sanitizeResources: false,
  },
  async (t) => {
    await using project = await makeProject();
    await using stack = await startChild(project.dir, ["--ephemeral"]);
    const { env } = stack;
    const ann = await newPerson(env, "ann");
    const bob = await newPerson(env, "bob");
    const claims = {
      sub: ann.id,
      role: "authenticated",
      aud: "authenticated",
      exp: 9999999999,
    };

    await t.step(
      "auth: a user signs in with the right password, and not with a wrong one",
      async () => {
        const client = clientOf(env);
        const right = await client.auth.signInWithPassword({
          email: ann.email,
          password: ann.password,
        });
        assertEquals(right.data.user?.id, ann.id);
        const wrong = await client.auth.signInWithPassword({
          email: ann.email,
          password: "wrong",
        });
        assertEquals(wrong.error?.code, "invalid_credentials");
      },
    );

    await t.step(
      "auth: tokens are signed with a published key, and getClaims verifies them without a call",
      async () => {
        const { data, error } = await ann.client.auth.getClaims();
        assertEquals([error, data?.claims.sub, data?.header.alg], [
          null,
          ann.id,
          "ES256",
        ]);
        assertEquals(data?.claims.iss, `${env.API_URL}/auth/v1`);
        const { keys } =
          await (await fetch(`${env.API_URL}/auth/v1/.well-known/jwks.json`))
            .json();
        assertEquals(
          keys.map((key: { kid: string; d?: string }) => [key.kid, key.d]),
          [[data?.header.kid, undefined]],
        );
      },
    );

    await t.step(
      "auth: a session can be refreshed, and the user read and changed with it",
      async () => {
        const refreshed = await ann.client.auth.refreshSession();
        assertEquals(refreshed.error, null);
        assertEquals(
          (await ann.client.auth.getUser()).data.user?.email,
          ann.email,
        );
        const changed = await ann.client.auth.updateUser({
          data: { name: "Ann" },
        });
        assertEquals(changed.data.user?.user_metadata["name"], "Ann");
      },
    );

    await t.step(
      "rest: a row belongs to the user who inserts it; others neither see nor change it",
      async () => {
        const note = await dataOf(
          ann.client.from("notes").insert({ text: "mine" }).select().single(),
        );
        assertEquals(note.user_id, ann.id);
        assertMatch(note.created_at, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/);
        assertEquals(await dataOf(bob.client.from("notes").select()), []);
        assertEquals(
          await dataOf(
            bob.client.from("notes").update({ text: "his" }).eq("id", note.id)
              .select(),
          ),
          [],
        );
        assertEquals(
          await dataOf(
            bob.client.from("notes").delete().eq("id", note.id).select(),
          ),
          [],
        );
        assertEquals(await dataOf(ann.client.from("notes").select("text")), [{
          text: "mine",
        }]);
        assertEquals(
          (await dataOf(clientOf(env, env.SECRET_KEY).from("notes").select()))
            .length,
          1,
        );
      },
    );

    await t.step(
      "rest: only what the migration grants is granted, by column",
      async () => {
        const column = await ann.client.from("notes").insert({
          text: "x",
          user_id: bob.id,
        });
        assertEquals(column.error?.code, "42501");
        for (
          const client of [
            clientOf(env),
            ann.client,
            clientOf(env, env.SECRET_KEY),
          ]
        ) {
          const { error } = await client.from("ungranted").select();
          assertEquals(error?.code, "42501");
        }
      },
    );

    await t.step(
      "rest: a violated constraint returns its SQLSTATE, a missing table PGRST205",
      async () => {
        assertEquals(
          (await ann.client.from("notes").insert({ text: "" })).error?.code,
          "23514",
        );
        assertEquals(
          (await ann.client.from("nothing").select()).error?.code,
          "PGRST205",
        );
        const hidden = await ann.client.schema("auth").from("users").select();
        assertEquals(hidden.error?.code, "PGRST106");
      },
    );

    await t.step(
      "rpc: runs as the caller, with the settings of the role",
      async () => {
        const anonymous = await dataOf(clientOf(env).rpc("whoami"));
        assertEquals([
          anonymous.user,
          anonymous.uid,
          anonymous.timeout,
          anonymous.login,
        ], ["anon", null, "3s", "authenticator"]);
        const person = await dataOf(ann.client.rpc("whoami"));
        assertEquals([person.user, person.uid, person.role, person.timeout], [
          "authenticated",
          ann.id,
          "authenticated",
          "8s",
        ]);
        assertEquals(person.claims.email, ann.email);
        const service = await dataOf(
          clientOf(env, env.SECRET_KEY).rpc("whoami"),
        );
        assertEquals([service.user, service.timeout], ["service_role", "30s"]);
      },
    );

    await t.step(
      "keys: a request without a key, or with a wrong one, gets 401 from rest and auth",
      async () => {
        for (const path of ["/rest/v1/notes", "/auth/v1/user"]) {
          const without = await fetch(env.API_URL + path);
          assertEquals([without.status, (await without.json()).message], [
            401,
            "No API key found in request",
          ]);
          const wrong = await fetch(env.API_URL + path, {
            headers: { apikey: "sb_publishable_wrong" },
          });
          assertEquals([wrong.status, (await wrong.json()).message], [
            401,
            "Invalid API key",
          ]);
        }
        const keyAsToken = await fetch(`${env.API_URL}/rest/v1/notes`, {
          headers: { authorization: `Bearer ${env.SECRET_KEY}` },
        });
        await keyAsToken.body?.cancel();
        assertEquals(keyAsToken.status, 401);
      },
    );

    await t.step(
      "tokens: forged, unsigned or changed ones are refused everywhere",
      async () => {
        const [head, , signature] = ann.token.split(".");
        const changed = `${head}.${
          btoa(JSON.stringify({ ...claims, role: "service_role" })).replaceAll(
            "=",
            "",
          )
        }.${signature}`;
        const kid = JSON.parse(atob(head ?? "")).kid;
        for (
          const token of [
            forgedToken({ alg: "none" }, claims),
            forgedToken({ alg: "HS256" }, claims),
            forgedToken({ alg: "ES256", kid }, claims),
            changed,
            "not-a-token",
          ]
        ) {
          for (
            const path of [
              "/rest/v1/notes",
              "/auth/v1/user",
              "/functions/v1/hello",
            ]
          ) {
            const response = await fetch(env.API_URL + path, {
              headers: {
                apikey: env.PUBLISHABLE_KEY,
                authorization: `Bearer ${token}`,
              },
            });
            const body = await response.text();
            const isAnonymous = path === "/rest/v1/notes" &&
              response.status === 401;
            assert(
              [401, 403].includes(response.status) || isAnonymous,
              `${path} ${token.slice(0, 30)}: ${response.status} ${body}`,
            );
          }
        }
      },
    );

    await t.step(
      "functions: verify_jwt admits users and refuses everyone else before the code runs",
      async () => {
        const answer = await dataOf(
          ann.client.functions.invoke("hello", { body: { a: 1 } }),
        );
        assertEquals(
          [answer.greeting, answer.path, answer.method, answer.body],
          [
            "hello fixture",
            "/hello",
            "POST",
            '{"a":1}',
          ],
        );
        assertEquals(answer.apikey, env.PUBLISHABLE_KEY);
        const cases: [Record<string, string>, string][] = [
          [{}, "UNAUTHORIZED_NO_AUTH_HEADER"],
          [
            { authorization: `Bearer ${env.PUBLISHABLE_KEY}` },
            "UNAUTHORIZED_INVALID_JWT_FORMAT",
          ],
          [
            {
              authorization: `Bearer ${forgedToken({ alg: "HS256" }, claims)}`,
            },
            "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM",
          ],
          [
            { authorization: `Bearer ${ann.token.slice(0, -3)}AAA` },
            "UNAUTHORIZED_ASYMMETRIC_JWT",
          ],
        ];
        for (const [headers, code] of cases) {
          const response = await fetch(`${env.API_URL}/functions/v1/hello`, {
            method: "POST",
            headers,
          });
          assertEquals([
            response.status,
            response.headers.get("sb-error-code"),
            (await response.json()).code,
          ], [401, code, code]);
        }
        assertEquals(stack.output().includes("hello called"), false);
      },
    );

    await t.step(
      "functions: OPTIONS needs no token, and the function answers it",
      async () => {
        const response = await fetch(`${env.API_URL}/functions/v1/hello`, {
          method: "OPTIONS",
        });
        assertEquals([response.status, (await response.json()).method], [
          200,
          "OPTIONS",
        ]);
      },
    );

    await t.step(
      "functions: without verify_jwt the headers arrive unchanged",
      async () => {
        const response = await fetch(
          `${env.API_URL}/functions/v1/hook/sub/path?x=1`,
          {
            method: "POST",
            headers: {
              authorization: "Bearer any-token",
              "webhook-id": "msg_1",
              "content-type": "application/json",
            },
            body: '{"raw":  true}',
          },
        );
        const { headers, body } = await response.json();
        assertEquals([headers.authorization, headers["webhook-id"], body], [
          "Bearer any-token",
          "msg_1",
          '{"raw":  true}',
        ]);
      },
    );

    await t.step(
      "functions: unknown and disabled functions are 404, other methods 405",
      async () => {
        for (const slug of ["nothing", "off", "_shared"]) {
          const response = await fetch(`${env.API_URL}/functions/v1/${slug}`);
          assertEquals([response.status, (await response.json()).code], [
            404,
            "NOT_FOUND",
          ]);
        }
        const response = await fetch(`${env.API_URL}/functions/v1/hook`, {
          method: "PURGE",
        });
        await response.body?.cancel();
        assertEquals(response.status, 405);
      },
    );

    await t.step(
      "functions: see the variables of a hosted function, and none of the machine",
      async () => {
        const { env: names } = await dataOf(
          ann.client.functions.invoke("hello"),
        );
        assertArrayIncludes(names, [
          "SUPABASE_URL",
          "SUPABASE_DB_URL",
          "SUPABASE_PUBLISHABLE_KEYS",
          "SUPABASE_SECRET_KEYS",
          "SUPABASE_JWKS",
          "SB_EXECUTION_ID",
          "SB_REGION",
          "DENO_DEPLOYMENT_ID",
          "DISPATCH_SECRET",
        ]);
        for (
          const name of [
            "HOME",
            "PATH",
            "PWD",
            "SUPABASE_ANON_KEY",
            "SUPABASE_SERVICE_ROLE_KEY",
          ]
        ) {
          assertEquals(names.includes(name), false, name);
        }
      },
    );

    await t.step(
      "functions: cannot write files or start programs",
      async () => {
        const response = await fetch(
          `${env.API_URL}/functions/v1/hook/forbidden`,
        );
        assertEquals(await response.json(), ["rejected", "rejected"]);
      },
    );

    await t.step(
      "functions: bodies are streamed in both directions",
      async () => {
        const encoder = new TextEncoder();
        const first = Promise.withResolvers<void>();
        const body = new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(encoder.encode("one "));
            await first.promise;
            controller.enqueue(encoder.encode("two"));
            controller.close();
          },
        });
        const response = await fetch(
          `${env.API_URL}/functions/v1/hook/stream`,
          {
            method: "POST",
            body,
          },
        );
        let text = "";
        for await (
          const part of response.body?.pipeThrough(new TextDecoderStream()) ??
            []
        ) {
          text += part;
          // The second half is sent only after the first has come back.
          first.resolve();
        }
        assertEquals(text, "one two");
      },
    );

    await t.step(
      "browser: the preflight of supabase-js passes for rest and auth from any origin",
      async () => {
        for (const path of ["/rest/v1/notes", "/auth/v1/token"]) {
          const response = await fetch(env.API_URL + path, {
            method: "OPTIONS",
            headers: {
              origin: "https://app.example",
              "access-control-request-method": "PATCH",
              "access-control-request-headers":
                "apikey,authorization,prefer,x-client-info,content-profile,x-retry-count,traceparent",
            },
          });
          await response.body?.cancel();
          assertEquals([
            response.status,
            response.headers.get("access-control-allow-origin"),
          ], [204, "*"]);
          assertStringIncludes(
            response.headers.get("access-control-allow-headers") ?? "",
            "x-retry-count",
          );
        }
        const actual = await fetch(`${env.API_URL}/rest/v1/notes`, {
          headers: { origin: "https://app.example" },
        });
        await actual.body?.cancel();
        assertEquals(actual.headers.get("access-control-allow-origin"), "*");
      },
    );

    await t.step(
      "admin: the secret key creates, finds, changes and removes users",
      async () => {
        const { admin } = clientOf(env, env.SECRET_KEY).auth;
        const email = `Made-${crypto.randomUUID()}@example.com`;
        const made = await admin.createUser({
          email,
          password: "a good password",
          email_confirm: true,
          user_metadata: { name: "Made" },
          app_metadata: { plan: "pro" },
        });
        const id = made.data.user?.id ?? "";
        assertEquals([
          made.error,
          made.data.user?.email,
          made.data.user?.app_metadata["plan"],
        ], [null, email.toLowerCase(), "pro"]);
        assertEquals(
          (await admin.createUser({ email, password: "x" })).error?.code,
          "email_exists",
        );

        const client = clientOf(env);
        const signedIn = await client.auth.signInWithPassword({
          email,
          password: "a good password",
        });
        assertEquals([
          signedIn.data.user?.id,
          signedIn.data.user?.user_metadata["name"],
        ], [id, "Made"]);
        assertEquals(
          (await dataOf(
            client.from("notes").insert({ text: "by a created user" })
              .select()
              .single(),
          )).user_id,
          id,
        );

        assertEquals(
          (await admin.getUserById(id)).data.user?.email,
          email.toLowerCase(),
        );
        const { data: page } = await admin.listUsers({ page: 1, perPage: 1 });
        assertEquals([page.users.length, "total" in page && page.total >= 3], [
          1,
          true,
        ]);
        await admin.updateUserById(id, {
          password: "another password",
          user_metadata: { age: 9 },
        });
        const changed = await clientOf(env).auth.signInWithPassword({
          email,
          password: "another password",
        });
        assertEquals([
          changed.data.user?.user_metadata["name"],
          changed.data.user?.user_metadata["age"],
        ], ["Made", 9]);

        assertEquals((await admin.deleteUser(id)).error, null);
        assertEquals(
          (await admin.getUserById(id)).error?.code,
          "user_not_found",
        );
        assertEquals(
          (await clientOf(env).auth.signInWithPassword({
            email,
            password: "another password",
          })).error?.code,
          "invalid_credentials",
        );
      },
    );

    await t.step(
      "admin: every other key and token is refused",
      async () => {
        for (const client of [clientOf(env), ann.client]) {
          const { error } = await client.auth.admin.listUsers();
          assertEquals([error?.status, error?.code], [403, "not_admin"]);
        }
        const keyless = await fetch(`${env.API_URL}/auth/v1/admin/users`);
        await keyless.body?.cancel();
        assertEquals(keyless.status, 401);
      },
    );

    await t.step("browser: the secret key is refused there", async () => {
      const response = await fetch(`${env.API_URL}/rest/v1/notes`, {
        headers: {
          apikey: env.SECRET_KEY,
          "user-agent": "Mozilla/5.0 (X11) Firefox/140.0",
        },
      });
      assertEquals([response.status, (await response.json()).message], [
        401,
        "Forbidden use of secret API key in browser",
      ]);
    });

    await t.step(
      "gateway: unknown paths are 404, health is 200",
      async () => {
        const other = await fetch(`${env.API_URL}/nothing`);
        await other.body?.cancel();
        const health = await fetch(`${env.API_URL}/health`);
        assertEquals([other.status, health.status, await health.json()], [
          404,
          200,
          { status: "ok" },
        ]);
      },
    );
  },
);
