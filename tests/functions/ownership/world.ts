/**
 * A snapshot of all rows of the database, taken when the fixture is complete. It finds later changes, and reverts them.
 * The superuser reads and writes it, so that no policy hides anything.
 */
import type postgres from "postgres";

/** A change of a row. `key` is its primary key as JSON text. */
export interface Change {
  /** Including its schema. */
  relation: string;
  key: string;
  change: "added" | "changed" | "removed";
  /** The row now or, if it was removed, before. */
  row: Record<string, unknown>;
}

interface WatchedTable {
  relation: string;
  key: string[];
  /** Those that can be written. */
  columns: string[];
}

const SNAPSHOT = "ownership_snapshot";

/** Tables of the platform that are also compared, because a write to them affects a user. */
const WATCHED = "('public', 'private')";
const ALSO_WATCHED = "('storage.objects', 'auth.users')";
/** Counters that name no user: every change of any job adds to them. */
const UNWATCHED =
  "('private.ai_counter_queue', 'private.ai_counters', 'private.ai_schedule_runs')";
/** Reading an object may update these times. */
const UNWATCHED_COLUMN = "last_accessed_at";

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function copyOf(relation: string): string {
  return `${SNAPSHOT}.${quoted(relation)}`;
}

/** The rows of a database at one moment. */
export class World {
  readonly #sql: postgres.Sql;
  readonly #tables: WatchedTable[];
  readonly #changesQuery: string;

  private constructor(sql: postgres.Sql, tables: WatchedTable[]) {
    this.#sql = sql;
    this.#tables = tables;
    this.#changesQuery = tables.map((table) => {
      const side = (from: string) =>
        `(select jsonb_build_array(${
          table.key.map((column) => `x.${quoted(column)}`).join(", ")
        })::text as key, to_jsonb(x) - '${UNWATCHED_COLUMN}' as row from ${from} as x)`;
      return `
        select '${table.relation}' as relation, coalesce(now.key, was.key) as key,
          case when was.key is null then 'added' when now.key is null then 'removed' else 'changed' end as change,
          coalesce(now.row, was.row) as row
        from ${side(table.relation)} as now full join ${
        side(copyOf(table.relation))
      } as was using (key)
        where now.row is distinct from was.row`;
    }).join(" union all ");
  }

  /** Takes the snapshot. `sql` is one connection as the superuser. */
  static async remember(sql: postgres.Sql): Promise<World> {
    const tables = await sql.unsafe<WatchedTable[]>(`
      select
        c.oid::regclass::text as relation,
        (
          select jsonb_agg(a.attname order by k.position)
          from pg_index as i
          cross join unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
          join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
          where i.indrelid = c.oid and i.indisprimary
        ) as key,
        (
          select jsonb_agg(a.attname order by a.attnum) from pg_attribute as a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        ) as columns
      from pg_class as c
      where c.relkind in ('r', 'p')
        and (c.relnamespace::regnamespace::text in ${WATCHED} or c.oid::regclass::text in ${ALSO_WATCHED})
        and c.oid::regclass::text not in ${UNWATCHED}
      order by 1`);
    await sql.unsafe(`drop schema if exists ${SNAPSHOT} cascade`);
    await sql.unsafe(`create schema ${SNAPSHOT}`);
    for (const { relation } of tables) {
      await sql.unsafe(
        `create table ${copyOf(relation)} as table ${relation}`,
      );
    }
    return new World(sql, [...tables]);
  }

  /** The changes since the snapshot. */
  async changes(): Promise<Change[]> {
    return [...await this.#sql.unsafe<Change[]>(this.#changesQuery)];
  }

  /** Restores the rows of the changed tables, without triggers or checks. */
  async undo(changes: Change[]): Promise<void> {
    if (changes.length === 0) return;
    const touched = new Set(changes.map(({ relation }) => relation));
    const statements = this.#tables.filter(({ relation }) =>
      touched.has(relation)
    ).map(({ relation, columns }) => {
      const list = columns.map(quoted).join(", ");
      return `delete from ${relation}; insert into ${relation} (${list}) overriding system value select ${list} from ${
        copyOf(relation)
      };`;
    });
    await this.#sql.unsafe(
      `begin; set local session_replication_role = replica; set local storage.allow_delete_query = 'true'; ${
        statements.join(" ")
      } commit`,
    );
  }
}
