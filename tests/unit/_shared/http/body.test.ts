import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { z } from "zod";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import {
  bodyChunks,
  MAX_BODY_BYTES,
  parse,
  parseJson,
  readJson,
  readText,
} from "../../../../supabase/functions/_shared/http/body.ts";

function post(
  body: BodyInit | null,
  headers: Record<string, string> = { "content-type": "application/json" },
): Request {
  return new Request("https://project.test/functions/v1/x", {
    method: "POST",
    body,
    headers,
  });
}

async function refusal(work: () => Promise<unknown>): Promise<AppError> {
  return await assertRejects(work, AppError);
}

Deno.test("readText: accepts a body of the maximum length, and not one byte more", async () => {
  const fits = "x".repeat(MAX_BODY_BYTES);
  assertEquals(await readText(post(fits)), fits);
  const error = await refusal(() => readText(post(`${fits}x`)));
  assertEquals(error.code, "payload_too_large");
});

Deno.test("readText: counts bytes, not characters", async () => {
  assertEquals(await readText(post("äöü"), 6), "äöü");
  assertEquals(
    (await refusal(() => readText(post("äöü"), 5))).code,
    "payload_too_large",
  );
});

Deno.test("readText: an endless stream is cancelled, even with a short Content-Length", async () => {
  let pulls = 0;
  let isCancelled = false;
  const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(stream) {
      pulls++;
      stream.enqueue(new Uint8Array(1024));
    },
    cancel() {
      isCancelled = true;
    },
  });
  const error = await refusal(() =>
    readText(post(endless, { "content-length": "2" }), 10_000)
  );
  assertEquals(error.code, "payload_too_large");
  assertEquals(isCancelled, true);
  assertEquals(pulls < 20, true);
});

Deno.test("readText: characters that are split between two chunks are decoded", async () => {
  const bytes = new TextEncoder().encode("Großmutter 😀");
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  assertEquals(await readText(post(stream)), "Großmutter 😀");
});

Deno.test("readText: no body is an empty text, and broken UTF-8 is refused", async () => {
  assertEquals(await readText(post(null)), "");
  const error = await refusal(() => readText(post(new Uint8Array([0xff]))));
  assertEquals(error.code, "invalid_json");
});

const anything = z.unknown();
for (
  const [type, isAccepted] of [
    ["application/json", true],
    ["application/json; charset=utf-8", true],
    ["APPLICATION/JSON", true],
    ["application/json ;charset=utf-8", true],
    ["application/vnd.api+json", true],
    ["text/plain", false],
    ["application/x-www-form-urlencoded", false],
    ["multipart/form-data; boundary=application/json", false],
    ["application/jsonp", false],
    ["text/html, application/json", false],
    ["", false],
  ] as const
) {
  Deno.test(`readJson: ${isAccepted ? "accepts" : "refuses"} the content type "${type}"`, async () => {
    const request = () => post("{}", { "content-type": type });
    if (isAccepted) assertEquals(await readJson(request(), anything), {});
    else {
      assertEquals(
        (await refusal(() => readJson(request(), anything))).code,
        "unsupported_media_type",
      );
    }
  });
}

Deno.test("readJson: a body without a content type is refused", async () => {
  const request = post(new Uint8Array([0x7b, 0x7d]), {});
  assertEquals(
    (await refusal(() => readJson(request, anything))).code,
    "unsupported_media_type",
  );
});

for (const text of ["", "{", "{'a':1}", "undefined", "NaN", "[1,]", "{}{}"]) {
  Deno.test(`parseJson: ${JSON.stringify(text)} is invalid_json`, () => {
    assertEquals(
      assertThrows(() => parseJson(text), AppError).code,
      "invalid_json",
    );
  });
}

const schema = z.strictObject({
  name: z.string().min(1, "must not be empty"),
  size: z.number().optional(),
  metadata: z.strictObject({ tags: z.array(z.string()) }).optional(),
  labels: z.record(z.string().max(3), z.string()).optional(),
});

for (
  const [why, value, fields] of [
    ["a missing field", {}, [["name", "is required"]]],
    ["null for a value", { name: null }, [
      ["name", "must be a string"],
    ]],
    ["a wrong type", { name: "a", size: "1" }, [
      ["size", "must be a number"],
    ]],
    ["the schema's own message", { name: "" }, [["name", "must not be empty"]]],
    ["an unknown key", { name: "a", nane: 1 }, [["nane", "is not known"]]],
    ["several unknown keys", { name: "a", x: 1, y: 2 }, [
      ["x", "is not known"],
      ["y", "is not known"],
    ]],
    ["a nested field", { name: "a", metadata: {} }, [
      ["metadata.tags", "is required"],
    ]],
    ["a nested unknown key", { name: "a", metadata: { tags: [], z: 1 } }, [
      ["metadata.z", "is not known"],
    ]],
    ["a place in a list", { name: "a", metadata: { tags: ["x", 1] } }, [
      ["metadata.tags.1", "must be a string"],
    ]],
    ["a key of a record", { name: "a", labels: { long: "x" } }, [
      ["labels.long", "is not a valid name: must have at most 3 characters"],
    ]],
    ["a member whose name is empty", { name: "a", "": 1 }, [
      ['""', "is not known"],
    ]],
    ["the whole body", null, [
      ["body", "must be an object"],
    ]],
    ["a list for an object", [], [
      ["body", "must be an object"],
    ]],
    ["several together", { size: "1", z: 1 }, [
      ["name", "is required"],
      ["size", "must be a number"],
      ["z", "is not known"],
    ]],
  ] as const
) {
  Deno.test(`parse: names the field for ${why}`, () => {
    const error = assertThrows(() => parse(value, schema), AppError);
    assertEquals(error.code, "invalid_request");
    assertEquals(
      error.fields.map(({ field, message }) => [field, message]),
      fields.map((field) => [...field]),
    );
    assertEquals(
      error.message,
      fields.map(([field, message]) => `${field}: ${message}`).join("; "),
    );
  });
}

Deno.test("parse: returns a valid value as parsed by the schema", () => {
  assertEquals(parse({ name: "a" }, schema), { name: "a" });
  assertEquals(parse("7", z.coerce.number()), 7);
});

Deno.test("readText: a body whose declared length is too long is not read", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull() {
      pulls++;
    },
  }, { highWaterMark: 0 });
  const error = await refusal(() =>
    readText(post(body, { "content-length": "11" }), 10)
  );
  assertEquals([error.code, pulls], ["payload_too_large", 0]);
});

Deno.test("bodyChunks: ends with the signal, and cancels a body that never ends", async () => {
  const budget = new AbortController();
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    cancel: () => cancelled.resolve(),
  });
  const chunks = bodyChunks(post(body), 10, budget.signal);
  const next = chunks.next();
  budget.abort(new AppError("request_timeout"));
  assertEquals((await refusal(() => next)).code, "request_timeout");
  await cancelled.promise;
});
