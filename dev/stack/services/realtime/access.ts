/**
 * Decides with the policies on `realtime.messages` what a caller may read and send on a private channel, like the
 * hosted server (supabase/realtime `lib/realtime/tenants/authorization.ex`): one statement on a probe row with the
 * caller's role and claims, which is rolled back.
 */
import { z } from "zod";
import {
  DatabaseError,
  type Session,
  type Sessions,
} from "../../extensions/sessions.ts";
import type { Caller } from "../requests/caller.ts";
import type { Column, Row } from "./pgoutput.ts";

/** A stored broadcast, for replays. */
export interface StoredMessage {
  id: string;
  event: string;
  payload: unknown;
}

const typeRow = z.object({
  oid: z.number(),
  short: z.string(),
  whole: z.string(),
});

interface TableName {
  schema: string;
  name: string;
}

/** What a role may read of a table, by the names of its columns. */
export interface TableRights {
  readable: Set<string>;
  primaryKey: Set<string>;
  isRowSecurityEnabled: boolean;
}

const rightRow = z.object({
  name: z.string(),
  isReadable: z.boolean(),
  isPrimaryKey: z.boolean(),
  isRowSecurityEnabled: z.boolean(),
});

const storedRow = z.object({
  id: z.uuid(),
  event: z.string(),
  payload: z.unknown(),
});

/** Partitions exist from yesterday to this many days ahead. */
const DAYS_AHEAD = 3;
const MAX_REPLAYED = 25;

