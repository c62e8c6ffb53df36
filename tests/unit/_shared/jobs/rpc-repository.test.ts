/** createJobRepository: what it accepts of a claim, the request of complete, and its errors when the database refuses. */
import { createClient } from "@supabase/supabase-js";
import { assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../../../supabase/functions/_shared/database.types.ts";
import { dataApi } from "../../../../supabase/functions/_shared/database/rpc.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { createJobRepository } from "../../../../supabase/functions/_shared/jobs/rpc-repository.ts";

const LEASE = {
  id: "00000000-0000-4000-8000-000000000001",
  lease_token: "00000000-0000-4000-8000-000000000002",
};
const PDF = {
  kind: "pdf",
  title: "Summer",
  page_count: 24,
  size_bytes: 1000,
} as const;

/** The queue with a Data API that responds with `answer`. */
function repositoryWith(status: number, answer: unknown) {
  const sent: unknown[] = [];
  const supabase = createClient<Database>("http://localhost", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: async (input, init) => {
        sent.push(await new Request(input, init).json());
        return Response.json(answer, { status });
      },
    },
  });
  return { repository: createJobRepository(dataApi(supabase)), sent };
}

Deno.test("claim: the owner of a job may be an imported account, whose id is any UUID", async () => {
  const job = {
    ...LEASE,
    user_id: "11111111-1111-1111-1111-111111111111",
    job_type: "voice_clone",
    provider: "elevenlabs",
    input_url: null,
    metadata: {},
    spend: "none",
    attempt: 1,
    max_attempts: 5,
    input_hash: null,
    depends_on_job_id: null,
    cached_from_job_id: null,
    lease_expires_at: "2026-12-01T12:00:10Z",
    started_at: "2026-12-01T12:00:00Z",
    updated_at: "2026-12-01T12:00:00Z",
  };
  const { repository } = repositoryWith(200, [job]);
  const claimed = await repository.claimDue(1);
  assertEquals(claimed.map(({ user_id }) => user_id), [job.user_id]);
});

Deno.test("complete: result, output and product are sent in one call", async () => {
  const { repository, sent } = repositoryWith(200, [{
    job_id: LEASE.id,
    error: null,
  }]);
  assertEquals(
    await repository.complete(LEASE, {
      resultData: { pages: 24 },
      outputUrl: "pdfs/u/j/book.pdf",
      product: PDF,
    }),
    true,
  );
  assertEquals(sent, [{
    p_jobs: [{
      job_id: LEASE.id,
      lease_token: LEASE.lease_token,
      result_data: { pages: 24 },
      output_url: "pdfs/u/j/book.pdf",
      product: PDF,
    }],
  }]);
});

Deno.test("complete: a product that its schema rejects is a final failure, and nothing is sent", async () => {
  const { repository, sent } = repositoryWith(200, true);
  const failure = await assertRejects(
    async () => {
      await repository.complete(LEASE, {
        resultData: {},
        product: { ...PDF, page_count: 0 },
      });
    },
    JobFailure,
  );
  assertEquals([failure.code, failure.isRetryable], [
    "result_not_saved",
    false,
  ]);
  assertEquals(sent, []);
});

for (const code of ["23514", "22P02", "AJ081"]) {
  const error = { code, message: "no" };
  const answers: [string, number, unknown][] = [
    ["of the item", 200, [{ job_id: LEASE.id, error }]],
    ["of the call", 400, error],
  ];
  for (const [whose, status, answer] of answers) {
    Deno.test(`complete: ${code} ${whose} is a final failure`, async () => {
      const { repository } = repositoryWith(status, answer);
      const failure = await assertRejects(
        () => repository.complete(LEASE, { resultData: {}, product: PDF }),
        JobFailure,
      );
      assertEquals([failure.code, failure.isRetryable], [
        "result_not_saved",
        false,
      ]);
    });
  }
}

Deno.test("complete: a job that the database does not return has lost its lease", async () => {
  const { repository } = repositoryWith(200, []);
  assertEquals(await repository.complete(LEASE, { resultData: {} }), false);
});
