/** `postgres_changes`: rows of published tables that a client subscribes to, under the policies of their tables. */
import { z } from "zod";
import type { Caller } from "../requests/caller.ts";
import type { RealtimeAccess } from "./access.ts";
import type { Column, Row, WrittenRow } from "./pgoutput.ts";

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

/** Whether a change matches a subscription. The filter is compared with the new row, for a DELETE with the old key. */
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
  return filter !== undefined && row !== null &&
    String(row[filter.column]) === filter.value;
}

/**
 * The part of a change that a caller may see, as the `data` of the message; undefined when there is none. A deleted row
 * cannot be queried any more, so every subscriber sees its key, as on a hosted project.
 */
export async function visibleData(
  access: RealtimeAccess,
  change: WrittenRow,
  caller: Caller,
): Promise<Record<string, unknown> | undefined> {
  const { schema, table, type } = change;
  const keys = change.columns.filter(({ isKey }) => isKey);
  const visible = type === "DELETE" ? keys : await readable(
    access,
    change,
    keys,
    caller,
  );
  if (visible === undefined) return undefined;
  const common = {
    schema,
    table,
    commit_timestamp: change.committedAt.toISOString(),
    type,
    columns: await access.describe(visible),
    errors: null,
  };
  const json = (row: Row) => access.asJson(visible, row);
  const old = change.old ?? pick(change.record ?? {}, keys);
  if (type === "DELETE") return { ...common, old_record: await json(old) };
  const record = await json(change.record ?? {});
  return type === "INSERT"
    ? { ...common, record }
    : { ...common, record, old_record: await json(old) };
}

async function readable(
  access: RealtimeAccess,
  { schema, table, columns, record }: WrittenRow,
  keys: readonly Column[],
  caller: Caller,
): Promise<readonly Column[] | undefined> {
  const names = await access.readableColumns(
    { schema, name: table },
    pick(record ?? {}, keys),
    caller,
  );
  return names && columns.filter(({ name }) => names.has(name));
}

function pick(row: Row, columns: readonly Column[]): Row {
  return Object.fromEntries(
    columns.map(({ name }) => [name, row[name] ?? null]),
  );
}
