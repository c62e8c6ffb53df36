import { assertEquals, assertRejects } from "@std/assert";
import { opsRequestSchema } from "../../../supabase/functions/_shared/contracts/ops.ts";
import { AppError } from "../../../supabase/functions/_shared/failures/app-error.ts";
import { ProviderFailure } from "../../../supabase/functions/_shared/failures/provider-failure.ts";
import type { ProviderInventory } from "../../../supabase/functions/_shared/providers/inventory.ts";
import { answerCheck } from "../../../supabase/functions/ops/answer-check.ts";

const JOB = "0196f2b0-0000-7000-8000-000000000001";
const OTHER = "0196f2b0-0000-7000-8000-000000000002";
const CALL = {
  call_id: "0196f2b0-0000-7000-8000-000000000003",
  provider: "elevenlabs",
  operation: "text_to_speech:2",
  sent_at: "2026-01-01T00:00:00Z",
  text: "Good night,\n\nsleep  well. Until tomorrow.",
};

function inventory(changes: Partial<ProviderInventory>): ProviderInventory {
  const refuse = () => Promise.reject(new Error("not asked"));
  return {
    provider: "elevenlabs",
    list: refuse,
    has: refuse,
    inspect: refuse,
    find: refuse,
    remove: refuse,
    ...changes,
  };
}

/** What is recorded for an answer, or the code of its refusal. */
async function check(
  answer: { id?: string; isUnchecked?: boolean },
  changes: Partial<ProviderInventory> | null,
): Promise<unknown> {
  const request = opsRequestSchema.parse({
    action: "resolve",
    job_id: JOB,
    was_made: answer.id !== undefined,
    ...(answer.id === undefined ? {} : { provider_object_id: answer.id }),
    is_unchecked: answer.isUnchecked,
  });
  if (request.action !== "resolve") throw new TypeError("not an answer");
  const checked = answerCheck(
    () => Promise.resolve(changes === null ? null : inventory(changes)),
    { signal: new AbortController().signal, seconds: 7 },
  )(CALL, request);
  try {
    return await checked;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

const inspected = (
  found: Awaited<ReturnType<ProviderInventory["inspect"]>>,
) => ({ inspect: () => Promise.resolve(found) });
const failing = (code: "provider_timeout" | "provider_rejected_input") => ({
  inspect: () => Promise.reject(ProviderFailure.rejected(code)),
  find: () => Promise.reject(ProviderFailure.rejected(code)),
});

Deno.test("answer check: an object of the job is recorded by the id that the journal uses", async () => {
  for (
    const found of [
      { id: "request-1", jobId: JOB },
      { id: "request-1", jobId: undefined },
      { id: "request-1", jobId: undefined, text: "sleep well." },
      { id: "request-1", jobId: undefined, text: "Good night,\nsleep well." },
    ]
  ) {
    assertEquals(await check({ id: "item-1" }, inspected(found)), {
      providerObjectId: "request-1",
      isUnchecked: false,
    });
  }
});

Deno.test("answer check: an id that the provider does not have is refused, even if unchecked is allowed", async () => {
  for (const isUnchecked of [false, true]) {
    const answer = { id: "item-1", isUnchecked };
    assertEquals(
      await check(answer, inspected(null)),
      "provider_object_missing",
    );
    assertEquals(
      await check(answer, failing("provider_rejected_input")),
      "provider_object_missing",
    );
    for (
      const found of [
        { id: "item-1", jobId: OTHER },
        { id: "item-1", jobId: null },
        { id: "item-1", jobId: undefined, text: "Good morning." },
      ]
    ) {
      assertEquals(
        await check(answer, inspected(found)),
        "provider_object_mismatch",
      );
    }
    assertEquals(
      await check({ isUnchecked }, { find: () => Promise.resolve("item-1") }),
      "provider_object_found",
    );
  }
});

Deno.test("answer check: while the provider cannot be queried, only unchecked answers are accepted", async () => {
  for (const id of ["item-1", undefined]) {
    for (const changes of [null, failing("provider_timeout")]) {
      const answer = id === undefined ? {} : { id };
      assertEquals(await check(answer, changes), "provider_not_checked");
      assertEquals(await check({ ...answer, isUnchecked: true }, changes), {
        providerObjectId: id,
        isUnchecked: true,
      });
    }
  }
});

Deno.test('answer check: without a searchable marker, the operator\'s "nothing was created" is accepted', async () => {
  const unsearchable = {
    find: () => Promise.reject(ProviderFailure.rejected("outcome_unknown")),
  };
  assertEquals(await check({}, unsearchable), {
    providerObjectId: undefined,
    isUnchecked: false,
  });
  assertEquals(await check({}, { find: () => Promise.resolve(null) }), {
    providerObjectId: undefined,
    isUnchecked: false,
  });
});

Deno.test("answer check: our own error does not count as the provider's response", async () => {
  await assertRejects(
    () => check({ id: "item-1", isUnchecked: true }, {}),
    Error,
    "not asked",
  );
});
