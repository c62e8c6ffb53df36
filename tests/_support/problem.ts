/** The form of every error response. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { ERROR_CATALOGUE } from "../../supabase/functions/_shared/failures/catalogue.ts";
import type { FunctionAnswer } from "./as-user.ts";

/** A problem document of an endpoint (RFC 9457). */
export const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  code: z.enum(Object.keys(ERROR_CATALOGUE)),
  errors: z.array(z.strictObject({ field: z.string(), message: z.string() }))
    .optional(),
  request_id: z.string(),
});

/** Wordings of the schema library, which our own messages must replace. */
const RAW_WORDS =
  /Invalid (input|option|key|element|discriminator|UUID|URL|ISO|string|number)|Too (big|small)|Unrecognized key|expected (string|number|object|array|int|one of)/;

/**
 * Fails unless every message is in our own words, and no field's message begins with the field's name, which is shown
 * next to it.
 */
export function assertWords(
  { detail, errors = [] }: {
    detail: string;
    errors?: readonly { field: string; message: string }[] | undefined;
  },
): void {
  const answerText = JSON.stringify({ detail, errors });
  assert(!RAW_WORDS.test(answerText), answerText);
  for (const { field, message } of errors) {
    const names = [field, field.split(".").at(-1) ?? field];
    assert(!names.some((name) => message.startsWith(`${name} `)), answerText);
    assert(!names.some((name) => message.startsWith(`${name}:`)), answerText);
  }
}

/** The expected problem; `field` must be among the fields that it names. */
export interface ExpectedProblem {
  status: number;
  code: string;
  field?: string;
}

/**
 * Fails unless the response is a problem document (RFC 9457) with this code, readable from another origin, that names
 * the field and discloses no internals.
 */
export function assertProblem(
  answer: FunctionAnswer,
  expected: ExpectedProblem,
): void {
  const answerText = `${answer.status} ${JSON.stringify(answer.body)}`;
  assertEquals(answer.status, expected.status, answerText);
  assertEquals(
    answer.headers.get("content-type"),
    "application/problem+json",
    answerText,
  );
  const problem = problemSchema.parse(answer.body);
  assertEquals(problem.code, expected.code, answerText);
  assertEquals(problem.status, expected.status);
  assertEquals(problem.type, `urn:edge-ai-jobs:error:${expected.code}`);
  assertEquals(problem.request_id, answer.headers.get("x-request-id"));
  assertWords(problem);
  const fields = problem.errors?.map(({ field }) => field) ?? [];
  if (expected.field === undefined) assertEquals(fields, [], answerText);
  else {
    assert(fields.includes(expected.field), answerText);
    const entries = problem.errors ?? [];
    assert(entries.every(({ message }) => message.length > 0), answerText);
  }
  assert(
    !/\bat .*\.ts:|Zod|node_modules|select .* from/.test(answerText),
    answerText,
  );
  assertEquals(answer.headers.get("access-control-allow-origin"), "*");
  assertEquals(answer.headers.get("cache-control"), "no-store");
}
