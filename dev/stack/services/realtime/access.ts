/**
 * What a caller may read and send on a private channel, decided by the policies on `realtime.messages` in the way of the
 * hosted server (supabase/realtime `lib/realtime/tenants/authorization.ex`): a probe row, the caller's role and claims, one
 * statement with their rights, and everything is rolled back.
 */
import type { JWTPayload } from "jose";
import postgres from "postgres";
import { z } from "zod";
import type { Column, Row } from "./pgoutput.ts";

/** Who speaks: the claims of the token, whose `role` is a role of the database. */
export interface Caller {
  role: string;
  claims: JWTPayload;
}

/** A broadcast that is kept, as replays need it. */
export interface KeptMessage {
  id: string;
  event: string;
  payload: unknown;
}

const typeRow = z.object({
  oid: z.number(),
  short: z.string(),
  whole: z.string(),
});

const keptRow = z.object({
  id: z.uuid(),
  event: z.string(),
  payload: z.unknown(),
});

class RolledBack extends Error {}

/** Partitions exist from yesterday to this many days ahead. */
const DAYS_AHEAD = 3;
const MOST_REPLAYED = 25;

/** Answers questions of access on connections of the superuser, as the hosted server does. */
export class RealtimeAccess {
  readonly #sql: postgres.Sql;

  constructor(sql: postgres.Sql) {
    this.#sql = sql;
  }

  /** Makes the partitions of `realtime.messages` that the next days need, and drops those of more than three days ago. */
  async keepPartitions(): Promise<void> {
    await this.#sql.unsafe(`
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

  /** Whether the policies let the caller receive the broadcasts of a topic. A policy that fails is a no. */
  async mayRead(topic: string, caller: Caller): Promise<boolean> {
    const id = crypto.randomUUID();
    return await this.#probe(async (sql) => {
      await sql`insert into realtime.messages (id, topic, extension) values (${id}, ${topic}, 'broadcast')`;
      await takeRole(sql, topic, caller);
      const seen = await sql`select id from realtime.messages where id = ${id}`;
      return seen.length === 1;
    });
  }

  /** Whether the policies let the caller send broadcasts to a topic. A policy that fails is a no. */
  async mayWrite(topic: string, caller: Caller): Promise<boolean> {
    return await this.#probe(async (sql) => {
      await takeRole(sql, topic, caller);
      await sql`insert into realtime.messages (topic, extension) values (${topic}, 'broadcast')`;
      return true;
    });
  }

  /** Private broadcasts of a topic since a time (milliseconds of the epoch), the newest 25 at most, oldest first. */
  async kept(
    topic: string,
    since: number,
    limit: number,
  ): Promise<KeptMessage[]> {
    const rows = await this.#sql`
      select id, event, payload from realtime.messages
      where topic = ${topic} and private and extension = 'broadcast' and event is not null
        and inserted_at >= to_timestamp(${since}::float8 / 1000) at time zone 'UTC'
      order by inserted_at desc
      limit ${Math.max(1, Math.min(limit, MOST_REPLAYED))}`;
    return z.array(keptRow).parse(rows).reverse();
  }

  /** The columns of a row that the caller may read; undefined when the policies hide the row. */
  async readableColumns(
    table: { schema: string; name: string },
    key: Row,
    caller: Caller,
  ): Promise<Set<string> | undefined> {
    const sql = this.#sql;
    const columns = await sql`
      select a.attname as name
      from pg_catalog.pg_attribute a
      where a.attrelid = format('%I.%I', ${table.schema}::text, ${table.name}::text)::regclass
        and a.attnum > 0 and not a.attisdropped
        and has_column_privilege(${caller.role}, a.attrelid, a.attnum, 'select')`;
    const names = z.array(z.object({ name: z.string() })).parse(columns)
      .map(({ name }) => name);
    const where = Object.entries(key);
    if (names.length === 0 || where.length === 0) return undefined;
    const isVisible = await this.#probe(async (tx) => {
      await takeRole(tx, "", caller);
      const conditions = where.map(([name], index) =>
        `${identifier(name)}::text = $${index + 1}`
      );
      const found = await tx.unsafe(
        `select 1 from ${identifier(table.schema)}.${
          identifier(table.name)
        } where ${conditions.join(" and ")}`,
        where.map(([, value]) => String(value)),
      );
      return found.length > 0;
    });
    return isVisible ? new Set(names) : undefined;
  }

  /** Columns as messages name them: with the short name of their type. */
  async describe(
    columns: readonly Column[],
  ): Promise<{ name: string; type: string }[]> {
    const types = await this.#typesOf(columns);
    return columns.map(({ name, typeId }) => ({
      name,
      type: types.get(typeId)?.short ?? "unknown",
    }));
  }

  /** A row as the JSON that Postgres itself makes of it. Columns that the row lacks are left out. */
  async asJson(columns: readonly Column[], row: Row): Promise<unknown> {
    const present = columns.filter(({ name }) => row[name] !== undefined);
    if (present.length === 0) return {};
    const types = await this.#typesOf(present);
    const parts = present.map(({ typeId }, index) =>
      `$${2 * index + 1}::text, $${2 * index + 2}::text::${
        types.get(typeId)?.whole ?? "text"
      }`
    );
    const [result] = await this.#sql.unsafe(
      `select jsonb_build_object(${parts.join(", ")}) as json`,
      present.flatMap(({ name }) => [name, row[name] ?? null]),
    );
    return result?.["json"];
  }

  async #typesOf(
    columns: readonly Column[],
  ): Promise<Map<number, z.output<typeof typeRow>>> {
    const rows = await this.#sql`
      select oid::int as oid, typname as short, oid::regtype::text as whole
      from pg_catalog.pg_type where oid = any (${
      columns.map(({ typeId }) => typeId)
    }::int[]::oid[])`;
    return new Map(
      z.array(typeRow).parse(rows).map((type) => [type.oid, type]),
    );
  }

  async #probe(
    ask: (sql: postgres.TransactionSql) => Promise<boolean>,
  ): Promise<boolean> {
    let answer = false;
    try {
      await this.#sql.begin(async (sql) => {
        answer = await ask(sql);
        throw new RolledBack();
      });
    } catch (error) {
      if (error instanceof RolledBack) return answer;
      if (error instanceof postgres.PostgresError) return false;
      throw error;
    }
    return answer;
  }
}

async function takeRole(
  sql: postgres.TransactionSql,
  topic: string,
  { role, claims }: Caller,
): Promise<void> {
  await sql`
    select set_config('role', ${role}, true),
      set_config('realtime.topic', ${topic}, true),
      set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
      set_config('request.jwt.claim.sub', ${claims.sub ?? ""}, true),
      set_config('request.jwt.claim.role', ${role}, true),
      set_config('request.headers', '{}', true)`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
