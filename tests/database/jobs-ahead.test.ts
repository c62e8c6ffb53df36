/** The place of a waiting job in the queue, as its owner may read it. */
import { assert, assertEquals } from "@std/assert";
import {
  type Bench,
  refusalOf,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";
import { withExplainer } from "./_support/plans.ts";

/** Inserts `count` waiting jobs for each of `users` users. */
async function wait(
  { db }: Bench,
  count: number,
  { users = 1, priority = 0, delay = "0 s" } = {},
): Promise<string[]> {
  const ids: string[] = [];
  for (let user = 0; user < users; user++) {
    const { id } = await db.createUser();
    const inputUrl = await uploadSample(db, id);
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, metadata, priority, scheduled_at)
      select ${id}, 'voice_clone', ${inputUrl}, jsonb_build_object('voice_name', 'v', 'i', i), ${priority},
        now() + ${delay}::interval
      from generate_series(1, ${count}) as i`;
    ids.push(id);
  }
  return ids;
}

/** What the owner of each job reads, by job. */
async function readAs(
  { db }: Bench,
  userId: string,
): Promise<Map<string, number | null>> {
  const rows = await db.asUser(
    userId,
    (sql) =>
      sql<{ id: string; jobs_ahead: number | null }[]>`
      select j.id, public.jobs_ahead(j) from public.ai_jobs as j`,
  );
  return new Map(rows.map((row) => [row.id, row.jobs_ahead]));
}

Deno.test("jobs_ahead: the jobs of all users are numbered in the order in which they are claimed", async () => {
  await withQueue(async (bench) => {
    const users = [
      ...await wait(bench, 3, { users: 3 }),
      ...await wait(bench, 2, { priority: -1 }),
    ];
    const readAll = async () =>
      new Map(
        (await Promise.all(users.map((user) => readAs(bench, user)))).flatMap((
          jobs,
        ) => [...jobs]),
      );
    const atFirst = [...(await readAll()).values()].sort((a, b) =>
      Number(a) - Number(b)
    );
    assertEquals(atFirst, Array.from({ length: 11 }, (_, index) => index));
    // The eighth claim would begin with the longest waiting job.
    for (let claims = 1; claims < 8; claims++) {
      const places = await readAll();
      const [job] = await bench.queue.claim(1);
      assert(job !== undefined);
      assertEquals(places.get(job.id), 0);
      const left = (await readAll()).get(job.id);
      assertEquals(left, null, "a claimed job has no place");
    }
  });
});

Deno.test("jobs_ahead: jobs that do not wait for a turn have no place", async () => {
  await withQueue(async (bench) => {
    const [user = ""] = await wait(bench, 2);
    const [later = ""] = await wait(bench, 1, { delay: "1 hour" });
    assertEquals([...(await readAs(bench, later)).values()], [null]);
    const [claimed] = await bench.queue.claim(1);
    assert(claimed !== undefined);
    await bench.db
      .sql`update public.ai_jobs set cancel_requested_at = now() where status = 'pending' and user_id = ${user}`;
    assertEquals([...(await readAs(bench, user)).values()], [null, null]);
  });
});

Deno.test("jobs_ahead: only the owner gets a number, and a forged row gets none", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const [owner = "", other = ""] = await wait(bench, 5, { users: 2 });
    const [job] = await db.sql<{ id: string }[]>`
      select id from public.ai_jobs where user_id = ${owner} order by queue_key desc limit 1`;
    const place = (userId: string, row: Record<string, string | number>) =>
      db.asUser(userId, async (sql) => {
        const [answer] = await sql<{ place: number | null }[]>`
          select public.jobs_ahead(jsonb_populate_record(null::public.ai_jobs, ${
          sql.json(row)
        })) as place`;
        return answer?.place;
      });
    const id = job?.id ?? "";
    const forged = {
      user_id: other,
      job_type: "voice_clone",
      provider: "elevenlabs",
      status: "pending",
      priority: 100,
      queue_key: 1_000_000,
    };
    assertEquals(await place(owner, { id }), 8);
    assertEquals(await place(other, { ...forged, id }), null);
    assertEquals(
      await place(other, { ...forged, id: crypto.randomUUID() }),
      null,
    );
    const own = (await readAs(bench, other)).entries().next().value;
    assert(own !== undefined);
    const [ownId, ownPlace] = own;
    assertEquals(await place(other, { ...forged, id: ownId }), ownPlace);
    for (const as of [db.asAnon, db.asService]) {
      const { code } = await refusalOf(() =>
        as((sql) => sql`select public.jobs_ahead(null::public.ai_jobs)`)
      );
      assertEquals(code, "42501");
    }
  });
});

Deno.test("jobs_ahead: 100 is the maximum, and no more rows are read from a backlog of 2,000", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await wait(bench, 2_000);
    const [last = ""] = await wait(bench, 1, { priority: 50 });
    await db.sql`analyze public.ai_jobs`;
    assertEquals([...(await readAs(bench, last)).values()], [100]);
    await withExplainer(db, async ({ explain }) => {
      const plans = await explain(
        { role: "authenticated", userId: last },
        "select public.jobs_ahead(j) from public.ai_jobs as j",
      );
      const count = plans.find(({ query }) => query.includes("as ahead"));
      assert(count !== undefined);
      assertEquals(count.indexes, ["ai_jobs_turn_idx"]);
      assert(!count.nodes.some((node) => node.includes("Sort")));
      assert(count.pages < 120, `${count.pages} pages`);
    });
  });
});
