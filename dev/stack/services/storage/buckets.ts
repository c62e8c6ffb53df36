/** Creates and changes buckets with the validation of hosted Storage (`src/storage/limits.ts`). */
import { sql } from "kysely";
import { z } from "zod";
import type { DataServices } from "../lite/data-services.ts";
import { parseJson } from "./responses.ts";
import { StorageRefusal, tooLarge } from "./upload.ts";

const changeSchema = z.looseObject({
  file_size_limit: z.union([z.string(), z.number()]).nullish(),
  allowed_mime_types: z.array(z.string()).nullish(),
});

const unitBytes: Readonly<Record<string, number>> = {
  gb: 1e9,
  mb: 1e6,
  kb: 1e3,
  b: 1,
};

/** `"1.5MB"` is 1,500,000; a number is bytes. */
function sizeInBytes(given: string | number, fileSizeLimit: number): number {
  const [, amount, unit] =
    /^([0-9]+(?:\.[0-9]+)?)(gb|mb|kb|b)$/i.exec(String(given)) ?? [];
  const bytes = typeof given === "number"
    ? given
    : Number(amount) * (unitBytes[unit?.toLowerCase() ?? ""] ?? NaN);
  if (Number.isNaN(bytes)) {
    throw new StorageRefusal(
      "400",
      "InvalidRequest",
      "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B",
    );
  }
  if (bytes > fileSizeLimit) throw tooLarge();
  return bytes;
}

/**
 * Creates or changes a bucket. The embedded Storage accepts sizes as numbers only, and no null for "no limit".
 *
 * @throws {StorageRefusal} 400 for an invalid size, 413 for a limit above that of the project.
 */
export async function changeBucket(
  deps: { services: DataServices; fileSizeLimit: number },
  request: Request,
): Promise<Response> {
  const text = await request.text();
  const headers = new Headers(request.headers);
  headers.delete("content-length");
  const send = (body: string) =>
    deps.services.fetch(
      new Request(request.url, { method: request.method, headers, body }),
    );
  const parsed = changeSchema.safeParse(parseJson(text));
  if (!parsed.success) return await send(text);
  const { file_size_limit, allowed_mime_types, ...rest } = parsed.data;
  const response = await send(JSON.stringify({
    ...rest,
    ...(file_size_limit === null || file_size_limit === undefined ? {} : {
      file_size_limit: sizeInBytes(file_size_limit, deps.fileSizeLimit),
    }),
    ...(allowed_mime_types ? { allowed_mime_types } : {}),
  }));
  const id = /^\/storage\/v1\/bucket\/([^/]+)$/.exec(
    new URL(request.url).pathname,
  )?.[1];
  if (response.ok && id !== undefined) {
    await sql`
      update storage.buckets set
        file_size_limit = case when ${
      file_size_limit === null
    } then null else file_size_limit end,
        allowed_mime_types = case when ${
      allowed_mime_types === null
    } then null else allowed_mime_types end
      where id = ${decodeURIComponent(id)}`
      .execute(deps.services.connection.kysely);
  }
  return response;
}
