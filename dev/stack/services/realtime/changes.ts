/** `postgres_changes`: rows of published tables that a client subscribes to, under the policies of their tables. */
import { z } from "zod";
import type { Caller } from "../requests/caller.ts";
import type { RealtimeAccess, TableRights } from "./access.ts";
import { type Column, pick, type Row, type WrittenRow } from "./pgoutput.ts";

/** A client's request at the join; it is echoed unchanged. */
export const changeRequestSchema = z.looseObject({
  event: z.enum(["*", "INSERT", "UPDATE", "DELETE"]),
  schema: z.string(),
  table: z.string().optional(),
  filter: z.string().optional(),
});
export type ChangeRequest = z.output<typeof changeRequestSchema>;

/** A subscription of a joined channel. */
export interface ChangeSubscription {
  id: number;
  request: ChangeRequest;
}

interface Filter {
  column: string;
  value: string;
}

/** Parses `column=eq.value`; undefined for any other operator, which the embedded server does not support. */
export function readFilter(filter: string): Filter | undefined {
  const [, column, value] = /^([^=]+)=eq\.(.*)$/s.exec(filter) ?? [];
  return column === undefined || value === undefined
    ? undefined
    : { column, value };
}

/**
 * Whether a change matches a subscription. The filter is compared with the new row, for a DELETE with the old one as far
 * as the replica identity includes it.
 */
export function matches(
  { request }: ChangeSubscription,
  change: WrittenRow,
): boolean {
  if (request.event !== "*" && request.event !== change.type) return false;
  if (request.schema !== "*" && request.schema !== change.schema) return false;
  const isAnyTable = request.table === undefined || request.table === "*";
  if (!isAnyTable && request.table !== change.table) return false;
  if (request.filter === undefined) return true;
  const filter = readFilter(request.filter);
  const row = change.record ?? change.old;
  return filter !== undefined && row?.[filter.column] === filter.value;
}

/**
 * The part of a change that a caller may see, as the `data` of the message; undefined when the policies hide the row. A
 * deleted row cannot be queried any more: every subscriber gets its primary key, and without row level security all
 * that the replica identity includes. A row that has no primary key, or one that the caller may not read, is an error
 * without content. All of this is as on a hosted project (`realtime.apply_rls`).
 */
export async function visibleData(
  access: RealtimeAccess,
  change: WrittenRow,
  caller: Caller,
): Promise<Record<string, unknown> | undefined> {
  const { schema, table, type } = change;
  const place = { schema, name: table };
  const rights = await access.rightsOn(place, caller.role);
  const common = {
    schema,
    table,
    commit_timestamp: change.committedAt.toISOString(),
    type,
  };
  const record = change.record ?? {};
  if (type !== "DELETE") {
    const refusal = refusalBy(rights);
    if (refusal !== undefined) {
      return {
        ...common,
        columns: [],
        record: {},
        old_record: {},
        errors: [refusal],
      };
    }
    const isVisible = !rights.isRowSecurityEnabled ||
      await access.mayReadRow(place, rights.primaryKey, record, caller);
    if (!isVisible) return undefined;
  }
  const visible = change.columns.filter(({ name }) =>
    rights.readable.has(name)
  );
  const whole = {
    ...common,
    columns: await access.describe(visible),
    errors: null,
  };
  const json = (columns: readonly Column[], row: Row) =>
    access.asJson(columns, row);
  if (type === "DELETE") {
    const shown = rights.isRowSecurityEnabled
      ? visible.filter(({ name }) => rights.primaryKey.has(name))
      : visible;
    return { ...whole, old_record: await json(shown, change.old ?? {}) };
  }
  if (type === "INSERT") {
    return { ...whole, record: await json(visible, record) };
  }
  const identity = change.columns.filter(({ isIdentity }) => isIdentity);
  return {
    ...whole,
    record: await json(visible, record),
    old_record: await json(visible, change.old ?? pick(record, identity)),
  };
}

/** The hosted server's words for a row that cannot be checked. */
function refusalBy(
  { primaryKey, readable }: TableRights,
): string | undefined {
  if (primaryKey.size === 0) return "Error 400: Bad Request, no primary key";
  return primaryKey.isSubsetOf(readable)
    ? undefined
    : "Error 401: Unauthorized";
}
