import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import postgres from "postgres";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import { makeProject, until } from "../_support/stack-fixture.ts";

const hook = (stack: Stack, path = "", init: RequestInit = {}) =>
  fetch(`${stack.apiUrl}/functions/v1/hook${path}`, init);

/** The isolate that currently answers. */
async function isolate(stack: Stack): Promise<string> {
  const { id } = await (await hook(stack)).json();
  return id;
}

const soon = () => AbortSignal.timeout(120_000);

Deno.test("functions: a process that dies is replaced, and the caller gets an answer", async (t) => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });

  await t.step(
    "one that ends itself: 502 for that request, and the next one is served by another",
    async () => {
      const before = await isolate(stack);
      const crashed = await hook(stack, "/crash");
      assertEquals([crashed.status, crashed.headers.get("sb-error-code")], [
        502,
        "EDGE_FUNCTION_ERROR",
      ]);
      await crashed.body?.cancel();
      assertNotEquals(await isolate(stack), before);
    },
  );

  await t.step(
    "one that is killed: the same, and the other functions are not affected",
    async () => {
      const [other] = stack.functions.processes("hello");
      const before = await isolate(stack);
      const [killed] = stack.functions.processes("hook");
      const waiting = hook(stack, "/never");
      await stack.logs.find(({ line }) => line === "never begun", soon());
      await stack.functions.kill("hook", "SIGKILL");
      const answer = await waiting;
      await answer.body?.cancel();
      assertEquals(answer.status, 502);
      assertNotEquals(await isolate(stack), before);
      assertNotEquals(stack.functions.processes("hook")[0]?.pid, killed?.pid);
      assertEquals(stack.functions.processes("hello")[0]?.pid, other?.pid);
    },
  );

  await t.step(
    "the output of a function is in the log, under its name",
    async () => {
      await (await hook(stack, "", { method: "PUT" })).body?.cancel();
      const { source, stream } = await stack.logs.find(
        ({ line }) => line === "hook called PUT",
        soon(),
      );
      assertEquals([source, stream], ["function:hook", "stdout"]);
    },
  );
});

/** The limit of {@link startStack}'s isolates. Only these tests' `advance` brings one near to it. */
const WALL_CLOCK_MS = 150_000;

Deno.test("wall clock: at half an isolate retires, at nine tenths it is notified, at the limit killed", async (t) => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
    wallClockMs: WALL_CLOCK_MS,
  });
  const lines = (text: string) =>
    stack.logs.records("function:hook").filter(({ line }) => line === text);
  const logged = (text: string, times = 1) =>
    until(text, () => lines(text).length >= times, 120);
  const pass = (part: number) => stack.functions.advance(WALL_CLOCK_MS * part);

  await t.step(
    "an idle isolate retires at half, with reason early_drop, and another serves",
    async () => {
      const first = await isolate(stack);
      // The clock starts with a request, and the supervisor learns of that before the log gets this line.
      await logged("hook called GET");
      const [process] = stack.functions.processes("hook");
      await pass(0.5);
      assertEquals(process?.isRetired, true);
      await logged('leaving {"reason":"early_drop"}');
      assertNotEquals(await isolate(stack), first);
      assertEquals(lines('leaving {"reason":"wall_clock"}'), []);
    },
  );

  await t.step(
    "one with a running request is notified (wall_clock) and killed; the caller gets 546",
    async () => {
      await until(
        "one fresh isolate",
        () => stack.functions.processes("hook").length === 1,
      );
      const waiting = hook(stack, "/never");
      await logged("never begun");
      const [process] = stack.functions.processes("hook");
      await pass(0.5);
      assertEquals(process?.isRetired, true);
      await pass(0.4);
      await logged('leaving {"reason":"wall_clock"}');
      assertEquals(process?.isOver, false);
      await pass(0.1);
      const answer = await waiting;
      assertEquals([answer.status, answer.headers.get("sb-error-code")], [
        546,
        "WORKER_RESOURCE_LIMIT",
      ]);
      await answer.body?.cancel();
    },
  );

  await t.step(
    "background work given to waitUntil keeps a retired isolate until it is done",
    async () => {
      const answer = await hook(stack, "/background/until-finished");
      await answer.body?.cancel();
      assertEquals(answer.status, 202);
      await logged("background begun");
      const [process, ...others] = stack.functions.processes("hook");
      assertEquals(others, []);
      assert(process !== undefined);
      await pass(0.5);
      assertEquals([process.isRetired, process.isOver], [true, false]);
      // It accepts no request of a client any more, but this one ends its work. It may end before
      // its answer is sent.
      await fetch(`${process.origin}/hook/background/finish`)
        .then((answer) => answer.body?.cancel(), () => {});
      assertEquals((await process.exited).code, 0);
      assertEquals(lines("background done").length, 1);
      assertEquals(lines('leaving {"reason":"early_drop"}').length, 2);
    },
  );
});

