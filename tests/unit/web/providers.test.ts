import { assertEquals } from "@std/assert";
import { PROVIDERS } from "../../../supabase/functions/_shared/providers/index.ts";
import {
  providerName,
  withProviderNames,
} from "../../../web/words/providers.ts";

Deno.test("page words: each provider has a name, and an unknown one keeps its id", () => {
  const ids = Object.values(PROVIDERS).map(({ name }) => name);
  assertEquals(ids.map(providerName).sort(), ["D-ID", "ElevenLabs", "HeyGen"]);
  assertEquals(
    ["internal", "new-one", "constructor"].map(providerName),
    ["internal", "new-one", "constructor"],
  );
});

Deno.test("page words: a sentence names providers as people do, and is otherwise as it was", () => {
  assertEquals(
    withProviderNames(
      "Jobs for d-id and heygen wait until it works again. 2 jobs ready.",
    ),
    "Jobs for D-ID and HeyGen wait until it works again. 2 jobs ready.",
  );
});
