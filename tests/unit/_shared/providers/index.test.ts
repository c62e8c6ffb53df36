import { assertEquals } from "@std/assert";
import { readEnv } from "../../../../supabase/functions/_shared/config/env.ts";
import {
  openInventories,
  PROVIDERS,
  webhookOf,
} from "../../../../supabase/functions/_shared/providers/index.ts";
import { COMPLETE_ENV } from "../../../_support/fake-platform.ts";

const KEYS = {
  ELEVENLABS_API_KEY: "key-of-elevenlabs",
  DID_API_KEY: "key-of-d-id",
  HEYGEN_API_KEY: "key-of-heygen",
};

function inventories(keys: Record<string, string>): string[] {
  const env = readEnv({ env: () => ({ ...COMPLETE_ENV, ...keys }) });
  return openInventories({ env, fetch, timeoutSeconds: 5 })
    .map(({ provider }) => provider);
}

Deno.test("PROVIDERS: each has a webhook and an inventory under its own name", () => {
  const names = PROVIDERS.map(({ name }) => name);
  assertEquals(inventories(KEYS), names);
  assertEquals(
    PROVIDERS.map(({ webhook }) => webhook),
    names.map((name) => webhookOf(name)),
  );
});

Deno.test("openInventories: a provider without a key is skipped", () => {
  assertEquals(inventories({ DID_API_KEY: KEYS.DID_API_KEY }), ["d-id"]);
});

Deno.test("webhookOf: an inherited property name is not a provider", () => {
  for (const name of ["constructor", "toString", "__proto__", ""]) {
    assertEquals(webhookOf(name), undefined);
  }
});