Deno.test("isolate clock: it starts with the first request, and is the same inside and outside", async (t) => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });
  const age = async () => {
    const answer = await (await hook(stack, "/age")).json();
    assert(Math.abs(answer.origin + answer.age - Date.now()) < 60_000);
    return answer.age;
  };
  const bornAfter = Date.now();

  await t.step("160 s without a request age no isolate", async () => {
    await stack.functions.advance(160_000);
    assert(await age() < Date.now() - bornAfter + 10_000);
  });

  await t.step("from the first request on it passes", async () => {
    const before = await isolate(stack);
    await stack.functions.advance(50_000);
    const now = await age();
    assert(now >= 50_000 && now < 75_000, `${now} ms`);
    assertEquals(await isolate(stack), before);
  });

  await t.step(
    "at half of 150 s by that clock another isolate serves, which is young",
    async () => {
      const before = await isolate(stack);
      await stack.functions.advance(25_000);
      const now = await age();
      assert(now < 50_000, `${now} ms`);
      assertNotEquals(await isolate(stack), before);
    },
  );
});

Deno.test("stop: functions are notified of termination and may finish their work", async () => {
  await using project = await makeProject();
  const stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });
  const answer = await hook(stack, "/background");
  await answer.body?.cancel();
  assertEquals(answer.status, 202);
  await stack.stop();
  const lines = stack.logs.records("function:hook").map(({ line }) => line);
  assert(lines.includes('leaving {"reason":"termination"}'));
  assert(lines.includes("background done"));
  await stack.stop();
});

Deno.test("idle: a function that does not begin its answer in time is 504", async () => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
    idleTimeoutMs: 300,
  });
  const answer = await hook(stack, "/never");
  assertEquals([answer.status, answer.headers.get("sb-error-code")], [
    504,
    "IDLE_TIMEOUT",
  ]);
  await answer.body?.cancel();
});

