/** What every refusal of a hostile request must look like. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { assertWords } from "./problem.ts";

const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  code: z.string(),
  errors: z.array(z.strictObject({
    field: z.string().min(1),
    message: z.string().min(1),
  })).optional(),
  request_id: z.string(),
});

/** The fields of a problem document that distinguish refusals. */
export type Problem = z.infer<typeof problemSchema>;

/** Returns the problem document; fails unless it is a 4xx that discloses no internals. */
export async function refusalOf(response: Response): Promise<Problem> {
  const text = await response.text();
  const answerText = `${response.status} ${text}`;
  assert(response.status >= 400 && response.status < 500, answerText);
  assertEquals(
    response.headers.get("content-type"),
    "application/problem+json",
    answerText,
  );
  const problem = problemSchema.parse(JSON.parse(text));
  assertEquals(problem.status, response.status, answerText);
  assert(
    !/\bat .*\.ts:|Zod|node_modules|select .* from/.test(text),
    answerText,
  );
  assertWords(problem);
  return problem;
}

/** Fails unless the problem names all of these fields, or members of them; with `isOneEnough`, at least one. */
export function assertNames(
  problem: Problem,
  fields: readonly string[],
  isOneEnough = false,
): void {
  const named = problem.errors?.map(({ field }) => field) ?? [];
  const isNamed = (field: string) =>
    named.some((one) => one === field || one.startsWith(`${field}.`));
  assert(
    isOneEnough ? fields.some(isNamed) : fields.every(isNamed),
    `${fields.join(", ")} in ${JSON.stringify(problem)}`,
  );
}
