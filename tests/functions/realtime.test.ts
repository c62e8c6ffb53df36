/**
 * Realtime of the embedded stack through the unmodified supabase-js: which messages arrive for whom, and what ends a
 * channel.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createClient, type RealtimeChannel } from "@supabase/supabase-js";
import { z } from "zod";
import {
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";
import { liveTest } from "../_support/live-test.ts";

const running = useStack();

/** Collects what arrives, in order, so that tests can wait for one item after another. */
class Inbox<T> {
  readonly all: T[] = [];
  readonly #waiting = new Set<() => void>();

  readonly add = (one: T): void => {
    this.all.push(one);
    for (const look of this.#waiting) look();
  };

  /** The first item that matches, now or later. Fails after two minutes, listing what arrived. */
  async first(matches: (one: T) => boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = () => {
      const found = this.all.find(matches);
      if (found !== undefined) resolve(found);
    };
    const timer = setTimeout(
      () => reject(new Error(`did not arrive: ${JSON.stringify(this.all)}`)),
      120_000,
    );
    this.#waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}

const jobEvents = z.object({
  events: z.array(z.object({
    job_id: z.uuid(),
    seq: z.number(),
    event: z.string(),
    attempt: z.number(),
    data: z.record(z.string(), z.unknown()),
    created_at: z.iso.datetime({ offset: true }),
  })),
});

/** A separate client with the token of a user, or without one; closed when disposed of. */
async function connect(stack: TestStack, token: string | null) {
  const client = createClient(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    ...(token === null ? {} : { accessToken: () => Promise.resolve(token) }),
  });
  // Without it the join of the first channel may go out before the token is known.
  await client.realtime.setAuth();
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client.removeAllChannels();
      await client.realtime.disconnect();
    },
  };
}

type Status = [status: string, error: string];

/** Joins, and collects every status that the channel reports. */
function join(channel: RealtimeChannel): Inbox<Status> {
  const statuses = new Inbox<Status>();
  channel.subscribe((status, error) =>
    statuses.add([status, error?.message ?? ""])
  );
  return statuses;
}

/** The server's message for an expired token. */
const EXPIRED = /Token has expired \d+ seconds ago/;

/** A channel that was joined with a token that expires soon. */
interface Expiring {
  connection: Awaited<ReturnType<typeof connect>>;
  system: Inbox<{ message?: string }>;
  statuses: Inbox<Status>;
}

const joined = (statuses: Inbox<Status>) =>
  statuses.first(([status]) => status === "SUBSCRIBED");

function progressOf(user: TestUser) {
  return {
    topic: `ai_jobs:${user.id}`,
    options: { config: { private: true } },
  };
}

liveTest(
  "realtime: every event of a job reaches its owner alone, once and in order",
  async () => {
    const stack = running();
    const [ann, bob] = [await signUp(stack), await signUp(stack)];
    await using mine = await connect(stack, ann.accessToken);
    await using theirs = await connect(stack, bob.accessToken);
    const seen = new Inbox<z.output<typeof jobEvents>["events"][number]>();
    const foreign = new Inbox<unknown>();
    const { topic, options } = progressOf(ann);
    const channel = mine.client.channel(topic, options).on(
      "broadcast",
      { event: "ai_job_events" },
      ({ payload }) => jobEvents.parse(payload).events.forEach(seen.add),
    );
    await joined(join(channel));
    const other = progressOf(bob);
    const channelOfBob = theirs.client.channel(other.topic, other.options).on(
      "broadcast",
      { event: "*" },
      foreign.add,
    );
    await joined(join(channelOfBob));

    const job = await requestVoice(ann, await uploadRecording(ann));
    await waitForJob(stack, ann, job, "completed");
    await seen.first(({ event }) => event === "completed");
    const { data: rows } = await ann.client.from("ai_job_events").select(
      "job_id,seq,event,attempt,data,created_at",
    ).eq("job_id", job).order("seq");
    const instant = (row: z.output<typeof jobEvents>["events"][number]) => ({
      ...row,
      created_at: Date.parse(row.created_at),
    });
    const { events } = jobEvents.parse({ events: rows });
    assertEquals(seen.all.map(instant), events.map(instant));
    assertEquals(foreign.all, []);
  },
);

