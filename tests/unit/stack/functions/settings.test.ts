import { assertEquals } from "@std/assert";
import { functionSettings } from "../../../../dev/stack/functions/settings.ts";
import { generateKeys } from "../../../../dev/stack/keys/keys.ts";
import { TokenExchange } from "../../../../dev/stack/keys/tokens.ts";

Deno.test("functions: they do not expect to live longer than the isolates of the stack", async () => {
  const keys = await generateKeys();
  const project = {
    apiUrl: "http://127.0.0.1:1",
    dbUrl: "postgres://127.0.0.1:1/postgres",
    keys,
    tokens: new TokenExchange(keys),
    projectEnv: { ISOLATE_WALL_CLOCK: "400", LOG_LEVEL: "debug" },
  };
  const { env, limits } = functionSettings(project, {});
  assertEquals(env["ISOLATE_WALL_CLOCK"], undefined);
  assertEquals(env["LOG_LEVEL"], "debug");
  assertEquals(limits.wallClockMs, 150_000);
  const given = { ISOLATE_WALL_CLOCK: "10" };
  assertEquals(
    functionSettings(project, { env: given, wallClockMs: 10_000 })
      .env["ISOLATE_WALL_CLOCK"],
    "10",
  );
});
