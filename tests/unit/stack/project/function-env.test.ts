import { assertEquals, assertThrows } from "@std/assert";
import {
  checkFunctionEnv,
  namesNotRead,
} from "../../../../dev/stack/project/function-env.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

Deno.test("function env: an invalid variable is named with the place that sets it, never with its value", () => {
  checkFunctionEnv({});
  checkFunctionEnv({ LOG_LEVEL: "", REQUEST_TIMEOUT: "20" });
  Deno.env.set("LOG_LEVEL", "hunter2");
  try {
    const error = assertThrows(
      () =>
        checkFunctionEnv({
          LOG_LEVEL: "hunter2",
          REQUEST_TIMEOUT: "hunter2",
          DID_BASE_URL: "hunter2",
          DID_WEBHOOK_SECRET: "hunter2",
          UPSTASH_REDIS_REST_TOKEN: "hunter2",
        }),
      StackError,
    );
    assertEquals(
      error.message,
      `The functions cannot start with these variables:
  DID_WEBHOOK_SECRET, set in supabase/functions/.env: must have at least 32 characters
  DID_BASE_URL, set in supabase/functions/.env: must be a URL that begins with http:// or https://
  REQUEST_TIMEOUT, set in supabase/functions/.env: must be a number
  LOG_LEVEL, set in the environment: must be one of debug, info, warn, error
Correct or empty them; .env.example says what they mean.`,
    );
  } finally {
    Deno.env.delete("LOG_LEVEL");
  }
});

Deno.test("function env: an incomplete pair of variables is named", () => {
  assertThrows(
    () => checkFunctionEnv({ UPSTASH_REDIS_REST_URL: "https://a.upstash.io" }),
    StackError,
    "UPSTASH_REDIS_REST_TOKEN: must be set together with UPSTASH_REDIS_REST_URL",
  );
});

Deno.test("function env: a misspelt name is found", () => {
  assertEquals(namesNotRead(["ELEVENLABS_API_KEY", "ELEVENLABS_APIKEY"]), [
    "ELEVENLABS_APIKEY",
  ]);
});
