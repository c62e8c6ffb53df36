/**
 * docs/openapi.json: valid, complete, and equal to the contracts. tests/functions/openapi.test.ts runs its examples.
 */
import { Validator } from "@seriousme/openapi-schema-validator";
import { assert, assertEquals } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import { z } from "zod";
import { codesOf, openApiText } from "../../../dev/openapi/document.ts";
import { EXAMPLES } from "../../../dev/openapi/examples.ts";
import { OPERATIONS } from "../../../dev/openapi/operations.ts";
import { ERROR_CATALOGUE } from "../../../supabase/functions/_shared/failures/catalogue.ts";
import { documentedExamples } from "../../_support/openapi-examples.ts";

const root = new URL("../../../", import.meta.url);
const text = await Deno.readTextFile(new URL("docs/openapi.json", root));
const document: Record<string, unknown> = JSON.parse(text);
const { components: { schemas } } = z.object({
  components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
}).parse(document);

Deno.test("openapi: the document agrees with the contracts", () => {
  assertEquals(text, openApiText());
});

Deno.test("openapi: it is valid OpenAPI 3.1, and the validator notices errors", async () => {
  const good = await new Validator().validate(structuredClone(document));
  assert(good.valid, JSON.stringify(good.errors));
  const bad = await new Validator().validate({ ...document, paths: 1 });
  assert(!bad.valid);
});

Deno.test("openapi: every function has an operation, and no two share an id", async () => {
  const functions: string[] = [];
  for await (
    const { name } of Deno.readDir(new URL("supabase/functions", root))
  ) {
    if (/^[a-z]/.test(name) && !name.includes(".")) functions.push(name);
  }
  const described = new Set(OPERATIONS.map(({ path }) => path.split("/")[1]));
  assertEquals([...described].sort(), functions.sort());
  const ids = OPERATIONS.map(({ id }) => id);
  assertEquals(new Set(ids).size, ids.length);
  const taking = OPERATIONS.filter(({ body, query, headers, pathParameters }) =>
    (body ?? query ?? headers ?? pathParameters) !== undefined
  ).map(({ id }) => id);
  assertEquals(
    Object.keys(EXAMPLES).sort(),
    taking.sort(),
    "exactly the operations with an input have examples",
  );
});

Deno.test("openapi: exactly the operations that the database calls are internal", () => {
  const internal = [...text.matchAll(/"operationId": "(\w+)"[^]*?"tags"/g)]
    .flatMap(([operation, id]) =>
      operation.includes('"x-internal": true') ? [id] : []
    );
  assertEquals(
    internal,
    OPERATIONS.filter(({ caller }) => caller === "database").map(({ id }) =>
      id
    ),
  );
  assertEquals(internal.length, 3);
});

Deno.test("openapi: every code of a response is listed at an operation", () => {
  const described = new Set(OPERATIONS.flatMap(codesOf));
  const missing = Object.entries(ERROR_CATALOGUE).filter(([code, { status }]) =>
    status !== null && ![...described].some((one) => one === code)
  ).map(([code]) => code);
  // Only for plain inserts: create-ai-job returns the job instead.
  assertEquals(missing, ["idempotency_key_known"]);
});

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ ...document, $id: "http://openapi.test/" });

/** A check by a schema of the document: what is wrong with a value, or null. */
function checkBy(schema: unknown): (value: unknown) => string | null {
  const isValid = ajv.compile(JSON.parse(
    JSON.stringify(schema).replaceAll('"#/', '"http://openapi.test/#/'),
  ));
  return (value) => isValid(value) ? null : JSON.stringify(isValid.errors);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The value with one more member in each of its objects. */
function withAddedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withAddedMembers);
  if (!isObject(value)) return value;
  const members = Object.entries(value).map(([name, one]) =>
    [name, withAddedMembers(one)] as const
  );
  return { ...Object.fromEntries(members), added_later: [{ value: 1 }] };
}

const examples = documentedExamples(document);

Deno.test("openapi: every example is valid by its schema", () => {
  assert(examples.length > 30, `${examples.length} examples`);
  for (const { id, name, body, bodySchema, answer } of examples) {
    const isRefused = answer.status >= 400;
    if (bodySchema !== undefined && !isRefused) {
      assertEquals(checkBy(bodySchema)(body), null, `${id}/${name}, request`);
    }
    assertEquals(
      checkBy(answer.schema)(answer.body),
      null,
      `${id}/${name}, answer`,
    );
  }
});

Deno.test("openapi: responses accept members, codes and results of later versions, and no wrong types", () => {
  for (const { id, name, answer } of examples) {
    if (!isObject(answer.body)) continue;
    const check = checkBy(answer.schema);
    const what = `${id}/${name}`;
    assertEquals(check(withAddedMembers(answer.body)), null, what);
    if (answer.status >= 400) {
      assertEquals(check({ ...answer.body, code: "of_later" }), null, what);
      assert(check({ ...answer.body, code: 1 }) !== null, what);
    }
    if (id === "getAiJob" && answer.status === 200) {
      const own = { job_type: "sound_effect", result_data: { sound_id: "a" } };
      assertEquals(check({ ...answer.body, ...own }), null, what);
      for (const wrong of [{ result_data: "a" }, { status: "paused" }]) {
        assert(check({ ...answer.body, ...wrong }) !== null, what);
      }
    }
  }
  const closed = Object.entries(schemas).flatMap(([name, schema]) =>
    !name.endsWith("Request") &&
      JSON.stringify(schema).includes('"additionalProperties":false')
      ? [name]
      : []
  );
  assertEquals(closed, []);
});

Deno.test("openapi: requests of apps and operators accept no unknown member", () => {
  const closed = new Set(
    OPERATIONS.filter(({ caller }) =>
      caller === "user" || caller === "operator"
    )
      .map(({ id }) => id),
  );
  for (const { id, name, body, bodySchema, answer } of examples) {
    if (!closed.has(id) || !isObject(body) || answer.status >= 400) continue;
    const check = checkBy(bodySchema);
    assert(check({ ...body, added: 1 }) !== null, `${id}/${name}`);
    if (isObject(body["metadata"])) {
      const metadata = { ...body["metadata"], added: 1 };
      assert(check({ ...body, metadata }) !== null, `${id}/${name}, metadata`);
    }
  }
});
