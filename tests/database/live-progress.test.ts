/** Live progress: each addition to a timeline is broadcast to its owner alone, and cannot harm the job. */
import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { Sessions } from "../../dev/stack/extensions/sessions.ts";
import { RealtimeAccess } from "../../dev/stack/services/realtime/access.ts";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  type Bench,
  eventsOf,
  liftCaps,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

/** Does what Realtime does when the first client of a project connects. */
async function withClientConnected(
  db: TestDatabase,
  run: (admin: postgres.Sql) => Promise<void>,
): Promise<void> {
  const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await using sessions = new Sessions(db.adminUrl, "realtime");
    await new RealtimeAccess(sessions).keepPartitions();
    await run(admin);
  } finally {
    await admin.end();
  }
}

async function messages(db: TestDatabase) {
  return await db.sql`
    select topic, event, private, payload - 'id' as payload from realtime.messages order by inserted_at`;
}

/** Inserts jobs of several owners in one statement and returns their ids. */
async function jobsOf(
  { db }: Bench,
  owners: string[],
  each: number,
): Promise<string[]> {
  await liftCaps(db);
  const inputs = await Promise.all(
    owners.map((owner) => uploadSample(db, owner)),
  );
  const rows = await db.sql<{ id: string }[]>`
    insert into public.ai_jobs (user_id, job_type, input_url, metadata)
    select o.owner, 'voice_clone', o.input, jsonb_build_object('voice_name', 'Voice ' || n)
    from unnest(${owners}::uuid[], ${inputs}::text[]) as o (owner, input), generate_series(1, ${each}::int) as n
    returning id`;
  return rows.map(({ id }) => id);
}

Deno.test("live progress: one broadcast for each owner and statement, with the events in order", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await withClientConnected(db, async () => {
      const [ann, bob] = [await db.createUser(), await db.createUser()];
      await jobsOf(bench, [ann.id, bob.id], 3);
      const sent = await messages(db);
      assertEquals(
        sent.map(({ topic, event, private: isPrivate }) => [
          topic,
          event,
          isPrivate,
        ]).sort(),
        [ann, bob].map(({ id }) => [`ai_jobs:${id}`, "ai_job_events", true])
          .sort(),
      );
      for (const { topic, payload } of sent) {
        const owner = topic.slice("ai_jobs:".length);
        const expected = await db.sql`
          select job_id, seq, event, attempt, data, created_at from public.ai_job_events
          where user_id = ${owner} order by job_id, seq`;
        assertEquals(
          payload.events.map((
            { created_at, ...rest }: { created_at: string },
          ) => ({ ...rest, created_at: new Date(created_at) })),
          [...expected],
        );
        assertEquals(expected.length, 3);
      }
    });
  });
});

Deno.test("live progress: more than a hundred events of one owner are announced, not sent", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await withClientConnected(db, async () => {
      const [ann, bob] = [await db.createUser(), await db.createUser()];
      await jobsOf(bench, [ann.id], 101);
      await jobsOf(bench, [bob.id], 100);
      const sent = await messages(db);
      assertEquals(sent[0]?.["payload"], { more: true });
      assertEquals(sent[1]?.["payload"].events.length, 100);
    });
  });
});

Deno.test("live progress: before a client has connected, nothing is sent and there is no warning", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const notices: string[] = [];
    const sql = postgres(db.url, {
      max: 1,
      onnotice: ({ message }) => notices.push(message ?? ""),
    });
    try {
      const ann = await db.createUser();
      await jobsOf({ ...bench, db: { ...db, sql } }, [ann.id], 1);
    } finally {
      await sql.end();
    }
    assertEquals([notices, [...await messages(db)]], [[], []]);
  });
});

Deno.test("live progress: a broadcast that fails loses no job and no event", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    await withClientConnected(db, async (admin) => {
      const ann = await db.createUser();
      for (
        const fault of [
          "revoke insert on realtime.messages from postgres",
          "alter function realtime.send(jsonb, text, text, boolean) rename to sent",
        ]
      ) {
        await admin.unsafe(fault);
        const [id] = await jobsOf(bench, [ann.id], 1);
        assert(id);
        assertEquals(
          (await eventsOf(db, id)).map(({ event }) => event),
          ["created"],
          fault,
        );
      }
    });
  });
});

Deno.test("live progress: only the owner may join the topic, and no client may send to it", async () => {
  await withDatabase(async (db) => {
    await withClientConnected(db, async () => {
      await using sessions = new Sessions(db.adminUrl, "realtime");
      const access = new RealtimeAccess(sessions);
      const [ann, bob] = [await db.createUser(), await db.createUser()];
      const user = ({ id }: { id: string }) => ({
        role: "authenticated",
        claims: { sub: id, role: "authenticated" },
      });
      const anon = { role: "anon", claims: { role: "anon" } };
      const topic = `ai_jobs:${ann.id}`;
      assertEquals(await access.mayRead(topic, user(ann)), true);
      assertEquals(await access.mayRead(topic, user(bob)), false);
      assertEquals(await access.mayRead(topic, anon), false);
      for (
        const other of [
          "ai_jobs:",
          "ai_jobs",
          `ai_jobs:${ann.id}:more`,
          `AI_JOBS:${ann.id}`,
          ann.id,
        ]
      ) assertEquals(await access.mayRead(other, user(ann)), false, other);
      for (const caller of [user(ann), user(bob), anon]) {
        assertEquals(await access.mayWrite(topic, caller), false);
      }
      // The twin: a policy that lets every user join is noticed.
      await db.sql`
        create policy "anyone" on realtime.messages for select to authenticated using (true)`;
      assertEquals(await access.mayRead(topic, user(bob)), true);
      await db.asUser(
        ann.id,
        (sql) => sql`select realtime.send('{}', 'ai_job_events', ${topic})`,
      );
      assertEquals([...await messages(db)], []);
    });
  });
});