/** Checks access on connections of the superuser, like the hosted server. */
export class RealtimeAccess {
  readonly #sessions: Sessions;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /** Creates the partitions of `realtime.messages` for the next days, and drops those older than three days. */
  async keepPartitions(): Promise<void> {
    await this.#sessions.query(`
      do $$
      declare
        today date := (now() at time zone 'UTC')::date;
        day date;
        old record;
      begin
        for day in select generate_series(today - 1, today + ${DAYS_AHEAD}, '1 day')::date loop
          if to_regclass('realtime.messages_' || to_char(day, 'YYYY_MM_DD')) is null then
            execute format(
              'create table realtime.%1$I partition of realtime.messages for values from (%2$L) to (%3$L)',
              'messages_' || to_char(day, 'YYYY_MM_DD'), day, day + 1
            );
            execute format(
              'alter table realtime.%I owner to supabase_realtime_admin',
              'messages_' || to_char(day, 'YYYY_MM_DD')
            );
          end if;
        end loop;
        for old in
          select c.relname from pg_catalog.pg_inherits i
          join pg_catalog.pg_class c on c.oid = i.inhrelid
          where i.inhparent = 'realtime.messages'::regclass
            and c.relname < 'messages_' || to_char(today - 3, 'YYYY_MM_DD')
        loop
          execute format('drop table realtime.%I', old.relname);
        end loop;
      end
      $$`);
  }

  /** Whether the policies let the caller receive the broadcasts of a topic; false if a policy raises an error. */
  async mayRead(topic: string, caller: Caller): Promise<boolean> {
    const id = crypto.randomUUID();
    return await this.#probe(async (session) => {
      await session.query(
        "insert into realtime.messages (id, topic, extension) values ($1, $2, 'broadcast')",
        [id, topic],
      );
      await assumeRole(session, topic, caller);
      const { rows } = await session.query(
        "select id from realtime.messages where id = $1",
        [id],
      );
      return rows.length === 1;
    });
  }

  /** Whether the policies let the caller send broadcasts to a topic; false if a policy raises an error. */
  async mayWrite(topic: string, caller: Caller): Promise<boolean> {
    return await this.#probe(async (session) => {
      await assumeRole(session, topic, caller);
      await session.query(
        "insert into realtime.messages (topic, extension) values ($1, 'broadcast')",
        [topic],
      );
      return true;
    });
  }

  /** The newest private broadcasts of a topic since a time (milliseconds of the epoch), at most 25, oldest first. */
  async storedMessages(
    topic: string,
    since: number,
    limit: number,
  ): Promise<StoredMessage[]> {
    const { rows } = await this.#sessions.query(
      `select id, event, payload from realtime.messages
      where topic = $1 and private and extension = 'broadcast' and event is not null
        and inserted_at >= to_timestamp($2::float8 / 1000) at time zone 'UTC'
      order by inserted_at desc
      limit $3`,
      [topic, since, Math.max(1, Math.min(limit, MAX_REPLAYED))],
    );
    return z.array(storedRow).parse(rows).reverse();
  }

  /** What a role may read of a table. */
  async rightsOn(table: TableName, role: string): Promise<TableRights> {
    const { rows } = await this.#sessions.query(
      `select a.attname as name,
        has_column_privilege($3, c.oid, a.attnum, 'select') as "isReadable",
        exists (
          select from pg_catalog.pg_index i
          where i.indrelid = c.oid and i.indisprimary
            -- Behind the key are the columns of INCLUDE.
            and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        ) as "isPrimaryKey",
        c.relrowsecurity as "isRowSecurityEnabled"
      from pg_catalog.pg_class c
      join pg_catalog.pg_attribute a on a.attrelid = c.oid
      where c.oid = format('%I.%I', $1::text, $2::text)::regclass
        and a.attnum > 0 and not a.attisdropped`,
      [table.schema, table.name, role],
    );
    const columns = z.array(rightRow).parse(rows);
    const namesOf = (some: typeof columns) =>
      new Set(some.map(({ name }) => name));
    return {
      readable: namesOf(columns.filter(({ isReadable }) => isReadable)),
      primaryKey: namesOf(columns.filter(({ isPrimaryKey }) => isPrimaryKey)),
      isRowSecurityEnabled: columns.some((one) => one.isRowSecurityEnabled),
    };
  }

  /** Whether the policies show a row to the caller. False when a column of its primary key is absent. */
  async mayReadRow(
    table: TableName,
    primaryKey: ReadonlySet<string>,
    row: Row,
    caller: Caller,
  ): Promise<boolean> {
    const key = [...primaryKey].map((name) => ({ name, value: row[name] }));
    const isWhole = key.length > 0 &&
      key.every(({ value }) => value !== undefined);
    if (!isWhole) return false;
    return await this.#probe(async (session) => {
      await assumeRole(session, "", caller);
      const conditions = key.map(({ name }, index) =>
        `${identifier(name)}::text = $${index + 1}`
      );
      const found = await session.query(
        `select 1 from ${identifier(table.schema)}.${
          identifier(table.name)
        } where ${conditions.join(" and ")}`,
        key.map(({ value }) => value),
      );
      return found.rows.length > 0;
    });
  }

  /** Columns for messages, with the short names of their types. */
  async describe(
    columns: readonly Column[],
  ): Promise<{ name: string; type: string }[]> {
    const types = await this.#typesOf(columns);
    return columns.map(({ name, typeId }) => ({
      name,
      type: types.get(typeId)?.short ?? "unknown",
    }));
  }

  /** A row as the JSON that Postgres itself creates. Missing columns are left out. */
  async asJson(columns: readonly Column[], row: Row): Promise<unknown> {
    const present = columns.filter(({ name }) => row[name] !== undefined);
    if (present.length === 0) return {};
    const types = await this.#typesOf(present);
    const parts = present.map(({ typeId }, index) =>
      `$${2 * index + 1}::text, $${2 * index + 2}::text::${
        types.get(typeId)?.whole ?? "text"
      }`
    );
    const { rows: [result] } = await this.#sessions.query(
      `select jsonb_build_object(${parts.join(", ")}) as json`,
      present.flatMap(({ name }) => [name, row[name] ?? null]),
    );
    return result?.["json"];
  }

  async #typesOf(
    columns: readonly Column[],
  ): Promise<Map<number, z.output<typeof typeRow>>> {
    const { rows } = await this.#sessions.query(
      `select oid::int as oid, typname as short, oid::regtype::text as whole
      from pg_catalog.pg_type where oid = any ($1::int[]::oid[])`,
      [columns.map(({ typeId }) => typeId)],
    );
    return new Map(
      z.array(typeRow).parse(rows).map((type) => [type.oid, type]),
    );
  }

  async #probe(
    ask: (session: Session) => Promise<boolean>,
  ): Promise<boolean> {
    try {
      return await this.#sessions.use(async (session) => {
        await session.query("begin");
        const answer = await ask(session);
        await session.query("rollback");
        return answer;
      });
    } catch (error) {
      if (error instanceof DatabaseError) return false;
      throw error;
    }
  }
}

async function assumeRole(
  session: Session,
  topic: string,
  { role, claims }: Caller,
): Promise<void> {
  await session.query(
    `select set_config('role', $1, true),
      set_config('realtime.topic', $2, true),
      set_config('request.jwt.claims', $3, true),
      set_config('request.jwt.claim.sub', $4, true),
      set_config('request.jwt.claim.role', $1, true),
      set_config('request.headers', '{}', true)`,
    [role, topic, JSON.stringify(claims), claims.sub ?? ""],
  );
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
