import { assertEquals } from "@std/assert";
import { isAccountGone } from "../../../../supabase/functions/_shared/http/account.ts";

const env = {
  SUPABASE_URL: "https://project.test",
  SUPABASE_PUBLISHABLE_KEYS: { default: "sb_publishable_1" },
};

for (
  const [what, answer, isGone] of [
    [
      "no such user",
      Response.json({ code: "user_not_found" }, { status: 403 }),
      true,
    ],
    [
      "no such user, in the older form",
      Response.json({ code: 403, error_code: "user_not_found" }, {
        status: 403,
      }),
      true,
    ],
    ["the user", Response.json({ id: "1", email: "a@example.com" }), false],
    [
      "that the session has ended",
      Response.json({ code: "session_not_found" }, { status: 403 }),
      false,
    ],
    ["a server error", new Response("oops", { status: 500 }), false],
    ["too many requests", Response.json({ code: 429 }, { status: 429 }), false],
  ] as const
) {
  Deno.test(`isAccountGone: ${isGone} when Auth answers ${what}`, async () => {
    const requests: string[] = [];
    const fake: typeof fetch = (input, init) => {
      const { url, headers } = new Request(input, init);
      requests.push(
        `${url} ${headers.get("apikey")} ${headers.get("authorization")}`,
      );
      return Promise.resolve(answer);
    };
    assertEquals(await isAccountGone(env, fake, "a.b.c"), isGone);
    assertEquals(requests, [
      "https://project.test/auth/v1/user sb_publishable_1 Bearer a.b.c",
    ]);
  });
}

Deno.test("isAccountGone: a missing response proves nothing", async () => {
  const fake: typeof fetch = () => Promise.reject(new TypeError("no network"));
  assertEquals(await isAccountGone(env, fake, "a.b.c"), false);
});
