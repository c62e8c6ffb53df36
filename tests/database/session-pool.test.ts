/** The sessions of the embedded REST: pipelined and prepared statements. */
import { assertEquals, assertRejects } from "@std/assert";
import { sql } from "kysely";
import postgres from "postgres";
import { RestConnection } from "../../dev/stack/services/lite/connection.ts";
import { SessionPool } from "../../dev/stack/services/lite/session-pool.ts";
import { SessionLost } from "../../dev/stack/extensions/sessions.ts";
import { mutableProxy } from "./_support/mutable-proxy.ts";
import { withDatabase } from "../_support/database.ts";

/** A pool of one session on a database with a table of one row. */
async function withSession(
  work: (
    session: Awaited<ReturnType<SessionPool["reserve"]>>,
    sql: postgres.Sql,
  ) => Promise<void>,
): Promise<void> {
  await withDatabase(async (db) => {
    await db.sql`create table public.noted as select 1 as n`;
    const pool = new SessionPool(db.url, 1, {});
    const session = await pool.reserve();
    try {
      await work(session, db.sql);
    } finally {
      session.release();
      await pool.end();
    }
  });
}

/** Longer than a busy machine needs for a statement that the server answers. */
const ANSWER_MS = 3000;

const rowsOf = (result: Iterable<unknown>) => [...result];

Deno.test("session pool: statements that are sent before their transaction's begin has returned are part of it", async () => {
  await withSession(async (session, sql) => {
    const begun = session.unsafe("begin; set local role postgres", []);
    const written = session.unsafe("insert into public.noted values ($1)", [2]);
    await Promise.all([begun, written]);
    await session.unsafe("rollback", []);
    assertEquals(rowsOf(await sql`select n from public.noted`), [{ n: 1 }]);
  });
});

Deno.test("session pool: statements after a transaction that cannot begin change nothing", async () => {
  await withSession(async (session, sql) => {
    const begun = session.unsafe("begin; set local role nobody_here", []);
    const written = session.unsafe("insert into public.noted values ($1)", [2]);
    await assertRejects(
      async () => await begun,
      postgres.PostgresError,
      'role "nobody_here" does not exist',
    );
    await assertRejects(
      async () => await written,
      postgres.PostgresError,
      "current transaction is aborted",
    );
    await session.unsafe("rollback", []);
    await session.unsafe("insert into public.noted values ($1)", [3]);
    assertEquals(rowsOf(await sql`select n from public.noted order by n`), [
      { n: 1 },
      { n: 3 },
    ]);
  });
});

Deno.test("session pool: a statement with parameters is prepared once", async () => {
  await withSession(async (session) => {
    const text = "select n from public.noted where n = $1";
    for (const n of [1, 2, 1]) await session.unsafe(text, [n]);
    assertEquals(
      rowsOf(
        await session.unsafe(
          "select count(*)::integer as n from pg_prepared_statements where statement = $1",
          [text],
        ),
      ),
      [{ n: 1 }],
    );
  });
});

Deno.test("session pool: the next transaction sees a change of the schema", async () => {
  await withSession(async (session, sql) => {
    const read = async () => {
      const begun = session.unsafe("begin", []);
      const rows = session.unsafe(
        "select * from public.noted where n = $1",
        [1],
      );
      await begun;
      const result = rowsOf(await rows);
      await session.unsafe("commit", []);
      return result;
    };
    assertEquals(await read(), [{ n: 1 }]);
    await sql`alter table public.noted add column m integer`;
    assertEquals(await read(), [{ n: 1, m: null }]);
  });
});

Deno.test("session pool: a session that ends while it opens is replaced by another", async () => {
  await withDatabase(async (db) => {
    const url = new URL(db.url);
    const target = { hostname: url.hostname, port: Number(url.port) };
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const passing = (async () => {
      (await listener.accept()).close();
      using client = await listener.accept();
      using server = await Deno.connect(target);
      await Promise.allSettled([
        client.readable.pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ]);
    })();
    url.hostname = "127.0.0.1";
    url.port = String(listener.addr.port);
    const pool = new SessionPool(url.href, 1, {});
    const session = await pool.reserve();
    assertEquals([...await session.unsafe("select 1 as n", [])], [{ n: 1 }]);
    session.release();
    await pool.end();
    await passing;
  });
});

Deno.test("embedded REST: closing answers the queries that wait for a connection", async () => {
  await withDatabase(async (db) => {
    const connection = new RestConnection(
      { adminUrl: db.url, authenticatorUrl: db.url },
      [],
    );
    const values = Array.from({ length: 40 }, (_, n) => n);
    const answers = Promise.all(
      values.map((n) =>
        sql`select ${n}::integer as n`.execute(connection.kysely)
      ),
    );
    answers.catch(() => {});
    // In the next turn of the event loop, all of them wait.
    await new Promise((resolve) => setTimeout(resolve, 0));
    await connection.close();
    assertEquals(
      (await answers).map(({ rows }) => rows),
      values.map((n) => [{ n }]),
    );
  });
});

Deno.test("session pool: an answer that does not arrive fails the statement, and its locks are released", async () => {
  await withDatabase(async (db) => {
    await using proxy = mutableProxy(db.url);
    const pool = new SessionPool(proxy.url, 1, {}, ANSWER_MS);
    const lock = "select pg_advisory_xact_lock($1)";
    const session = await pool.reserve();
    await session.unsafe("begin", []);
    await session.unsafe(lock, [1]);
    proxy.mute();
    await assertRejects(
      async () => await session.unsafe("select 1", []),
      SessionLost,
    );
    session.release();
    // It waits for a lock that nobody holds any more.
    await db.sql`select pg_advisory_lock(1)`;
    proxy.unmute();
    const next = await pool.reserve();
    assertEquals(rowsOf(await next.unsafe("select 2 as n", [])), [{ n: 2 }]);
    next.release();
    await pool.end();
  });
});
