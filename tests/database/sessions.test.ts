/** Sessions of the embedded stack's background workers, when the server ends them. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  DatabaseError,
  Listener,
  SessionLost,
  Sessions,
} from "../../dev/stack/extensions/sessions.ts";
import { withDatabase } from "../_support/database.ts";
import { mutableProxy } from "./_support/mutable-proxy.ts";
import { until } from "../_support/stack-fixture.ts";

const NAME = "ended by the test";

Deno.test("sessions: a session that ends fails its transaction, and the next statement opens another", async () => {
  await withDatabase(async (db) => {
    await using sessions = new Sessions(db.url, NAME);
    const end = () =>
      db.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${NAME}`;
    // Between two statements, and before the first.
    for (const isBegun of [true, false]) {
      await assertRejects(() =>
        sessions.transaction(async (session) => {
          if (isBegun) await session.query("select 1");
          await end();
          await session.query("select 2");
        }), SessionLost);
    }
    // During a statement.
    const asleep = sessions.query("select pg_sleep(600)");
    asleep.catch(() => {});
    await until("the statement runs", async () =>
      (await db.sql`
        select 1 from pg_stat_activity where application_name = ${NAME} and query like '%pg_sleep%'`)
        .length > 0);
    await end();
    await assertRejects(() => asleep, SessionLost);
    assertEquals((await sessions.query("select 3 as n")).rows, [{ n: 3 }]);
    // While the session closes, when no caller awaits it any more.
    for (let tried = 0; tried < 20; tried++) {
      await assertRejects(
        () =>
          sessions.use(async (session) => {
            await session.query("select 1");
            await end();
            throw new Error("interrupted");
          }),
        Error,
        "interrupted",
      );
    }
    // While it is idle.
    await end();
    await until("a new session", async () => {
      try {
        return (await sessions.query("select 4 as n")).rows[0]?.n === 4;
      } catch {
        return false;
      }
    });
  });
});

Deno.test("sessions: an error of Postgres rolls the transaction back and leaves nothing open", async () => {
  await withDatabase(async (db) => {
    await db.sql`create table public.noted (n integer)`;
    await using sessions = new Sessions(db.url, NAME);
    await assertRejects(
      () =>
        sessions.transaction(async (session) => {
          await session.query("insert into public.noted values (1)");
          await session.query("select 1/0");
        }),
      DatabaseError,
      "division by zero",
    );
    assertEquals(
      (await sessions.query(
        "insert into public.noted values (2), (3); update public.noted set n = 0",
      )).count,
      2,
    );
  });
});

Deno.test("sessions: an answer that does not arrive fails the statement, and the next one opens a session", async () => {
  await withDatabase(async (db) => {
    await using proxy = mutableProxy(db.url);
    await using sessions = new Sessions(proxy.url, NAME, {
      // Longer than a busy machine needs for a statement that the server answers.
      answerMs: 3000,
    });
    assertEquals((await sessions.query("select 1 as n")).rows, [{ n: 1 }]);
    proxy.mute();
    await assertRejects(
      () =>
        sessions.transaction((session) =>
          session.query("select pg_advisory_xact_lock(1)")
        ),
      SessionLost,
    );
    // It waits for a lock that nobody holds any more.
    await db.sql`select pg_advisory_lock(1)`;
    proxy.unmute();
    assertEquals((await sessions.query("select 2 as n")).rows, [{ n: 2 }]);
  });
});

Deno.test("sessions: an unreachable server is reported as a lost session", async () => {
  await using sessions = new Sessions(
    "postgres://postgres@127.0.0.1:1/postgres",
    NAME,
  );
  await assertRejects(() => sessions.query("select 1"), SessionLost);
});

Deno.test("listener: it listens again after its session has ended", async () => {
  await withDatabase(async (db) => {
    let notified = 0;
    await using _listener = await Listener.start(
      db.url,
      NAME,
      "news",
      () => notified++,
    );
    await db.sql`notify news`;
    await until("the first notification", () => notified === 1);
    await db
      .sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${NAME}`;
    await until("the call for what it may have missed", () => notified === 2);
    await db.sql`notify news`;
    await until("the second notification", () => notified === 3);
  });
});
