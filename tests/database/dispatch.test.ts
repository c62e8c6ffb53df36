/** The signed call that an insert causes: its content, its signature, and that its failure never undoes the insert. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import postgres from "postgres";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { z } from "zod";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import {
  insertCompletedJob,
  insertJob,
  insertJobs,
  pictureOf,
  readJob,
  uploadSample,
  withQueue,
} from "./_support/factories.ts";

const PROJECT_URL = "https://abcdefghijklmnopqrst.supabase.co";
const SECRET = `whsec_${btoa("0123456789abcdefghijklmnopqrstuv")}`;

const headersSchema = z.record(z.string(), z.string());
const bodySchema = z.strictObject({
  type: z.literal("INSERT"),
  table: z.literal("ai_jobs"),
  schema: z.literal("public"),
  record: z.strictObject({ id: z.uuid() }),
  old_record: z.null(),
  job_ids: z.array(z.uuid()),
});

interface QueuedRequest {
  method: string;
  url: string;
  headers: unknown;
  body: string;
  timeout_milliseconds: number;
}

async function setVault(
  db: TestDatabase,
  secrets: Record<string, string> = {
    project_url: PROJECT_URL,
    dispatch_secret: SECRET,
  },
): Promise<void> {
  for (const [name, secret] of Object.entries(secrets)) {
    await db.sql`select vault.create_secret(${secret}, ${name})`;
  }
}

async function queued(db: TestDatabase): Promise<QueuedRequest[]> {
  return [
    ...await db.sql<QueuedRequest[]>`
      select method, url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds
      from net.http_request_queue order by id`,
  ];
}

async function onlyRequest(db: TestDatabase): Promise<QueuedRequest> {
  const [request, ...others] = await queued(db);
  assert(request !== undefined, "nothing was dispatched");
  assertEquals(others.length, 0, "more than one request");
  return request;
}

function idsIn(request: QueuedRequest): string[] {
  return bodySchema.parse(JSON.parse(request.body)).job_ids;
}

Deno.test("dispatch: an insert queues one call to process-ai-job, in the shape of a database webhook", async () => {
  await withDatabase(async (db) => {
    await setVault(db, {
      project_url: `${PROJECT_URL}/`,
      dispatch_secret: SECRET,
    });
    const { id } = await insertJob(db);
    const request = await onlyRequest(db);
    assertEquals(request.method, "POST");
    assertEquals(request.url, `${PROJECT_URL}/functions/v1/process-ai-job`);
    assertEquals(request.timeout_milliseconds, 5000);
    assertEquals(
      Object.keys(headersSchema.parse(request.headers)).sort(),
      [
        "Content-Type",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
      ],
    );
    assertEquals(bodySchema.parse(JSON.parse(request.body)), {
      type: "INSERT",
      table: "ai_jobs",
      schema: "public",
      record: { id },
      old_record: null,
      job_ids: [id],
    });
  });
});

Deno.test("dispatch: the body has only the ids of the jobs", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    const job = await insertJob(db, {
      metadata: { voice_name: "Grandpa's own words" },
      idempotency_key: "order-77",
    });
    const { body, headers } = await onlyRequest(db);
    const text = body + JSON.stringify(headers);
    for (
      const secret of [
        "Grandpa",
        "order-77",
        job.user_id,
        job.input_url ?? "",
        "voice-samples",
        SECRET,
        SECRET.replace("whsec_", ""),
      ]
    ) {
      assertEquals(text.includes(secret), false, secret);
    }
    assert(text.includes(job.id));
  });
});

Deno.test("dispatch: the npm package standardwebhooks accepts the signature, and rejects any changed request", async (t) => {
  await withDatabase(async (db) => {
    await setVault(db);
    await insertJobs(db, 3);
    const { body, headers } = await onlyRequest(db);
    const sent = headersSchema.parse(headers);
    const webhook = new Webhook(SECRET);

    webhook.verify(body, sent);

    const forged: Record<string, [string, Record<string, string>]> = {
      "another body": [body.replace("INSERT", "UPDATE"), sent],
      "another id": [body, { ...sent, "webhook-id": "msg_1" }],
      "another time": [body, {
        ...sent,
        "webhook-timestamp": String(Number(sent["webhook-timestamp"]) + 1),
      }],
      "no signature": [body, { ...sent, "webhook-signature": "v1," }],
    };
    for (const [name, [text, head]] of Object.entries(forged)) {
      await t.step(name, () => {
        assertThrows(
          () => webhook.verify(text, head),
          WebhookVerificationError,
        );
      });
    }
    await t.step("another secret", () => {
      const other = new Webhook(`whsec_${btoa("x".repeat(32))}`);
      assertThrows(() => other.verify(body, sent), WebhookVerificationError);
    });
  });
});

Deno.test("dispatch: each call has its own id and the time of the database", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    for (let n = 0; n < 3; n++) {
      await insertJob(db);
      // As if it had been received: the next insert sends its own.
      await db.sql`delete from private.expected_claims`;
    }
    const heads = (await queued(db)).map(({ headers }) =>
      headersSchema.parse(headers)
    );
    assertEquals(new Set(heads.map((head) => head["webhook-id"])).size, 3);
    for (const head of heads) {
      const [row] = await db.sql<{ age: number }[]>`
        select extract(epoch from clock_timestamp())::float8 - ${
        head["webhook-timestamp"] ?? ""
      }::float8 as age`;
      assert(row !== undefined && row.age >= 0 && row.age < 60, `${row?.age}`);
      assert(/^msg_[0-9a-f]{32}$/.test(head["webhook-id"] ?? ""));
    }
  });
});

Deno.test("dispatch: a statement of many rows is one call, which names at most 50 of them, the most urgent", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    const ids = await insertJobs(db, 50);
    assertEquals(idsIn(await onlyRequest(db)).sort(), ids.sort());

    await db.sql`delete from net.http_request_queue`;
    await db.sql`delete from private.expected_claims`;
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url, priority)
      select ${userId}, 'voice_clone', ${inputUrl}, case when n <= 50 then 1 else 0 end
      from generate_series(1, 100) as n`;
    const named = idsIn(await onlyRequest(db));
    const urgent = await db.sql<{ id: string }[]>`
      select id from public.ai_jobs where user_id = ${userId} and priority = 0`;
    assertEquals(named.sort(), urgent.map((job) => job.id).sort());
  });
});

Deno.test("dispatch: scheduled and cached jobs are not dispatched, alone or among others", async () => {
  await withQueue(async (bench) => {
    const { db } = bench;
    const done = await insertCompletedJob(bench);
    await setVault(db);
    const later = await insertJob(db, {
      scheduled_at: new Date(Date.now() + 60_000),
    });
    const cached = await insertJob(db, {
      user_id: done.user_id,
      input_url: done.input_url,
      cached_from_job_id: done.id,
    });
    assertEquals([later.status, cached.status], ["pending", "completed"]);
    assertEquals(await queued(db), []);

    const [due] = await db.sql<{ id: string }[]>`
      with new as (
        insert into public.ai_jobs (user_id, job_type, input_url, scheduled_at)
        select user_id, job_type, input_url, s.at
        from public.ai_jobs, (values (now()), (now() + interval '1 hour')) as s (at)
        where id = ${later.id}
        returning id, scheduled_at
      )
      select id from new where scheduled_at <= now()`;
    assertEquals(idsIn(await onlyRequest(db)), [due?.id]);
  });
});

Deno.test("dispatch: an insert of no rows and an insert that is rolled back send nothing", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    const job = await insertJob(db);
    await db.sql`delete from net.http_request_queue`;
    await db.sql`
      insert into public.ai_jobs (id, user_id, job_type, input_url)
      values (${job.id}, ${job.user_id}, 'voice_clone', ${job.input_url})
      on conflict do nothing`;
    await db.sql`
      insert into public.ai_jobs (user_id, job_type, input_url)
      select user_id, job_type, input_url from public.ai_jobs where false`;
    await db.sql.begin(async (sql) => {
      await sql`
        insert into public.ai_jobs (user_id, job_type, input_url)
        values (${job.user_id}, 'voice_clone', ${job.input_url})`;
      throw new Error("not this time");
    }).catch(() => {});
    assertEquals(await queued(db), []);
  });
});

Deno.test("dispatch: a user's insert is dispatched, though the user can read neither Vault nor queue functions", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    const { id: userId } = await db.createUser();
    const inputUrl = await uploadSample(db, userId);
    const id = await db.asUser(userId, async (sql) => {
      const [job] = await sql<{ id: string }[]>`
        insert into public.ai_jobs (job_type, input_url) values ('voice_clone', ${inputUrl}) returning id`;
      return job?.id;
    });
    assertEquals(idsIn(await onlyRequest(db)), [id]);
  });
});

Deno.test("dispatch: with any part of it broken, the insert commits, and the secret is not revealed", async (t) => {
  const whole = { project_url: PROJECT_URL, dispatch_secret: SECRET };
  const broken = "whsec_this is not base64!";
  const breakages: Record<
    string,
    { vault: Record<string, string>; sql?: string }
  > = {
    "an empty Vault": { vault: {} },
    "no secret": { vault: { project_url: PROJECT_URL } },
    "no address": { vault: { dispatch_secret: SECRET } },
    "a secret that is not base64": {
      vault: { ...whole, dispatch_secret: broken },
    },
    "a secret of invalid length": {
      vault: { ...whole, dispatch_secret: `whsec_${"A".repeat(33)}` },
    },
    "a secret without its prefix": {
      vault: { ...whole, dispatch_secret: SECRET.replace("whsec_", "") },
    },
    "a secret that is too short": {
      vault: { ...whole, dispatch_secret: `whsec_${btoa("short")}` },
    },
    "net.http_post that raises": {
      vault: whole,
      sql: `
        create or replace function net.http_post(
          url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
          timeout_milliseconds int default 5000
        ) returns bigint language plpgsql as $$
        begin
          raise exception 'no worker for % with %', url, headers;
        end
        $$`,
    },
    "net.http_post that does not exist": {
      vault: whole,
      sql: "alter function net.http_post rename to http_post_of_old",
    },
    "a queue that cannot be written": {
      vault: whole,
      sql: "alter table net.http_request_queue rename to old_queue",
    },
    "a Vault that cannot be read": {
      vault: whole,
      sql: "alter view vault.decrypted_secrets rename to old_secrets",
    },
  };
  for (const [name, { vault, sql }] of Object.entries(breakages)) {
    await t.step(name, () =>
      withDatabase(async (db) => {
        await setVault(db, vault);
        const { id: userId } = await db.createUser();
        const inputUrl = await uploadSample(db, userId);
        if (sql !== undefined) await asAdmin(db, sql);

        const notices: string[] = [];
        const app = postgres(db.url, {
          max: 1,
          connection: { client_min_messages: "log" },
          onnotice: (notice) => notices.push(JSON.stringify(notice)),
        });
        try {
          const [job] = await app<{ id: string }[]>`
            insert into public.ai_jobs (user_id, job_type, input_url)
            values (${userId}, 'voice_clone', ${inputUrl}) returning id`;
          assert(job !== undefined);
          assertEquals((await readJob(db, job.id)).status, "pending");
          assertEquals(await isQueueEmpty(db), true);
        } finally {
          await app.end();
        }

        const noticeText = notices.join("\n");
        assert(
          noticeText.includes("dispatched"),
          `no notice about the dispatch: ${noticeText}`,
        );
        for (const secret of Object.values(vault)) {
          assertEquals(noticeText.includes(secret), false, noticeText);
        }
        assertEquals(
          noticeText.includes(SECRET.slice(6, 20)),
          false,
          noticeText,
        );
        assertEquals(noticeText.includes("not base64"), false, noticeText);
      }));
  }
  await t.step(
    "twin: nothing is broken, and the call is queued",
    () =>
      withDatabase(async (db) => {
        await setVault(db, whole);
        await insertJob(db);
        await onlyRequest(db);
      }),
  );
});

/** Also true when a test has renamed the queue. */
async function isQueueEmpty(db: TestDatabase): Promise<boolean> {
  const [row] = await db.sql<{ table: string | null }[]>`
    select to_regclass('net.http_request_queue')::text as table`;
  return row?.table === null || (await queued(db)).length === 0;
}

async function asAdmin(db: TestDatabase, statement: string): Promise<void> {
  const admin = postgres(db.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await admin.unsafe(statement);
  } finally {
    await admin.end();
  }
}

Deno.test("dispatch: it changes nothing but the queue of requests", async () => {
  await withDatabase(async (db) => {
    await setVault(db);
    const { id } = await insertJob(db);
    await db.sql`delete from net.http_request_queue`;
    const before = await pictureOf(db);
    await db.sql`select private.dispatch_ai_jobs(array[${id}]::uuid[])`;
    const after = await pictureOf(db);
    assertEquals(
      after.filter((line) => !line.startsWith("http_request_queue ")),
      before,
    );
    assertEquals(after.length, before.length + 1);
    for (const none of ["null", "'{}'"]) {
      await db.sql.unsafe(`select private.dispatch_ai_jobs(${none})`);
    }
    assertEquals((await pictureOf(db)).length, after.length);
  });
});
