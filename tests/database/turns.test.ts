import { assert, assertEquals } from "@std/assert";
import { type Bench, uploadSample, withQueue } from "./factories.ts";

/** Inserts `count` waiting jobs of one user in one statement. */
async function queueUp(
  { db }: Bench,
  count: number,
  values: { userId?: string; priority?: number; since?: string } = {},
): Promise<string> {
  const userId = values.userId ?? (await db.createUser()).id;
  const inputUrl = await uploadSample(db, userId, {
    name: `${crypto.randomUUID()}.mp3`,
  });
  await db.sql`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata, priority, created_at, scheduled_at)
    select ${userId}, 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'v', 'i', i), ${
    values.priority ?? 0
  }, t.at, t.at
    from generate_series(1, ${count}) as i, (select now() + ${
    values.since ?? "0 s"
  }::interval as at) as t`;
  return userId;
}

Deno.test("claim_ai_jobs: a user's single job is among the next two, whatever another user has waiting", async () => {
  await withQueue(async (bench) => {
    const busy = await queueUp(bench, 10_000);
    const first = await bench.queue.claim(5);
    assert(first.every((job) => job.user_id === busy));
    const guest = await queueUp(bench, 1);
    const next = await bench.queue.claim(2);
    assertEquals(next.filter((job) => job.user_id === guest).length, 1);
  });
});

Deno.test("claim_ai_jobs: twin: in order of arrival the single job would have waited for all of them", async () => {
  await withQueue(async (bench) => {
    await queueUp(bench, 200);
    const guest = await queueUp(bench, 1);
    await bench.db.sql`
      update public.ai_jobs as j set queue_key = o.position
      from (select id, row_number() over (order by created_at, id) as position from public.ai_jobs) as o
      where o.id = j.id`;
    const next = await bench.queue.claim(50);
    assertEquals(next.filter((job) => job.user_id === guest).length, 0);
  });
});

Deno.test("claim_ai_jobs: users with many jobs each take turns", async () => {
  await withQueue(async (bench) => {
    const users = [
      await queueUp(bench, 40),
      await queueUp(bench, 40),
      await queueUp(bench, 40),
    ];
    const taken = await bench.queue.claim(30);
    for (const user of users) {
      const share = taken.filter((job) => job.user_id === user).length;
      assert(share >= 9 && share <= 11, `a third of 30, not ${share}`);
    }
  });
});

Deno.test("claim_ai_jobs: lower priority first, but every eighth claim takes the job that waits longest", async () => {
  await withQueue(async (bench) => {
    const patient = await queueUp(bench, 1, { priority: 10 });
    await queueUp(bench, 20);
    const order: string[] = [];
    for (let i = 0; i < 8; i++) {
      const [job] = await bench.queue.claim(1);
      assert(job !== undefined);
      order.push(job.user_id === patient ? "patient" : "urgent");
    }
    assertEquals(order, [...Array(7).fill("urgent"), "patient"]);
  });
});

Deno.test("claim_ai_jobs: a job that becomes due later joins the turns then, and not before", async () => {
  await withQueue(async (bench) => {
    const user = await queueUp(bench, 1, { since: "1 hour" });
    assertEquals(await bench.queue.claim(1), []);
    await bench.db.sql`update public.ai_jobs set scheduled_at = now()`;
    const [job] = await bench.queue.claim(1);
    assertEquals(job?.user_id, user);
  });
});
