/**
 * `POST /object/list-v2/<bucket>`: pages of objects with a cursor, with or without folders (storage
 * `src/storage/object.ts`, `listObjectsV2`). The embedded Storage has no such route.
 */
import { decodeBase64, encodeBase64 } from "@std/encoding";
import { CompiledQuery } from "kysely";
import type { JWTPayload } from "jose";
import { z } from "zod";
import type { RestConnection } from "../lite/connection.ts";
import { StorageRefusal } from "./upload.ts";

const sortColumn = z.enum(["name", "updated_at", "created_at"]);
const sortOrder = z.enum(["asc", "desc"]);

const requestSchema = z.object({
  prefix: z.string().default(""),
  limit: z.number().int().min(1).default(1000),
  cursor: z.string().optional(),
  with_delimiter: z.boolean().default(false),
  sortBy: z.object({ column: sortColumn, order: sortOrder.default("asc") })
    .default({ column: "name", order: "asc" }),
});

/** The last entry of a page, and its sort order. */
const cursorSchema = z.object({
  after: z.string(),
  sortedAfter: z.string().nullable(),
  column: sortColumn,
  order: sortOrder,
});
type Cursor = z.output<typeof cursorSchema>;

const MAX_PAGE_SIZE = 1000;

const entrySchema = z.object({
  key: z.string(),
  name: z.string(),
  id: z.uuid().nullable(),
  updated_at: z.string().nullable(),
  created_at: z.string().nullable(),
  last_accessed_at: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
});
type Entry = z.output<typeof entrySchema>;

/** $1 bucket, $2 prefix, $3 limit, $4 name of the last entry, $5 its time. Folders have no time and sort as oldest. */
function statement(
  { column, order }: Pick<Cursor, "column" | "order">,
  options: {
    folders: boolean;
    isContinued: boolean;
  },
): string {
  const after = order === "asc" ? ">" : "<";
  const time = column === "name" ? "''" : `coalesce(${column}::text, '')`;
  const entries = options.folders
    ? `select split_part(rest, '/', 1) as key, $2::text || split_part(rest, '/', 1) || '/' as name, null::uuid as id,
         null::timestamptz as updated_at, null::timestamptz as created_at, null::timestamptz as last_accessed_at,
         null::jsonb as metadata
       from found where position('/' in rest) > 0 group by 1, 2
       union all
       select rest, name, id, updated_at, created_at, last_accessed_at, metadata
       from found where position('/' in rest) = 0`
    : `select rest as key, name, id, updated_at, created_at, last_accessed_at, metadata from found`;
  return `
    with found as (
      select o.*, substr(o.name, length($2::text) + 1) as rest
      from storage.objects o
      where o.bucket_id = $1 and starts_with(o.name, $2::text)
    ), entries as (${entries}), sorted as (
      select *, ${time} collate "C" as sorted from entries
    )
    select * from sorted
    ${
    options.isContinued
      ? `where (sorted, name collate "C") ${after} ($5::text collate "C", $4::text collate "C")`
      : "where $4::text is null and $5::text is null"
  }
    order by sorted ${order}, name collate "C" ${order}
    limit $3`;
}

function readCursor(cursor: string): Cursor {
  try {
    return cursorSchema.parse(
      JSON.parse(new TextDecoder().decode(decodeBase64(cursor))),
    );
  } catch {
    throw new StorageRefusal(
      "400",
      "InvalidParameter",
      "Invalid Parameter cursor",
    );
  }
}

const rowSchema = entrySchema.extend({ sorted: z.string() });

/**
 * One page of the objects of a bucket that the caller may select.
 *
 * @throws {StorageRefusal} 400 for an invalid body or cursor.
 */
export async function listObjectsV2(
  connection: RestConnection,
  caller: { role: string; claims: JWTPayload },
  bucket: string,
  body: unknown,
): Promise<Response> {
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    throw new StorageRefusal("400", "Error", z.prettifyError(parsed.error));
  }
  const { prefix, with_delimiter, sortBy } = parsed.data;
  const limit = Math.min(parsed.data.limit, MAX_PAGE_SIZE);
  const cursor = parsed.data.cursor === undefined
    ? undefined
    : readCursor(parsed.data.cursor);
  const sorting = cursor ?? sortBy;
  const text = statement(sorting, {
    folders: with_delimiter,
    isContinued: cursor !== undefined,
  });
  const found = await connection.withContext({
    auth: { role: caller.role, jwt: caller.claims },
    storage: { operation: "storage.object.list_v2" },
  }, async (db) =>
    z.array(rowSchema).parse(
      (await db.executeQuery(CompiledQuery.raw(text, [
        bucket,
        prefix,
        limit + 1,
        cursor?.after ?? null,
        cursor?.sortedAfter ?? null,
      ]))).rows,
    ));
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const hasNext = found.length > limit && last !== undefined;
  const entry = (
    { key, sorted: _, ...rest }: z.output<typeof rowSchema>,
  ): Omit<Entry, "key"> & { key?: string } =>
    with_delimiter ? { key, ...rest } : rest;
  return Response.json({
    hasNext,
    ...(hasNext
      ? {
        nextCursor: encodeBase64(JSON.stringify(
          {
            after: last.name,
            sortedAfter: last.sorted,
            column: sorting.column,
            order: sorting.order,
          } satisfies Cursor,
        )),
        nextCursorKey: last.name,
      }
      : {}),
    folders: page.filter(({ id }) => id === null).map(entry),
    objects: page.filter(({ id }) => id !== null).map(entry),
  });
}
