import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import postgres from "postgres";
import { makeProject, startChild, until } from "../_support/stack-fixture.ts";

/** The SQLSTATE and message with which a statement is refused. */
async function refusal(sql: postgres.Sql, statement: string): Promise<string> {
  const error = await assertRejects(
    () => sql.unsafe(statement),
    postgres.PostgresError,
  );
  return `${error.code} ${error.message}`;
}

/** The requests that arrive at a server of the test. */
interface Received {
  method: string;
  path: string;
  headers: Headers;
  body: string;
  at: number;
}

function receiver(
  answer: (
    request: Request,
    received: Received,
  ) => Response | Promise<Response> = () => new Response("ok"),
) {
  const received: Received[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname, search } = new URL(request.url);
      const one = {
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body: await request.text(),
        at: Date.now(),
      };
      received.push(one);
      return await answer(request, one);
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    received,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("database: a migration has the same rights as on a hosted project", async (t) => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const sql = postgres(stack.env.DB_URL, { max: 4, onnotice() {} });
  await using _end = { [Symbol.asyncDispose]: () => sql.end() };

  await t.step(
    "postgres: owns the database, bypasses row level security, and is no superuser",
    async () => {
      const [role] = await sql`
      select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls
      from pg_roles where rolname = current_user`;
      assertEquals({ ...role }, {
        rolsuper: false,
        rolcreatedb: true,
        rolcreaterole: true,
        rolreplication: true,
        rolbypassrls: true,
      });
      const [server] =
        await sql`select current_setting('server_version_num')::int / 10000 as major, current_setting('listen_addresses') as addresses`;
      assertEquals({ ...server }, { major: 17, addresses: "127.0.0.1" });
    },
  );

  await t.step("login: a wrong password is refused", async () => {
    const wrong = postgres(stack.env.DB_URL.replace(/:[^:@/]+@/, ":wrong@"), {
      max: 1,
    });
    const error = await assertRejects(
      () => wrong`select 1`,
      postgres.PostgresError,
    );
    assertEquals(error.code, "28P01");
    await wrong.end();
  });

  await t.step(
    "roles: their timeouts are those of a hosted project",
    async () => {
      const rows = await sql`
      select r.rolname, setting from pg_db_role_setting s join pg_roles r on r.oid = s.setrole, unnest(setconfig) setting
      where setting like '%timeout%' and r.rolname in ('anon', 'authenticated', 'authenticator') order by 1, 2`;
      assertEquals(rows.map((row) => `${row["rolname"]} ${row["setting"]}`), [
        "anon statement_timeout=3s",
        "authenticated statement_timeout=8s",
        "authenticator lock_timeout=8s",
        "authenticator statement_timeout=8s",
      ]);
    },
  );

  await t.step(
    "grants: new tables, sequences and functions are granted to no role",
    async () => {
      await sql.unsafe("create table public.fresh (id serial primary key)");
      const [granted] = await sql`
      select
        (select count(*)::int from information_schema.role_table_grants
          where table_name = 'fresh' and grantee in ('anon', 'authenticated', 'service_role')) as tables,
        has_sequence_privilege('service_role', 'public.fresh_id_seq', 'usage') as sequence`;
      assertEquals({ ...granted }, { tables: 0, sequence: false });
    },
  );

  await t.step(
    "platform tables: a migration may write policies, and change nothing else",
    async () => {
      await sql.unsafe(
        "create policy mine on storage.objects for select to anon using (false); alter policy mine on storage.objects using (true); drop policy mine on storage.objects",
      );
      await sql.unsafe(
        "create policy mine on storage.buckets for select to anon using (false); drop policy mine on storage.buckets",
      );
      assertStringIncludes(
        await refusal(
          sql,
          "alter table storage.objects disable row level security",
        ),
        "42501 must be owner of table",
      );
      assertStringIncludes(
        await refusal(sql, "drop table storage.objects cascade"),
        "42501 must be owner of table",
      );
      assertStringIncludes(
        await refusal(sql, "create table storage.mine (id int)"),
        "42501",
      );
      assertStringIncludes(
        await refusal(sql, "create table auth.mine (id int)"),
        "42501",
      );
      assertStringIncludes(
        await refusal(sql, "alter table auth.users add column mine int"),
        "42501 must be owner of table users",
      );
      assertStringIncludes(
        await refusal(sql, "delete from storage.objects"),
        "42501 Direct deletion from storage tables is not allowed",
      );
    },
  );

  await t.step(
    "platform tables: a trigger on auth.users and a foreign key to it are allowed",
    async () => {
      await sql.unsafe(`
      create function public.on_user() returns trigger language plpgsql security definer set search_path = '' as $$ begin return new; end $$;
      create trigger on_user after insert on auth.users for each row execute function public.on_user();
      create table public.profile (id uuid primary key references auth.users (id));
      drop trigger on_user on auth.users; drop table public.profile;`);
    },
  );

  await t.step("superuser work: is refused", async () => {
    for (
      const statement of [
        "alter system set work_mem = '1GB'",
        "create extension plperlu",
        "copy (select 1) to program 'id'",
        "alter role supabase_admin nosuperuser",
        "create role boss superuser",
        "set role supabase_admin",
      ]
    ) {
      assertStringIncludes(await refusal(sql, statement), "42501", statement);
    }
  });

  await t.step(
    "postgres: may alter the settings of the API roles",
    async () => {
      await sql.unsafe(
        "alter role authenticated set statement_timeout = '15s'; alter role authenticated set statement_timeout = '8s'; alter role service_role set lock_timeout = '1s'; alter role service_role reset lock_timeout",
      );
    },
  );

  await t.step(
    "extensions: pgcrypto and uuid-ossp are in extensions, the others may be created again",
    async () => {
      const rows =
        await sql`select e.extname, n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname in ('pgcrypto', 'uuid-ossp', 'pg_stat_statements', 'supabase_vault') order by 1`;
      assertEquals(rows.map((row) => `${row["extname"]} ${row["nspname"]}`), [
        "pg_stat_statements extensions",
        "pgcrypto extensions",
        "supabase_vault vault",
        "uuid-ossp extensions",
      ]);
      await sql.unsafe(
        "create extension if not exists pg_net; create extension if not exists citext with schema extensions",
      );
      assertEquals(
        (await sql`select length(extensions.hmac('a', 'b', 'sha256')) as bytes`)[
          0
        ]?.["bytes"],
        32,
      );
    },
  );

  await t.step("storage: its helper functions exist", async () => {
    const [row] =
      await sql`select storage.foldername('a/b/c.tar.gz') as folders, storage.filename('a/b/c.tar.gz') as file, storage.extension('a/b/c.tar.gz') as extension`;
    assertEquals({ ...row }, {
      folders: ["a", "b"],
      file: "c.tar.gz",
      extension: "gz",
    });
  });

  await t.step(
    "vault: a secret is encrypted at rest and unreadable for apps",
    async () => {
      const [made] =
        await sql`select vault.create_secret('first value', 'a name', 'what for') as id`;
      const [row] =
        await sql`select name, description, secret, decrypted_secret from vault.decrypted_secrets where id = ${
          made?.["id"]
        }`;
      assertEquals([
        row?.["name"],
        row?.["description"],
        row?.["decrypted_secret"],
      ], ["a name", "what for", "first value"]);
      assertEquals(String(row?.["secret"]).includes("first"), false);
      await sql`select vault.update_secret(${made?.["id"]}, 'second value')`;
      const [again] =
        await sql`select decrypted_secret, name from vault.decrypted_secrets where id = ${
          made?.["id"]
        }`;
      assertEquals({ ...again }, {
        decrypted_secret: "second value",
        name: "a name",
      });
      assertStringIncludes(
        await refusal(sql, "select vault.create_secret('x', 'a name')"),
        "23505",
      );
      for (const role of ["anon", "authenticated", "service_role"]) {
        let seen = "";
        await sql.begin(async (as) => {
          await as.unsafe(`set local role ${role}`);
          seen = await as.unsafe("select count(*) from vault.decrypted_secrets")
            .then(() => "read", (error) => error.message);
        }).catch(() => {}); // a refused statement aborts its transaction
        assertEquals(
          seen,
          role === "service_role"
            ? "read"
            : "permission denied for schema vault",
          role,
        );
      }
      const names =
        await sql`select name from vault.secrets where name in ('project_url', 'dispatch_secret') order by 1`;
      assertEquals(names.map(({ name }) => name), [
        "dispatch_secret",
        "project_url",
      ]);
      const [address] =
        await sql`select decrypted_secret as url from vault.decrypted_secrets where name = 'project_url'`;
      assertEquals(address?.["url"], stack.env.API_URL);
    },
  );

  await t.step(
    "net: a request is sent after commit, exactly as requested, and its response is stored",
    async () => {
      await using target = receiver(() =>
        new Response("created", {
          status: 201,
          headers: {
            "sb-error-code": "SOME_CODE",
            "content-type": "text/plain",
          },
        })
      );
      let id = 0;
      await sql.begin(async (transaction) => {
        const [row] =
          await transaction`select net.http_post(${`${target.url}/hook?a=1`}, '{"n": 1}'::jsonb, '{"q": "ä&b"}'::jsonb, '{"x-test": "yes", "x-number": 7}'::jsonb) as id`;
        id = Number(row?.["id"]);
        await new Promise((resolve) => setTimeout(resolve, 300));
        assertEquals(target.received.length, 0, "nothing before commit");
      });
      await until(
        "the response",
        async () =>
          (await sql`select 1 from net._http_response where id = ${id}`)
            .length === 1,
      );
      const [sent] = target.received;
      assertEquals([sent?.method, sent?.path, sent?.body], [
        "POST",
        "/hook?a=1&q=%C3%A4%26b",
        '{"n": 1}',
      ]);
      assertEquals([
        sent?.headers.get("x-test"),
        sent?.headers.get("content-type"),
        sent?.headers.get("user-agent"),
      ], ["yes", "application/json", "pg_net/0.20.5"]);
      const [stored] =
        await sql`select status_code, content, content_type, timed_out, error_msg, headers ->> 'sb-error-code' as code from net._http_response where id = ${id}`;
      assertEquals({ ...stored }, {
        status_code: 201,
        content: "created",
        content_type: "text/plain",
        timed_out: false,
        error_msg: null,
        code: "SOME_CODE",
      });
      const [collected] =
        await sql`select (net._http_collect_response(${id})).status::text as status`;
      assertEquals(collected?.["status"], "SUCCESS");
    },
  );

  await t.step("net: a request that is rolled back is never sent", async () => {
    await using target = receiver();
    await assertRejects(
      () =>
        sql.begin(async (transaction) => {
          await transaction`select net.http_get(${`${target.url}/never`})`;
          throw new Error("roll back");
        }),
      Error,
      "roll back",
    );
    await sql`select net.http_get(${`${target.url}/after`})`;
    await until("the later request", () => target.received.length > 0);
    assertEquals(target.received.map(({ path }) => path), ["/after"]);
  });

  await t.step(
    "net: get, delete, a refused content type, a closed port and a timeout",
    async () => {
      await using target = receiver(async (_request, { path }) => {
        if (path === "/slow") {
          await new Promise((resolve) => setTimeout(resolve, 700));
        }
        return new Response("x");
      });
      await sql`select net.http_get(${`${target.url}/get`}), net.http_delete(${`${target.url}/delete`}, body => '{"d": 1}')`;
      await until("both", () => target.received.length === 2);
      assertEquals(
        target.received.map(({ method, path, body }) =>
          `${method} ${path} ${body}`
        ).sort(),
        ['DELETE /delete {"d": 1}', "GET /get "],
      );
      assertStringIncludes(
        await refusal(
          sql,
          `select net.http_post('${target.url}', headers => '{"content-type": "text/plain"}')`,
        ),
        'Content-Type header must be "application/json"',
      );
      const [ids] =
        await sql`select net.http_get('http://127.0.0.1:9/') as closed, net.http_get(${`${target.url}/slow`}, timeout_milliseconds => 200) as slow`;
      const results = async () =>
        await sql`select id, status_code, timed_out, error_msg from net._http_response where id in (${
          ids?.["closed"]
        }, ${ids?.["slow"]}) order by id`;
      await until("both results", async () => (await results()).length === 2);
      const [closed, slow] = await results();
      assertEquals([closed?.["status_code"], closed?.["timed_out"]], [
        null,
        false,
      ]);
      assert(String(closed?.["error_msg"]).length > 0);
      assertEquals([slow?.["status_code"], slow?.["timed_out"]], [null, true]);
      assertMatch(String(slow?.["error_msg"]), /^Timeout of 200 ms reached/);
    },
  );

  await t.step(
    "net: three hundred requests in one statement are each delivered once",
    async () => {
      await using target = receiver();
      await sql`select net.http_post(${target.url}::text || '/many', jsonb_build_object('n', n)) from generate_series(1, 300) n`;
      await until("all of them", () => target.received.length >= 300);
      await until(
        "an empty queue",
        async () =>
          (await sql`select 1 from net.http_request_queue`).length === 0,
      );
      assertEquals(new Set(target.received.map(({ body }) => body)).size, 300);
      assertEquals(target.received.length, 300);
    },
  );

  await t.step(
    "net: the worker reports that it runs, and the queue is unlogged",
    async () => {
      await sql`select net.check_worker_is_up()`;
      const rows =
        await sql`select relname, relpersistence from pg_class where relname in ('http_request_queue', '_http_response') order by 1`;
      assertEquals(rows.map((row) => row["relpersistence"]), ["u", "u"]);
    },
  );

  await t.step(
    "cron: schedules are checked, replaced by name, and belong to their user",
    async () => {
      for (
        const schedule of [
          "* * * *",
          "60 * * * *",
          "0 24 * * *",
          "61 seconds",
          "0 seconds",
          "every day",
          "*/0 * * * *",
          "1-0 * * * *",
        ]
      ) {
        assertStringIncludes(
          await refusal(
            sql,
            `select cron.schedule('bad', '${schedule}', 'select 1')`,
          ),
          "invalid schedule",
          schedule,
        );
      }
      for (
        const schedule of [
          "*/5 0-6,12 1 jan-mar mon",
          "5 4 * * 7",
          "30 seconds",
          "1 second",
          "0 0 $ * *",
          "@daily",
        ]
      ) {
        await sql`select cron.schedule('good', ${schedule}, 'select 1')`;
      }
      const [job] =
        await sql`select schedule, username, active, database from cron.job where jobname = 'good'`;
      assertEquals({ ...job }, {
        schedule: "@daily",
        username: "postgres",
        active: true,
        database: "postgres",
      });
      assertStringIncludes(
        await refusal(sql, "update cron.job set command = 'select 2'"),
        "42501",
      );
      assertEquals(
        (await sql`select cron.unschedule('good') as done`)[0]?.["done"],
        true,
      );
      assertStringIncludes(
        await refusal(sql, "select cron.unschedule('good')"),
        "could not find valid entry for job 'good'",
      );
    },
  );

  await t.step(
    "cron: a job runs again and again as its user, and its runs are recorded",
    async () => {
      await sql.unsafe(
        "create table public.ticks (at timestamptz default clock_timestamp(), who text default session_user, role text default current_user)",
      );
      await sql`select cron.schedule('tick', '1 second', 'insert into public.ticks default values')`;
      await until(
        "three runs",
        async () => (await sql`select 1 from public.ticks`).length >= 3,
      );
      await sql`select cron.alter_job((select jobid from cron.job where jobname = 'tick'), active => false)`;
      const users = await sql`select distinct who, role from public.ticks`;
      assertEquals(users.map((row) => ({ ...row })), [
        { who: "postgres", role: "postgres" },
      ]);
      const [run] =
        await sql`select status, return_message, username, command, end_time >= start_time as ordered from cron.job_run_details order by runid limit 1`;
      assertEquals({ ...run }, {
        status: "succeeded",
        return_message: "1 row",
        username: "postgres",
        command: "insert into public.ticks default values",
        ordered: true,
      });
    },
  );

  await t.step(
    "cron: a failing job is recorded with the error, and a slow one never overlaps itself",
    async () => {
      await sql`select cron.schedule('fails', '1 second', 'select 1/0')`;
      await until(
        "a failed run",
        async () =>
          (await sql`select 1 from cron.job_run_details where status = 'failed'`)
            .length > 0,
      );
      await sql`select cron.unschedule('fails')`;
      const [failed] =
        await sql`select return_message from cron.job_run_details where status = 'failed' limit 1`;
      assertStringIncludes(
        String(failed?.["return_message"]),
        "division by zero",
      );
      await sql`select cron.schedule('slow', '1 second', 'select pg_sleep(1.6)')`;
      const runs = async () =>
        await sql`select start_time, lag(end_time) over (order by runid) as before from cron.job_run_details where command like '%1.6%' and status = 'succeeded' order by runid`;
      await until("two slow runs", async () => (await runs()).length >= 2, 20);
      await sql`select cron.unschedule('slow')`;
      for (const run of (await runs()).slice(1)) {
        assert(run["start_time"] >= run["before"]);
      }
    },
  );
});
