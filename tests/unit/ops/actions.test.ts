import { createClient } from "@supabase/supabase-js";
import { assertEquals } from "@std/assert";
import { opsRequestSchema } from "../../../supabase/functions/_shared/contracts/ops.ts";
import { createActions } from "../../../supabase/functions/ops/actions.ts";
import { createOpsRepository } from "../../../supabase/functions/ops/repository.ts";

const OPERATOR = "0196f2b0-0000-4000-8000-000000000001";
const JOB = "0196f2b0-0000-7000-8000-000000000002";
const CALL = "0196f2b0-0000-7000-8000-000000000003";

Deno.test("resolve: the answer is recorded for the call that was checked, also when the request names none", async () => {
  const sent: [string, unknown][] = [];
  const supabase = createClient("http://localhost", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      async fetch(input, init) {
        const request = new Request(input, init);
        const name = new URL(request.url).pathname.split("/").at(-1) ?? "";
        sent.push([name, await request.json()]);
        return Response.json(
          name === "ops_parked_call"
            ? {
              call_id: CALL,
              provider: "d-id",
              operation: "create_video",
              sent_at: "2026-01-01T00:00:00Z",
              text: null,
            }
            : { job_id: JOB, status: "pending", spend: "none" },
        );
      },
    },
  });
  const checked: string[] = [];
  const act = createActions(
    createOpsRepository(supabase, OPERATOR),
    (call) => {
      checked.push(call.call_id);
      return Promise.resolve({
        providerObjectId: undefined,
        isUnchecked: false,
      });
    },
  );
  for (const named of [{}, { call_id: CALL }]) {
    sent.length = 0;
    await act(opsRequestSchema.parse({
      action: "resolve",
      job_id: JOB,
      was_made: false,
      ...named,
    }));
    const of = { p_operator_id: OPERATOR, p_job_id: JOB };
    assertEquals(sent, [
      [
        "ops_parked_call",
        "call_id" in named ? { ...of, p_call_id: CALL } : of,
      ],
      [
        "ops_resolve",
        { ...of, p_call_id: CALL, p_was_made: false, p_is_unchecked: false },
      ],
    ]);
  }
  assertEquals(checked, [CALL, CALL]);
});