Deno.test("pauses: delivery and schedules can be paused and resumed", async (t) => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });
  const sql = postgres(stack.dbUrl, { max: 1, onnotice() {} });
  await using _end = { [Symbol.asyncDispose]: () => sql.end() };

  await t.step(
    "net: nothing is delivered while paused, everything afterwards",
    async () => {
      await stack.net.pause();
      await sql`select net.http_post(${`${stack.apiUrl}/functions/v1/hook`})`;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assertEquals((await sql`select 1 from net.http_request_queue`).length, 1);
      stack.net.resume();
      await until(
        "the response",
        async () =>
          (await sql`select 1 from net._http_response where status_code = 200`)
            .length === 1,
      );
    },
  );

  await t.step(
    "cron: runNow runs a paused schedule once and returns the result",
    async () => {
      await stack.cron.pause();
      await sql`select cron.schedule('good', '1 second', 'select 1'), cron.schedule('bad', '1 second', 'select 1/0')`;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assertEquals((await sql`select 1 from cron.job_run_details`).length, 0);
      assertEquals(await stack.cron.runNow("good"), {
        status: "succeeded",
        message: "1 row",
      });
      assertEquals(await stack.cron.runNow("bad"), {
        status: "failed",
        message: "ERROR:  division by zero",
      });
      await assertRejects(
        () => stack.cron.runNow("none"),
        Error,
        "cron job none does not exist",
      );
      assertEquals((await sql`select 1 from cron.job_run_details`).length, 2);
      stack.cron.resume();
    },
  );

  await t.step(
    "sessions: deliveries and schedules continue after the server has ended theirs",
    async () => {
      const admin = postgres(stack.adminDbUrl, { max: 1, onnotice() {} });
      await using _admin = { [Symbol.asyncDispose]: () => admin.end() };
      // At different moments: idle, between two statements of a transaction, and inside a statement.
      for (let ended = 0; ended < 30; ended++) {
        await sql`select net.http_post(${`${stack.apiUrl}/functions/v1/hook`})`;
        await admin`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name in ('pg_net worker', 'pg_cron scheduler', 'pg_cron')`;
      }
      const [{ id } = { id: "" }] = await sql<{ id: string }[]>`
        select net.http_post(${`${stack.apiUrl}/functions/v1/hook`}) as id`;
      await until(
        "the response",
        async () =>
          (await sql`select 1 from net._http_response where id = ${id}`)
            .length === 1,
      );
      const [{ ran } = { ran: new Date() }] = await sql<{ ran: Date }[]>`
        select clock_timestamp() as ran`;
      await until(
        "the schedule",
        async () =>
          (await sql`
            select 1 from cron.job_run_details
            where start_time > ${ran} and return_message = '1 row'`).length > 0,
      );
      await stack.net.pause();
      stack.net.resume();
    },
  );
});

Deno.test("sessions: after Postgres has ended them, and after its crash, the services answer again", async () => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });
  const admin = async (end: (sql: postgres.Sql) => Promise<unknown>) => {
    const sql = postgres(stack.adminDbUrl, {
      max: 1,
      onnotice() {},
      connection: { application_name: "the test" },
    });
    await end(sql).finally(() => sql.end({ timeout: 1 }));
  };
  const headers = {
    apikey: stack.secretKey,
    authorization: `Bearer ${stack.secretKey}`,
  };
  const answers = async (path: string) => {
    const answer = await fetch(`${stack.apiUrl}${path}`, {
      headers,
      signal: AbortSignal.timeout(5000),
    });
    await answer.body?.cancel();
    return answer.ok;
  };
  const services = ["/rest/v1/notes", "/storage/v1/bucket"];
  // Some are always running, so that sessions end inside transactions.
  let isOver = false;
  const traffic = services.flatMap((path) => Array(4).fill(path)).map(
    async (path) => {
      while (!isOver) {
        await answers(path).catch(() => false);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  );
  const sessions = `pg_stat_activity
    where backend_type = 'client backend' and application_name <> 'the test'`;
  for (let ended = 0; ended < 5; ended++) {
    await admin((sql) =>
      sql.unsafe(`select pg_terminate_backend(pid) from ${sessions}`)
    );
    for (const path of services) {
      await until(path, () => answers(path).catch(() => false));
    }
  }
  // Postgres then ends all other processes, and recovers.
  await admin(async (sql) => {
    const [row] = await sql.unsafe<{ pid: number }[]>(
      `select pid from ${sessions} limit 1`,
    );
    if (row !== undefined) Deno.kill(row.pid, "SIGKILL");
  }).catch(() => {});
  for (const path of services) {
    await until(path, () => answers(path).catch(() => false));
  }
  isOver = true;
  await Promise.all(traffic);
});

