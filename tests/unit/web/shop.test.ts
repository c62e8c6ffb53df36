import { assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { hasShop } from "../../../web/demo/shop.ts";

/** A project whose Data API answers with one of `answers` after the other, and the paths of the requests. */
function project(
  ...answers: readonly (readonly [status: number, body: unknown])[]
) {
  const paths: string[] = [];
  const database = createClient("http://project.test", "sb_publishable_test", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: (input) => {
        const { pathname } = new URL(
          input instanceof Request ? input.url : String(input),
        );
        paths.push(pathname);
        const [status, body] = answers[paths.length - 1] ?? [500, {}];
        return Promise.resolve(Response.json(body, { status }));
      },
    },
  });
  return { database, paths };
}

const unknownTable = (code: string) =>
  [
    404,
    { code, message: "Could not find the table", details: null, hint: null },
  ] as const;

Deno.test("page shop: one request finds out for all books whether the project has the tables", async () => {
  for (
    const [answer, expected] of [
      [[200, []], true],
      [unknownTable("PGRST205"), false],
      [unknownTable("42P01"), false],
    ] as const
  ) {
    const { database, paths } = project(answer);
    const books = [hasShop(database), hasShop(database)];
    assertEquals(await Promise.all(books), [expected, expected]);
    assertEquals(await hasShop(database), expected);
    assertEquals(paths, ["/rest/v1/order_items"]);
  }
});

Deno.test("page shop: a failed request is reported, and the next book sends it again", async () => {
  const { database, paths } = project(
    [403, { code: "42501", message: "no", details: null, hint: null }],
    [200, []],
  );
  await assertRejects(
    () =>
      hasShop(database).catch(({ code }) => {
        throw new Error(code);
      }),
    Error,
    "42501",
  );
  assertEquals(await hasShop(database), true);
  assertEquals(paths.length, 2);
});
