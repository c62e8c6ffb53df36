/**
 * docs/openapi.json: valid, complete, and equal to the contracts. tests/functions/openapi.test.ts runs its examples.
 */
import { Validator } from "@seriousme/openapi-schema-validator";
import { assert, assertEquals } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import { codesOf, openApiText } from "../../../dev/openapi/document.ts";
import { EXAMPLES } from "../../../dev/openapi/examples.ts";
import { OPERATIONS } from "../../../dev/openapi/operations.ts";
import { ERROR_CATALOGUE } from "../../../supabase/functions/_shared/failures/catalogue.ts";
import { documentedExamples } from "../../_support/openapi-examples.ts";

const root = new URL("../../../", import.meta.url);
const text = await Deno.readTextFile(new URL("docs/openapi.json", root));
const document: Record<string, unknown> = JSON.parse(text);

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

Deno.test("openapi: every code of a response is listed at an operation", () => {
  const described = new Set(OPERATIONS.flatMap(codesOf));
  const missing = Object.entries(ERROR_CATALOGUE).filter(([code, { status }]) =>
    status !== null && ![...described].some((one) => one === code)
  ).map(([code]) => code);
  // Only for plain inserts: create-ai-job returns the job instead.
  assertEquals(missing, ["idempotency_key_known"]);
});

Deno.test("openapi: every example is valid by its schema", () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ ...document, $id: "http://openapi.test/" });
  const validate = (schema: unknown, value: unknown, what: string) => {
    const rooted = JSON.parse(
      JSON.stringify(schema).replaceAll('"#/', '"http://openapi.test/#/'),
    );
    const isValid = ajv.compile(rooted);
    assert(isValid(value), `${what}: ${JSON.stringify(isValid.errors)}`);
  };
  const examples = documentedExamples(document);
  assert(examples.length > 30, `${examples.length} examples`);
  for (const { id, name, body, bodySchema, answer } of examples) {
    const isRefused = answer.status >= 400;
    if (bodySchema !== undefined && !isRefused) {
      validate(bodySchema, body, `${id}/${name}, request`);
    }
    validate(answer.schema, answer.body, `${id}/${name}, answer`);
  }
});