liveTest(
  "realtime: another user's topic, and one without a policy, are refused with the server's message",
  async () => {
    const stack = running();
    const [ann, bob] = [await signUp(stack), await signUp(stack)];
    await using anns = await connect(stack, ann.accessToken);
    await using anonymous = await connect(stack, null);
    for (
      const [client, name] of [
        [anns.client, `ai_jobs:${bob.id}`],
        [anns.client, "anything"],
        [anonymous.client, `ai_jobs:${ann.id}`],
      ] as const
    ) {
      const channel = client.channel(name, { config: { private: true } });
      const [status, reason] = await join(channel).first(() => true);
      await client.removeChannel(channel);
      assertEquals([status, reason], [
        "CHANNEL_ERROR",
        `Unauthorized: You do not have permissions to read from this Channel topic: ${name}`,
      ]);
    }
  },
);

liveTest(
  "realtime: no client may send to a topic of jobs, either from the channel or over HTTP",
  async () => {
    const stack = running();
    const ann = await signUp(stack);
    await using one = await connect(stack, ann.accessToken);
    await using two = await connect(stack, ann.accessToken);
    const { topic } = progressOf(ann);
    const received = new Inbox<unknown>();
    const options = {
      config: { private: true, broadcast: { ack: false, self: true } },
    };
    const listening = two.client.channel(topic, options).on(
      "broadcast",
      { event: "*" },
      received.add,
    );
    await joined(join(listening));
    const sending = one.client.channel(topic, options);
    await joined(join(sending));
    await sending.send({
      type: "broadcast",
      event: "ai_job_events",
      payload: {},
    });
    const answer = await fetch(`${stack.apiUrl}/realtime/v1/api/broadcast`, {
      method: "POST",
      headers: {
        apikey: stack.publishableKey,
        authorization: `Bearer ${ann.accessToken}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({
        messages: [{ topic, event: "forged", payload: {}, private: true }],
      }),
    });
    await answer.body?.cancel();
    assertEquals(answer.status, 202);
    // The next message uses the same connection, so that any message sent before would arrive before it.
    await stack.sql`select realtime.send('{}', 'last', ${topic})`;
    await received.first(() => true);
    assertEquals(
      received.all.map((one) =>
        z.object({ event: z.string() }).parse(one).event
      ),
      ["last"],
    );
  },
);

liveTest(
  "realtime: public channels carry clients' messages, and the server acknowledges them",
  async () => {
    const stack = running();
    await using one = await connect(stack, null);
    await using two = await connect(stack, null);
    const received = new Inbox<{ payload?: unknown }>();
    const listening = two.client.channel("room").on(
      "broadcast",
      { event: "greeting" },
      received.add,
    );
    await joined(join(listening));
    const sending = one.client.channel("room", {
      config: { broadcast: { ack: true } },
    });
    await joined(join(sending));
    const sent = await sending.send({
      type: "broadcast",
      event: "greeting",
      payload: { text: "Grüß Gott" },
    });
    assertEquals(sent, "ok");
    const { payload } = await received.first(() => true);
    assertEquals(payload, { text: "Grüß Gott" });
  },
);

liveTest(
  "realtime: rolled-back messages are not broadcast, and stored ones can be replayed",
  async () => {
    const stack = running();
    const ann = await signUp(stack);
    const { topic } = progressOf(ann);
    await using first = await connect(stack, ann.accessToken);
    const received = new Inbox<{ event: string }>();
    const channel = first.client.channel(topic, { config: { private: true } })
      .on("broadcast", { event: "*" }, received.add);
    await joined(join(channel));
    const since = Date.now() - 1000;
    await using connection = stack.connect();
    await connection.sql.begin(async (sql) => {
      await sql`select realtime.send('{}', 'undone', ${topic})`;
      throw new Error("rolled back");
    }).catch(() => {});
    await stack.sql`select realtime.send('{"n": 1}', 'kept', ${topic})`;
    await received.first(({ event }) => event === "kept");
    assertEquals(received.all.map(({ event }) => event), ["kept"]);

    await using second = await connect(stack, ann.accessToken);
    const replayed = new Inbox<Record<string, unknown>>();
    const again = second.client.channel(topic, {
      config: { private: true, broadcast: { replay: { since, limit: 10 } } },
    }).on("broadcast", { event: "kept" }, replayed.add);
    await joined(join(again));
    const { meta, payload } = await replayed.first(() => true);
    assertEquals(
      z.object({ replayed: z.boolean() }).parse(meta).replayed,
      true,
    );
    assertEquals(z.object({ n: z.number() }).parse(payload).n, 1);
  },
);

liveTest(
  "realtime: an expired token or too many messages close the channel with the server's message",
  async () => {
    const stack = running();
    const ann = await signUp(stack);
    const { topic, options } = progressOf(ann);
    // Longer where the machine is too slow to join within two seconds.
    const joinUntilExpiry = async (seconds: number): Promise<Expiring> => {
      const exp = Math.floor(Date.now() / 1000) + seconds;
      const connection = await connect(
        stack,
        await stack.signToken({ sub: ann.id, role: "authenticated", exp }),
      );
      const system = new Inbox<{ message?: string }>();
      const statuses = join(
        connection.client.channel(topic, options).on("system", {}, system.add),
      );
      const [status, error] = await statuses.first(([status]) =>
        status === "SUBSCRIBED" || status === "CHANNEL_ERROR"
      );
      if (status === "SUBSCRIBED") return { connection, system, statuses };
      await connection[Symbol.asyncDispose]();
      assertMatch(error, EXPIRED);
      assert(Date.now() >= exp * 1000, "a valid token is refused");
      return await joinUntilExpiry(seconds * 2);
    };
    const { connection, system, statuses } = await joinUntilExpiry(2);
    await using _expiring = connection;
    const { message } = await system.first(() => true);
    assertMatch(message ?? "", new RegExp(`^${EXPIRED.source}$`));
    await statuses.first(([status]) => status === "CLOSED");

    await using other = await connect(stack, ann.accessToken);
    const words = new Inbox<{ message?: string }>();
    const limited = other.client.channel(topic, options).on(
      "system",
      {},
      words.add,
    );
    const ended = join(limited);
    await joined(ended);
    await stack.ask("/realtime/drop", "rate_limited");
    assertEquals(
      (await words.first(() => true)).message,
      "Too many messages per second",
    );
    await ended.first(([status]) => status === "CLOSED");
  },
);

liveTest(
  "realtime: a disconnected client joins again by itself once the server is back",
  async () => {
    const stack = running();
    const ann = await signUp(stack);
    await using connection = await connect(stack, ann.accessToken);
    const { topic, options } = progressOf(ann);
    const received = new Inbox<{ event: string }>();
    const channel = connection.client.channel(topic, options).on(
      "broadcast",
      { event: "*" },
      received.add,
    );
    const statuses = join(channel);
    await joined(statuses);
    await stack.ask("/realtime/pause", null);
    await statuses.first(([status]) => status === "CHANNEL_ERROR");
    statuses.all.length = 0;
    await stack.ask("/realtime/resume", null);
    await joined(statuses);
    await stack.sql`select realtime.send('{}', 'after', ${topic})`;
    await received.first(({ event }) => event === "after");
  },
);

liveTest(
  "realtime: table changes reach those who may read the row, with the columns they may read",
  async () => {
    const stack = running();
    const [ann, bob] = [await signUp(stack), await signUp(stack)];
    await stack
      .sql`alter publication supabase_realtime add table public.profiles`;
    try {
      await using mine = await connect(stack, ann.accessToken);
      await using theirs = await connect(stack, bob.accessToken);
      const change = z.object({
        eventType: z.string(),
        new: z.record(z.string(), z.unknown()),
      });
      const seen = new Inbox<z.output<typeof change>>();
      const foreign = new Inbox<unknown>();
      const filter = {
        event: "*",
        schema: "public",
        table: "profiles",
        filter: `user_id=eq.${ann.id}`,
      } as const;
      const channel = mine.client.channel("changes").on(
        "postgres_changes",
        filter,
        (payload) => seen.add(change.parse(payload)),
      );
      const ready = new Inbox<{ status?: string }>();
      channel.on("system", {}, ready.add);
      await joined(join(channel));
      await ready.first(({ status }) => status === "ok");
      const channelOfBob = theirs.client.channel("changes").on(
        "postgres_changes",
        { event: "*", schema: "public", table: "profiles" },
        foreign.add,
      );
      await joined(join(channelOfBob));
      await ann.client.from("profiles").insert({ display_name: "Ann" });
      await ann.client.from("profiles").update({ display_name: "Anna" }).eq(
        "user_id",
        ann.id,
      );
      await seen.first(({ eventType }) => eventType === "UPDATE");
      assertEquals(
        seen.all.map((one) => [one.eventType, one.new["display_name"]]),
        [["INSERT", "Ann"], ["UPDATE", "Anna"]],
      );
      assertEquals(foreign.all, []);
    } finally {
      await stack
        .sql`alter publication supabase_realtime drop table public.profiles`;
    }
  },
);

const changeSchema = z.object({
  eventType: z.string(),
  new: z.record(z.string(), z.unknown()),
  old: z.record(z.string(), z.unknown()),
  errors: z.array(z.string()).nullable(),
});

/** The changes of a table that arrive for a connection from now on. */
async function changesOf(
  { client }: Awaited<ReturnType<typeof connect>>,
  table: string,
) {
  const seen = new Inbox<z.output<typeof changeSchema>>();
  const ready = new Inbox<{ status?: string }>();
  const channel = client.channel(`changes of ${table}`)
    .on(
      "postgres_changes",
      { event: "*", schema: "public", table },
      (payload) => seen.add(changeSchema.parse(payload)),
    )
    .on("system", {}, ready.add);
  await joined(join(channel));
  await ready.first(({ status }) => status === "ok");
  return seen;
}

liveTest(
  "realtime: of a table with replica identity full, nulls and large values arrive, and deleted rows do not",
  async () => {
    const stack = running();
    const [ann, bob] = [await signUp(stack), await signUp(stack)];
    await stack.sql`
      do $$ begin
        create table public.letters (
          id uuid primary key, user_id uuid not null, title text, body text, secret text
        );
        alter table public.letters replica identity full;
        -- Outside the row, so that an update of another column does not send it.
        alter table public.letters alter column body set storage external;
        alter table public.letters enable row level security;
        grant select (id, user_id, title, body) on public.letters to authenticated;
        create policy "people read their letters" on public.letters
          for select to authenticated using (user_id = (select auth.uid()));
        alter publication supabase_realtime add table public.letters;
      end $$`;
    try {
      await using mine = await connect(stack, ann.accessToken);
      await using theirs = await connect(stack, bob.accessToken);
      const seen = await changesOf(mine, "letters");
      const foreign = await changesOf(theirs, "letters");
      const id = crypto.randomUUID();
      const body = "a large value ".repeat(1000);
      await stack.sql`
        insert into public.letters (id, user_id, body, secret)
        values (${id}, ${ann.id}, ${body}, 'secret')`;
      // The policies are checked at the delivery, so the row must not change before.
      await seen.first(({ eventType }) => eventType === "INSERT");
      await stack
        .sql`update public.letters set title = 'Dear' where id = ${id}`;
      await seen.first(({ eventType }) => eventType === "UPDATE");
      await stack.sql`delete from public.letters where id = ${id}`;
      await seen.first(({ eventType }) => eventType === "DELETE");
      await foreign.first(({ eventType }) => eventType === "DELETE");
      const before = { id, user_id: ann.id, title: null, body };
      const deleted = { eventType: "DELETE", new: {}, old: { id } };
      assertEquals(
        seen.all.map(({ errors: _, ...change }) => change),
        [
          { eventType: "INSERT", new: before, old: {} },
          {
            eventType: "UPDATE",
            new: { ...before, title: "Dear" },
            old: before,
          },
          deleted,
        ],
      );
      assertEquals(
        foreign.all.map(({ errors: _, ...change }) => change),
        [deleted],
      );
    } finally {
      await stack.sql`drop table public.letters`;
    }
  },
);

liveTest(
  "realtime: of a table without row level security, the whole deleted row arrives with replica identity full",
  async () => {
    const stack = running();
    const ann = await signUp(stack);
    await stack.sql`
      do $$ begin
        create table public.signs (
          area int, id int, text text, primary key (area, id) include (text)
        );
        create table public.keyless (text text);
        create table public.hidden (id int primary key, text text);
        alter table public.keyless replica identity full;
        grant select on public.signs, public.keyless to authenticated;
        grant select (text) on public.hidden to authenticated;
        alter publication supabase_realtime add table public.signs, public.keyless, public.hidden;
      end $$`;
    try {
      await using mine = await connect(stack, ann.accessToken);
      const signs = await changesOf(mine, "signs");
      const keyless = await changesOf(mine, "keyless");
      const hidden = await changesOf(mine, "hidden");
      await stack.sql`insert into public.signs values (1, 1, 'one')`;
      await stack.sql`update public.signs set id = 2`;
      await stack.sql`delete from public.signs`;
      await stack.sql`alter table public.signs replica identity full`;
      await stack.sql`insert into public.signs values (1, 3, null)`;
      await stack.sql`delete from public.signs`;
      await signs.first(({ old }) => old["id"] === 3);
      assertEquals(
        signs.all.map((one) => [one.eventType, one.new, one.old]),
        [
          ["INSERT", { area: 1, id: 1, text: "one" }, {}],
          ["UPDATE", { area: 1, id: 2, text: "one" }, { area: 1, id: 1 }],
          ["DELETE", {}, { area: 1, id: 2 }],
          ["INSERT", { area: 1, id: 3, text: null }, {}],
          ["DELETE", {}, { area: 1, id: 3, text: null }],
        ],
      );
      await stack.sql`insert into public.keyless values ('secret')`;
      await stack.sql`update public.keyless set text = 'other'`;
      await stack.sql`insert into public.hidden values (1, 'secret')`;
      await stack.sql`update public.hidden set text = 'other'`;
      for (
        const [changes, error] of [
          [keyless, "Error 400: Bad Request, no primary key"],
          [hidden, "Error 401: Unauthorized"],
        ] as const
      ) {
        await changes.first(({ eventType }) => eventType === "UPDATE");
        const empty = { new: {}, old: {}, errors: [error] };
        assertEquals(changes.all, [
          { eventType: "INSERT", ...empty },
          { eventType: "UPDATE", ...empty },
        ]);
      }
    } finally {
      await stack
        .sql`drop table public.signs, public.keyless, public.hidden`;
    }
  },
);

liveTest(
  "realtime: without a key of the project a connection is 401, and plain HTTP is 426",
  async () => {
    const stack = running();
    const address = `${stack.apiUrl}/realtime/v1/websocket`;
    for (
      const [query, status] of [
        ["", 401],
        ["?apikey=sb_publishable_wrong", 401],
        [`?apikey=${stack.publishableKey}`, 426],
      ] as const
    ) {
      const answer = await fetch(address + query);
      await answer.body?.cancel();
      assertEquals(answer.status, status);
    }
  },
);