Deno.test("environment: a real key makes a provider real, and the developer's variables reach the functions", async () => {
  await using project = await makeProject({
    ".env.example":
      "ELEVENLABS_API_KEY=\n# AI_API_TIMEOUT=300\nSUPABASE_URL=\n",
    "supabase/functions/.env":
      "ELEVENLABS_API_KEY=sk_real\nFROM_FILE='a b'\nEMPTY=\n",
    "supabase/functions/hook/index.ts":
      "Deno.serve(() => Response.json(Deno.env.toObject()));\n",
  });
  Deno.env.set("AI_API_TIMEOUT", "12");
  try {
    await using stack = await startStack({
      projectDir: project.dir,
      ephemeral: true,
      env: { EXTRA: "1" },
      upstash: "simulated",
    });
    const seen = await (await hook(stack)).json();
    assertEquals(
      [
        seen.ELEVENLABS_API_KEY,
        seen.ELEVENLABS_BASE_URL,
        seen.FROM_FILE,
        seen.EMPTY,
        seen.AI_API_TIMEOUT,
        seen.EXTRA,
      ],
      ["sk_real", undefined, "a b", undefined, "12", "1"],
    );
    assertEquals(
      seen.UPSTASH_REDIS_REST_URL,
      `${stack.simulatorUrl}/upstash`,
    );
    assertEquals(seen.SUPABASE_URL, stack.apiUrl);
    assertEquals(seen.DISPATCH_SECRET, stack.dispatchSecret);
    assertStringIncludes(seen.SUPABASE_JWKS, '"alg":"ES256"');
    assertEquals(stack.providers.map(({ name, mode }) => `${name} ${mode}`), [
      "ElevenLabs real",
      "D-ID simulated",
      "HeyGen simulated",
      "Upstash simulated",
    ]);
  } finally {
    Deno.env.delete("AI_API_TIMEOUT");
  }
});

Deno.test("rest: an unknown role, a failing statement and a deferred constraint break no connection", async () => {
  await using project = await makeProject({
    "supabase/migrations/20260102000000_later.sql": `
      create table public.later (
        id int primary key,
        other int constraint later_other_fkey references public.later (id) deferrable initially deferred
      );
      grant select, insert on public.later to anon;
      create function public.refuse() returns void language plpgsql set search_path = '' as $$
      begin raise exception 'not today' using errcode = 'AI001', hint = 'tomorrow'; end $$;
      grant execute on function public.refuse() to anon;
    `,
  });
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
  });
  const unknownRole = await stack.signToken({
    sub: crypto.randomUUID(),
    role: "unknown_role",
    exp: Math.floor(Date.now() / 1000) + 60,
  });
  const post = (path: string, body: string, token?: string) =>
    fetch(`${stack.apiUrl}/rest/v1/${path}`, {
      method: "POST",
      headers: {
        apikey: stack.publishableKey,
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body,
    });
  const codeOf = async (answer: Promise<Response>) => {
    const response = await answer;
    const body = await response.json();
    return `${response.status} ${body.code}`;
  };
  const ended = await stack.signToken({
    sub: crypto.randomUUID(),
    role: "authenticated",
    exp: Math.floor(Date.now() / 1000) - 1,
  });
  assertEquals(
    await codeOf(post("rpc/whoami", "{}", ended)),
    "401 PGRST303",
    "an expired token",
  );
  // More requests than connections, so that a broken connection would be used again.
  for (let round = 0; round < 25; round++) {
    assertEquals(
      await codeOf(post("later", '{"id": 1, "other": 2}')),
      "409 23503",
    );
    assertEquals(await codeOf(post("rpc/refuse", "{}")), "400 AI001");
    assertEquals((await codeOf(post("rpc/whoami", "{}", unknownRole)))[0], "4");
  }
  const answers = await Promise.all(
    Array.from({ length: 40 }, () => post("rpc/whoami", "{}")),
  );
  for (const answer of answers) {
    assertEquals([answer.status, (await answer.json()).user], [200, "anon"]);
  }
  const sql = postgres(stack.dbUrl, { max: 1 });
  assertEquals((await sql`select 1 from public.later`).length, 0);
  await sql.end();
});
