/** The lease token: every write of the queue has one, and a write with a wrong one changes nothing. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  aVoice,
  type Bench,
  claimJob,
  expireLease,
  insertClaimedJob,
  insertCompletedJob,
  makeDue,
  pictureOf,
  readJob,
  withQueue,
} from "./_support/factories.ts";
import type { ClaimedJob, Lease, Queue } from "./_support/queue.ts";

/** Every function that writes on behalf of an owner, what it returns to a caller without the lease, and a call that succeeds. */
interface FencedWrite {
  name: string;
  refusal: unknown;
  write(queue: Queue, lease: Lease, world: World): Promise<unknown>;
}

/** The rows that the writes refer to. */
interface World {
  job: ClaimedJob;
  callId: string;
  sourceId: string;
}

const writes: FencedWrite[] = [
  {
    name: "heartbeat_ai_job",
    refusal: undefined,
    write: (queue, lease) => queue.heartbeat(lease),
  },
  {
    name: "heartbeat_ai_job with progress",
    refusal: undefined,
    write: (queue, lease) => queue.heartbeat(lease, 50, "somewhere"),
  },
  {
    name: "begin_provider_calls",
    refusal: undefined,
    write: (queue, lease) => queue.begin(lease, "another_step"),
  },
  {
    name: "begin_provider_calls for a call that is open",
    refusal: undefined,
    write: (queue, lease) => queue.begin(lease),
  },
  {
    name: "settle_provider_calls as succeeded",
    refusal: false,
    write: (queue, lease, { callId }) =>
      queue.settle(lease, callId, "succeeded", "voice-1", 70),
  },
  {
    name: "settle_provider_calls as absent",
    refusal: false,
    write: (queue, lease, { callId }) => queue.settle(lease, callId, "absent"),
  },
  {
    name: "complete_ai_jobs",
    refusal: false,
    write: (queue, lease) => queue.complete(lease, { voice_id: "voice-1" }),
  },
  {
    name: "complete_ai_jobs with a product",
    refusal: false,
    write: (queue, lease) => queue.completeWithProduct(lease, aVoice()),
  },
  {
    name: "reuse_ai_job_result",
    refusal: false,
    // A job with an open call cannot reuse a result, so the call is settled first.
    write: async (queue, lease, { callId, sourceId }) => {
      await queue.settle(lease, callId, "rejected");
      return await queue.reuse(lease, sourceId);
    },
  },
  {
    name: "fail_ai_job with a retry",
    refusal: null,
    write: (queue, lease) => queue.fail(lease),
  },
  {
    name: "fail_ai_job finally",
    refusal: null,
    write: (queue, lease) => queue.fail(lease, { isRetryable: false }),
  },
  {
    name: "snooze_ai_job",
    refusal: false,
    write: (queue, lease) => queue.snooze(lease),
  },
  {
    name: "release_ai_job",
    refusal: false,
    write: (queue, lease) => queue.release(lease),
  },
];

/** A claimed job during a paid call, and an earlier equal job whose result it could reuse. */
async function insertJobPair(bench: Bench): Promise<World> {
  const source = await insertCompletedJob(bench);
  const job = await insertClaimedJob(bench, {
    user_id: source.user_id,
    input_url: source.input_url,
  });
  const call = await bench.queue.begin(job);
  assert(call?.decision === "send");
  return { job, callId: call.call_id, sourceId: source.id };
}

Deno.test("lease token: with a token that is not the job's own, no function changes a single row", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const world = await insertJobPair(bench);
    const other = await insertClaimedJob(bench);
    const tokens = {
      "a made-up token": crypto.randomUUID(),
      "no token": null,
      "the token of another job": other.lease_token,
    };
    const before = await pictureOf(db);
    for (const [kind, token] of Object.entries(tokens)) {
      for (const { name, refusal, write } of writes) {
        await t.step(`${name} with ${kind}`, async () => {
          const answer = await write(
            queue,
            { id: world.job.id, lease_token: token },
            world,
          );
          assertEquals(answer, refusal);
          assertEquals(await pictureOf(db), before);
        });
      }
    }
    for (const { name, refusal, write } of writes) {
      await t.step(`${name} for a job that does not exist`, async () => {
        const lease = {
          id: crypto.randomUUID(),
          lease_token: world.job.lease_token,
        };
        assertEquals(await write(queue, lease, world), refusal);
        assertEquals(await pictureOf(db), before);
      });
    }
  });
});

Deno.test("lease token: twin: with the job's own token each of these calls changes something", async (t) => {
  for (const { name, refusal, write } of writes) {
    await t.step(name, () =>
      withQueue(async (bench) => {
        const world = await insertJobPair(bench);
        const before = await pictureOf(bench.db);
        const answer = await write(bench.queue, world.job, world);
        assertNotEquals(answer, refusal);
        assertNotEquals(await pictureOf(bench.db), before);
      }));
  }
});

Deno.test("lease token: the second claim makes the first one's token stale in every function", async (t) => {
  await withQueue(async (bench) => {
    const { db, queue } = bench;
    const world = await insertJobPair(bench);
    await expireLease(db, world.job.id);
    await queue.rescue();
    await makeDue(db, world.job.id);
    const second = await claimJob(bench, world.job.id);
    assertNotEquals(second.lease_token, world.job.lease_token);

    const before = await pictureOf(db);
    for (const { name, refusal, write } of writes) {
      await t.step(name, async () => {
        assertEquals(await write(queue, world.job, world), refusal);
        assertEquals(await pictureOf(db), before);
      });
    }
    await t.step("the second owner continues undisturbed", async () => {
      assertEquals((await queue.begin(second))?.decision, "reconcile");
      assert(await queue.complete(second));
    });
  });
});

Deno.test("lease token: invalid after a release, a rescue and the end of the job", async (t) => {
  const endings: Record<
    string,
    (bench: Bench, job: ClaimedJob) => Promise<unknown>
  > = {
    "completed": ({ queue }, job) => queue.complete(job),
    "failed": ({ queue }, job) => queue.fail(job, { isRetryable: false }),
    "a failure with a retry": ({ queue }, job) => queue.fail(job),
    "snoozed": ({ queue }, job) => queue.snooze(job),
    "released": ({ queue }, job) => queue.release(job),
    "rescued": async ({ db, queue }, job) => {
      await expireLease(db, job.id);
      await queue.rescue();
    },
  };
  for (const [ending, end] of Object.entries(endings)) {
    await t.step(ending, () =>
      withQueue(async (bench) => {
        const world = await insertJobPair(bench);
        await end(bench, world.job);
        const before = await pictureOf(bench.db);
        for (const { refusal, write } of writes) {
          assertEquals(await write(bench.queue, world.job, world), refusal);
        }
        assertEquals(await pictureOf(bench.db), before);
        assertEquals(
          (await readJob(bench.db, world.job.id)).lease_token,
          null,
        );
      }));
  }
});
