/** claim_dispatched_ai_jobs: a dispatch is accepted once, and only while it is fresh by the database's clock. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { z } from "zod";
import { verifyDispatchSignature } from "../../supabase/functions/_shared/http/dispatch-signature.ts";
import type { TestDatabase } from "../_support/database.ts";
import {
  claimJob,
  insertJob,
  insertJobs,
  pictureOf,
  refusalOf,
  withQueue,
} from "./_support/factories.ts";
import { queueOver } from "./_support/queue.ts";

async function databaseTime(db: TestDatabase): Promise<number> {
  const [row] = await db.sql<{ now: number }[]>`
    select extract(epoch from clock_timestamp())::float8 as now`;
  assert(row !== undefined);
  return row.now;
}

Deno.test("claim_dispatched_ai_jobs: it claims as claim_ai_jobs does, and keeps the id", async () => {
  await withQueue(async ({ db, queue }) => {
    const [first, second] = await insertJobs(db, 2);
    assert(first && second);
    const jobs = await queue.claimDispatched(
      "msg_1",
      await databaseTime(db),
      10,
    );
    assertEquals(jobs.map(({ id }) => id).sort(), [first, second].sort());
    for (const job of jobs) {
      assertEquals(job.attempt, 1);
      assert(await queue.complete(job));
    }
    const receipts = await db.sql<
      { message_id: string }[]
    >`select message_id from private.dispatch_receipts`;
    assertEquals(receipts.map((row) => row.message_id), ["msg_1"]);
  });
});

Deno.test("claim_dispatched_ai_jobs: a replayed dispatch is refused with AJ041 and claims nothing", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await insertJob(db);
    const now = await databaseTime(db);
    const [job] = await queue.claimDispatched("msg_1", now, 10);
    assert(job !== undefined);
    assert(await queue.release(job));

    const before = await pictureOf(db);
    const { code } = await refusalOf(() =>
      queue.claimDispatched("msg_1", now, 10)
    );
    assertEquals(code, "AJ041");
    assertEquals(await pictureOf(db), before);

    assertEquals(
      (await queue.claimDispatched("msg_2", now, 10)).length,
      1,
      "under another id the same job is claimed",
    );
  });
});

Deno.test("claim_dispatched_ai_jobs: of ten simultaneous deliveries one is accepted, and no job is lost", async () => {
  await withQueue(async ({ db }) => {
    const ids = await insertJobs(db, 5);
    const sessions = await db.connections(10, "service_role");
    const now = await databaseTime(db);
    const answers = await Promise.all(sessions.map(async (sql) => {
      try {
        return await queueOver(sql).claimDispatched("msg_1", now, 10);
      } catch (error) {
        return error instanceof Error && "code" in error ? error.code : error;
      }
    }));
    const claimed = answers.filter((answer) => Array.isArray(answer)).flat();
    assertEquals(claimed.map(({ id }) => id).sort(), ids.sort());
    assertEquals(answers.filter((answer) => answer === "AJ041").length, 9);
  });
});

Deno.test("claim_dispatched_ai_jobs: a dispatch over five minutes off is AJ040, and its id stays unused", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    await insertJob(db);
    const cases = [
      { offset: 0, isFresh: true },
      { offset: -290, isFresh: true },
      { offset: -310, isFresh: false },
      { offset: 290, isFresh: true },
      { offset: 310, isFresh: false },
      { offset: -1e9, isFresh: false },
      { offset: 1e9, isFresh: false },
    ];
    for (const { offset, isFresh } of cases) {
      await t.step(
        `${offset} s: ${isFresh ? "accepted" : "AJ040"}`,
        async () => {
          const messageId = `msg_${offset}`;
          const before = await pictureOf(db);
          const claim = async () =>
            await queue.claimDispatched(
              messageId,
              await databaseTime(db) + offset,
              10,
            );
          if (isFresh) {
            const [job] = await claim();
            assert(job !== undefined);
            assert(await queue.release(job));
          } else {
            assertEquals((await refusalOf(claim)).code, "AJ040");
            assertEquals(await pictureOf(db), before);
          }
        },
      );
    }
    for (const time of [null, "NaN", "Infinity", "-Infinity"]) {
      await t.step(`time ${time}: AJ040`, async () => {
        const { code } = await refusalOf(() =>
          queue.claimDispatched("msg_odd", time, 10)
        );
        assertEquals(code, "AJ040");
      });
    }
    await t.step("an id that is refused as stale is not used up", async () => {
      const jobs = await queue.claimDispatched(
        "msg_310",
        await databaseTime(db),
        10,
      );
      assertEquals(jobs.length, 1);
    });
  });
});

Deno.test("claim_dispatched_ai_jobs: a worker whose clock is an hour off verifies and claims a new dispatch", async () => {
  await withQueue(async ({ db, queue }) => {
    const secret = `whsec_${btoa("0123456789abcdefghijklmnopqrstuv")}`;
    await db
      .sql`select vault.create_secret('https://project.example', 'project_url')`;
    await db.sql`select vault.create_secret(${secret}, 'dispatch_secret')`;
    const { id } = await insertJob(db);
    const [request] = await db.sql<{ headers: unknown; body: string }[]>`
      select headers, convert_from(body, 'UTF8') as body from net.http_request_queue`;
    assert(request !== undefined);
    const headers = z.record(z.string(), z.string()).parse(request.headers);

    const actualNow = Date.now;
    try {
      Date.now = () => actualNow() + 3_600_000;
      assertThrows(
        () => new Webhook(secret).verify(request.body, headers),
        WebhookVerificationError,
        "too old",
      );
      const dispatch = await verifyDispatchSignature(
        new Headers(headers),
        () => Promise.resolve(request.body),
        secret,
      );
      const jobs = await queue.claimDispatched(
        dispatch.messageId,
        dispatch.sentAtUnix,
        10,
      );
      assertEquals(jobs.map((job) => job.id), [id]);
    } finally {
      Date.now = actualNow;
    }
  });
});

Deno.test("claim_dispatched_ai_jobs: a full worker claims nothing and uses up the dispatch; the sweep gets it", async () => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const { id } = await insertJob(db);
    const now = await databaseTime(db);
    assertEquals(await queue.claimDispatched("msg_1", now, 0), []);
    assertEquals(
      (await refusalOf(() => queue.claimDispatched("msg_1", now, 1)))
        .code,
      "AJ041",
    );
    await claimJob(bench, id);
  });
});

Deno.test("claim_dispatched_ai_jobs: a dispatch needs an id of sensible length", async () => {
  await withQueue(async ({ db, queue }) => {
    const now = await databaseTime(db);
    for (
      const [messageId, code] of [
        [null, "23502"],
        ["", "23514"],
        ["x".repeat(129), "23514"],
      ] as const
    ) {
      const refusal = await refusalOf(() =>
        queue.claimDispatched(messageId, now, 1)
      );
      assertEquals(refusal.code, code);
    }
    assertEquals(
      await queue.claimDispatched("x".repeat(128), now, 1),
      [],
    );
  });
});
