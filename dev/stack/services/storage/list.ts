/** `POST /object/list/<bucket>`: one level of a bucket as folders and files, which the embedded Storage lacks. */
import { CompiledQuery } from "kysely";
import { z } from "zod";
import type { JWTPayload } from "jose";
import type { RestConnection } from "../lite/connection.ts";

const requestSchema = z.object({
  prefix: z.string().default(""),
  limit: z.number().int().min(1).max(1000).default(100),
  offset: z.number().int().min(0).default(0),
  search: z.string().default(""),
  sortBy: z.object({
    column: z.enum(["name", "updated_at", "created_at", "last_accessed_at"])
      .default("name"),
    order: z.enum(["asc", "desc"]).default("asc"),
  }).prefault({}),
});

const query = (column: string, order: string) => `
  with matching as (
    select o.path_tokens[$2::int] as entry,
      cardinality(o.path_tokens) > $2::int as is_folder,
      o.id, o.created_at, o.updated_at, o.last_accessed_at, o.metadata
    from storage.objects o
    where o.bucket_id = $1 and starts_with(lower(o.name), lower($3))
  ), entries as (
    select distinct entry as name, null::uuid as id, null::timestamptz as updated_at,
      null::timestamptz as created_at, null::timestamptz as last_accessed_at,
      null::jsonb as metadata
    from matching where is_folder
    union all
    select entry, id, updated_at, created_at, last_accessed_at, metadata
    from matching where not is_folder
  )
  select * from entries
  where name <> ''
  order by ${column} ${order} nulls first, name
  limit $4 offset $5`;

/** Lists the objects of a folder that the caller may select. Answers 400 for an invalid body. */
export async function listObjects(
  connection: RestConnection,
  caller: { role: string; claims: JWTPayload },
  bucket: string,
  body: unknown,
): Promise<Response> {
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    return Response.json({
      statusCode: "400",
      error: "Error",
      message: z.prettifyError(parsed.error),
    }, { status: 400 });
  }
  const { prefix, search, limit, offset, sortBy } = parsed.data;
  const folder = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  const rows = await connection.withContext(
    {
      auth: { role: caller.role, jwt: caller.claims },
      storage: { operation: "storage.object.list" },
    },
    async (db) =>
      (await db.executeQuery(
        CompiledQuery.raw(query(sortBy.column, sortBy.order), [
          bucket,
          folder.split("/").length,
          folder + search,
          limit,
          offset,
        ]),
      )).rows,
  );
  return Response.json(rows);
}
