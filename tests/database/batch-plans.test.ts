/**
 * Plans that a session cached while the tables were small: functions for several jobs must read only their items when
 * the journal and the timeline have grown.
 */
import { assert, assertEquals } from "@std/assert";
import {
  aVoice,
  insertClaimedJob,
  insertJobs,
  withQueue,
} from "./_support/factories.ts";
import {
  type Caller,
  type Explainer,
  withExplainer,
} from "./_support/plans.ts";
import { beginCall } from "./_support/protocol.ts";

/** Number of added jobs, each with a call and its events. A scan of one of their indexes reads a page for each. */
const GROWTH = 3_000;
/** The most pages that one statement may read. */
const MAX_PAGES = 150;
const SERVICE: Caller = { role: "service_role" };

/** The statements that read more pages than that. */
async function greedy(
  explainer: Explainer,
  statements: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (const statement of statements) {
    const plans = await explainer.explain(SERVICE, statement);
    assert(
      plans.length > 1,
      "the statements inside functions are explained too",
    );
    for (const { query, pages, indexes, seqScans } of plans) {
      const read = [...indexes, ...seqScans];
      // The pages of a function are those of its statements, which are in the list.
      if (pages > MAX_PAGES && read.length > 0) {
        found.push(`${pages} pages of ${read}: ${query}`);
      }
    }
  }
  return found;
}

/** The other ends of an attempt, and what its owner requests. */
function endings(lease: Record<string, string> | undefined): string[] {
  assert(lease !== undefined);
  const id = `'${lease["job_id"]}'`;
  const owned = `${id}, '${lease["lease_token"]}'`;
  return [
    `select public.fail_ai_job(${owned}, 'provider_unavailable', 'no answer', true)`,
    `select public.fail_ai_job(${owned}, 'provider_unavailable', 'no answer', false)`,
    `select public.snooze_ai_job(${owned}, 5)`,
    `select public.release_ai_job(${owned})`,
    `select public.cancel_ai_job(${owned})`,
    `select public.save_ai_job_checkpoint(${owned}, '{}')`,
    `update public.ai_jobs set cancel_requested_at = now() where id = ${id}`,
    `select * from public.poll_ai_jobs(gen_random_uuid(), 3, true)`,
  ];
}

Deno.test("batches and claims: a plan kept from small tables reads only its items when the journal has grown", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    for (const table of ["ai_jobs", "ai_provider_calls", "ai_job_events"]) {
      await db.sql`
        alter table public.${db.sql(table)} set (autovacuum_enabled = false)`;
    }
    const jobs: { lease: Record<string, string>; callId: string }[] = [];
    for (let n = 0; n < 3; n++) {
      const { id, lease_token } = await insertClaimedJob(bench);
      const begun = await beginCall(db.sql, { id, lease_token });
      assert(begun !== undefined);
      jobs.push({ lease: { job_id: id, lease_token }, callId: begun.call_id });
    }
    const over = (
      name: string,
      item: (callId: string) => Record<string, unknown>,
    ) =>
      `select * from public.${name}('${
        JSON.stringify(
          jobs.map(({ lease, callId }) => ({ ...lease, ...item(callId) })),
        )
      }')`;
    const call = (operation: string) => ({
      call_id: crypto.randomUUID(),
      operation,
      progress: 30,
      stage: "calling_provider",
      units: 1,
      report_progress: 10,
      report_stage: "fetching_input",
    });
    const success = (callId: string) => ({
      call_id: callId,
      outcome: "succeeded",
      provider_object_id: `voice-of-${callId}`,
      progress: 70,
    });
    const statements = [
      over("heartbeat_ai_jobs", () => ({ progress: 20, stage: "early" })),
      over("begin_provider_calls", () => call("second_step")),
      // Another call of the step is open.
      over("begin_provider_calls", () => call("create_voice")),
      over("settle_provider_calls", success),
      // Settled with another outcome.
      over("settle_provider_calls", () => success(crypto.randomUUID())),
      over("complete_ai_jobs", (callId) => ({
        ...success(callId),
        result_data: {},
        product: aVoice(),
        report_progress: 90,
        report_stage: "storing_output",
        cache_seconds: 60,
      })),
      // At first no job waits, then all added ones do.
      "select * from public.claim_ai_jobs(3)",
      ...endings(jobs[0]?.lease),
    ];
    await withExplainer(db, async (explainer) => {
      // At the first execution, a session plans its statements and reads the catalogue.
      await greedy(explainer, statements);
      const { id: userId } = await db.createUser();
      await db.sql`
        insert into public.ai_jobs (user_id, job_type, metadata)
        select ${userId}, 'text_to_speech',
          jsonb_build_object('text', 'Hello ' || n, 'voice_id', '21m00Tcm4TlvDq8ikWAM', 'model', 'eleven_v3')
        from generate_series(1, ${GROWTH}::integer) as n`;
      await db.sql`
        insert into public.ai_provider_calls (job_id, user_id, provider, operation, attempt)
        select j.id, j.user_id, j.provider, 'text_to_speech:1', 1 from public.ai_jobs as j where j.user_id = ${userId}`;
      assertEquals(await greedy(explainer, statements), []);
    });
  });
});

