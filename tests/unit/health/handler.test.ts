import { assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { readEnv } from "../../../supabase/functions/_shared/config/env.ts";
import { createHandler } from "../../../supabase/functions/health/handler.ts";
import { COMPLETE_ENV, fakePlatform } from "../../_support/fake-platform.ts";

const DETAILS = {
  status: "ok",
  checked_at: "2026-01-01T00:00:00Z",
  oldest_waiting_seconds: null,
  queue: [],
  open_breakers: [],
  failing_since: null,
  checks: [],
};

/** The handler with a database that returns these responses in order. */
function handlerOver(...answers: (() => Response)[]) {
  const platform = fakePlatform({ env: COMPLETE_ENV });
  let reads = 0;
  const supabase = createClient<Database>("https://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: () => {
        const answer = answers[reads++] ?? answers.at(-1);
        return answer === undefined
          ? Promise.reject(new TypeError("connection refused"))
          : Promise.resolve(answer());
      },
    },
  });
  const handle = createHandler({ platform, env: readEnv(platform), supabase });
  return {
    platform,
    reads: () => reads,
    async ask(): Promise<string> {
      const response = await handle(new Request("https://project.test/health"));
      return `${response.status} ${await response.text()}`;
    },
  };
}

const status = (one: string) => () =>
  Response.json({ ...DETAILS, status: one });

Deno.test("health: for any number of requests the database is queried once in five seconds", async () => {
  const { platform, reads, ask } = handlerOver(status("ok"), status("failing"));
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask()));
  assertEquals([...new Set(answers)], ['200 {"status":"ok"}']);
  platform.advance(4_999);
  assertEquals(await ask(), '200 {"status":"ok"}');
  assertEquals(reads(), 1);
  platform.advance(1);
  assertEquals(await ask(), '503 {"status":"failing"}');
  assertEquals(reads(), 2);
});

Deno.test("health: degraded is 200", async () => {
  assertEquals(
    await handlerOver(status("degraded")).ask(),
    '200 {"status":"degraded"}',
  );
});

Deno.test("health: no response or an invalid one from the database is failing, and logged", async () => {
  for (
    const answers of [
      [],
      [() => Response.json({ message: "down" }, { status: 503 })],
      [() => Response.json({ status: "fine" })],
    ]
  ) {
    const { platform, ask } = handlerOver(...answers);
    assertEquals(await ask(), '503 {"status":"failing"}');
    assertEquals(platform.events(), [
      "health_unreadable",
      "request_answered",
    ]);
  }
});
