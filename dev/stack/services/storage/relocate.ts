/**
 * `POST /object/move` and `POST /object/copy`, with the rules and responses of hosted Storage (storage
 * `src/storage/object.ts`, `src/storage/database/errors.ts`). The embedded Storage does not support another bucket as
 * the destination, returns no path after a copy, and has another status for unreadable objects.
 */
import { CompiledQuery, type Kysely, sql } from "kysely";
import type { JWTPayload } from "jose";
import postgres from "postgres";
import { z } from "zod";
import type { Caller } from "../requests/caller.ts";
import type { RestConnection } from "../lite/connection.ts";
import type { FileStorage } from "../lite/storage-files.ts";
import { refuseBadName } from "./target.ts";
import { noSuchKey, StorageRefusal } from "./upload.ts";

const requestSchema = z.object({
  bucketId: z.string().min(1),
  sourceKey: z.string().min(1),
  destinationBucket: z.string().min(1).optional(),
  destinationKey: z.string().min(1),
  copyMetadata: z.boolean().default(true),
  metadata: z.object({
    cacheControl: z.string().optional(),
    mimetype: z.string().optional(),
  }).default({}),
});
type Relocation = z.output<typeof requestSchema>;

const objectSchema = z.looseObject({
  id: z.uuid(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
  user_metadata: z.record(z.string(), z.unknown()).nullable(),
});

/** The parts of the stack that a move or copy uses, and the caller. */
export interface RelocationDeps {
  connection: RestConnection;
  files: FileStorage;
  caller: Caller;
}

/** Any kysely database; the statements are raw SQL. */
type Transaction = Kysely<Record<string, never>>;

async function rows(
  db: Pick<Transaction, "executeQuery">,
  text: string,
  values: unknown[],
): Promise<z.output<typeof objectSchema>[]> {
  const result = await db.executeQuery(CompiledQuery.raw(text, values));
  return z.array(objectSchema).parse(result.rows);
}

const refusals: Readonly<Record<string, [string, string, string]>> = {
  "42501": [
    "403",
    "Unauthorized",
    "new row violates row-level security policy",
  ],
  "23505": ["409", "Duplicate", "The resource already exists"],
  "23503": [
    "404",
    "RelatedResourceNotFound",
    "The parent resource is not found",
  ],
};

/** Runs statements with the caller's rights, and converts database errors as hosted Storage does. */
async function asCaller<T>(
  { connection, caller }: RelocationDeps,
  operation: string,
  run: (db: Pick<Transaction, "executeQuery">) => Promise<T>,
): Promise<T> {
  try {
    return await connection.withContext({
      auth: { role: caller.role, jwt: caller.claims },
      storage: { operation },
    }, run);
  } catch (error) {
    const refusal = error instanceof postgres.PostgresError
      ? refusals[error.code]
      : undefined;
    if (refusal === undefined) throw error;
    const [statusCode, code, message] = refusal;
    // Hosted Storage returns the message of a trigger that raises 42501.
    const isOfTrigger = error instanceof postgres.PostgresError &&
      error.code === "42501" && !error.message.includes("row-level security");
    throw new StorageRefusal(
      statusCode,
      code,
      isOfTrigger ? error.message : message,
    );
  }
}

function parse(body: unknown): Relocation {
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    throw new StorageRefusal("400", "Error", z.prettifyError(parsed.error));
  }
  refuseBadName(parsed.data.destinationKey);
  return parsed.data;
}

function ownerOf(claims: JWTPayload): string | null {
  return z.uuid().safeParse(claims.sub).data ?? null;
}

/**
 * Moves an object to another name or bucket, with the rights of the caller; an object that the caller cannot read or
 * change is not found. Content and row change atomically.
 *
 * @throws {StorageRefusal} 400 for an invalid body or name, 404 `not_found`, 403 when the policies forbid the
 *   destination, 409 when the destination exists.
 */
export async function moveObject(
  deps: RelocationDeps,
  body: unknown,
): Promise<Response> {
  const { bucketId, sourceKey, destinationKey, ...rest } = parse(body);
  const destination = rest.destinationBucket ?? bucketId;
  const moved = await asCaller(deps, "storage.object.move", async (db) => {
    const [source] = await rows(
      db,
      "select * from storage.objects where bucket_id = $1 and name = $2",
      [bucketId, sourceKey],
    );
    if (source === undefined) throw noSuchKey();
    if (bucketId === destination && sourceKey === destinationKey) return source;
    const [object] = await rows(
      db,
      `update storage.objects set bucket_id = $3, name = $4, version = gen_random_uuid()::text,
         owner = coalesce($5::uuid, owner), owner_id = coalesce($5::text, owner_id)
       where bucket_id = $1 and name = $2 returning *`,
      [
        bucketId,
        sourceKey,
        destination,
        destinationKey,
        ownerOf(deps.caller.claims),
      ],
    );
    if (object === undefined) throw noSuchKey();
    await deps.files.copyObject(
      bucketId,
      sourceKey,
      undefined,
      destination,
      destinationKey,
    );
    return object;
  });
  if (bucketId !== destination || sourceKey !== destinationKey) {
    await deps.files.deleteObject(bucketId, sourceKey);
  }
  return Response.json({
    message: "Successfully moved",
    Id: moved.id,
    Key: destinationKey,
  });
}

/**
 * Copies an object to another name or bucket, with the rights of the caller. With `overwrites` (the header `x-upsert`)
 * it replaces an object at the destination.
 *
 * @throws {StorageRefusal} as {@link moveObject}.
 */
export async function copyObject(
  deps: RelocationDeps,
  body: unknown,
  overwrites: boolean,
): Promise<Response> {
  const { bucketId, sourceKey, destinationKey, ...rest } = parse(body);
  const destination = rest.destinationBucket ?? bucketId;
  await asCaller(deps, "storage.object.copy", async (db) => {
    const [source] = await rows(
      db,
      "select * from storage.objects where bucket_id = $1 and name = $2",
      [bucketId, sourceKey],
    );
    if (source === undefined) throw noSuchKey();
    const metadata = rest.copyMetadata
      ? source.metadata
      : { ...source.metadata, ...rest.metadata };
    // Returns nothing, because a caller may have the right to insert into a bucket but not to select.
    await rows(
      db,
      `insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
       values ($1, $2, $3::uuid, $3::text, gen_random_uuid()::text, $4::text::jsonb, $5::text::jsonb)
       ${
        overwrites
          ? `on conflict (bucket_id, name) do update set owner = excluded.owner, owner_id = excluded.owner_id,
               version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata`
          : ""
      }`,
      [
        destination,
        destinationKey,
        ownerOf(deps.caller.claims),
        metadata === null ? null : JSON.stringify(metadata),
        rest.copyMetadata && source.user_metadata !== null
          ? JSON.stringify(source.user_metadata)
          : null,
      ],
    );
    await deps.files.copyObject(
      bucketId,
      sourceKey,
      undefined,
      destination,
      destinationKey,
    );
  });
  const copied = await sql`
    select * from storage.objects
    where bucket_id = ${destination} and name = ${destinationKey}`
    .execute(deps.connection.kysely);
  const [object] = z.array(objectSchema).parse(copied.rows);
  return Response.json({
    Id: object?.id,
    Key: `${destination}/${destinationKey}`,
    ...object,
  });
}