Deno.test("inserts: a plan kept from small tables reads few pages when many jobs of this user or of others wait", async () => {
  await withQueue(async ({ db }) => {
    await db.sql`alter table public.ai_jobs set (autovacuum_enabled = false)`;
    const [busy, other] = [await db.createUser(), await db.createUser()];
    const insert = (userId: string) =>
      `insert into public.ai_jobs (user_id, job_type, metadata)
       values ('${userId}', 'text_to_speech', '{"text": "Hello", "voice_id": "21m00Tcm4TlvDq8ikWAM"}')`;
    await withExplainer(db, async (explainer) => {
      // Plans are kept from the sixth execution at the latest.
      for (let n = 0; n < 6; n++) {
        await explainer.explain(SERVICE, insert(busy.id));
      }
      await db.sql`
        insert into public.ai_jobs (user_id, job_type, metadata)
        select ${busy.id}, 'text_to_speech',
          jsonb_build_object('text', 'Hello ' || n, 'voice_id', '21m00Tcm4TlvDq8ikWAM')
        from generate_series(1, ${GROWTH}::integer) as n`;
      for (const { id } of [busy, other]) {
        const plans = await explainer.explain(SERVICE, insert(id));
        assert(
          plans.length > 10,
          "the statements of the triggers are explained",
        );
        assertEquals(
          plans.filter(({ pages }) => pages > MAX_PAGES).map((
            { query, pages },
          ) => `${pages} pages: ${query}`),
          [],
        );
      }
    });
  });
});

Deno.test("claims: pages grow with the jobs that are claimed, not with the square of the candidates", async () => {
  await withQueue(async ({ db }) => {
    await insertJobs(db, 400);
    await withExplainer(db, async (explainer) => {
      const pagesOf = async (limit: number) => {
        const plans = await explainer.explain(
          SERVICE,
          `select * from public.claim_ai_jobs(${limit})`,
        );
        return Math.max(...plans.map(({ pages }) => pages));
      };
      // At the first execution, the session plans and reads the catalogue.
      await pagesOf(50);
      const [few, many] = [await pagesOf(10), await pagesOf(50)];
      assert(many < 6 * few, `${few} pages for 10 jobs, ${many} for 50`);
    });
  });
});

Deno.test("claims: pages do not grow with the users who have limits of their own", async () => {
  await withQueue(async ({ db }) => {
    await insertJobs(db, 10);
    await withExplainer(db, async (explainer) => {
      const pagesOfClaim = async () => {
        const plans = await explainer.explain(
          SERVICE,
          "select * from public.claim_ai_jobs(1)",
        );
        return plans.reduce((sum, { pages }) => sum + pages, 0);
      };
      // The first time, the session plans and reads the catalogue.
      await pagesOfClaim();
      const few = await pagesOfClaim();
      await db.sql`
        with users as (
          insert into auth.users (id, email)
          select gen_random_uuid(), 'user-' || n || '@example.com' from generate_series(1, ${GROWTH}::integer) as n
          returning id
        )
        insert into public.ai_limits (user_id, max_voices) select u.id, 1 from users as u`;
      const many = await pagesOfClaim();
      assert(many < few + 20, `${few} pages with few users, ${many} with many`);
    });
  });
});
