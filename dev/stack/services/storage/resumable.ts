/**
 * `/upload/resumable`: TUS 1.0.0 with the server library and the hooks of hosted Storage (storage
 * `src/http/routes/tus`). The bytes are kept in a folder until the last one has arrived; then the file is uploaded like
 * any other, with the rights of the caller.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";
import { join } from "@std/path";
import { CompiledQuery, sql } from "kysely";
import postgres from "postgres";
import { z } from "zod";
import type { DataServices } from "../lite/data-services.ts";
import type { Caller } from "../requests/caller.ts";
import { checkSignature } from "./signature.ts";
import { refuseBadName } from "./target.ts";
import { StorageRefusal } from "./upload.ts";
import type { TokenExchange } from "../../keys/tokens.ts";

const PATH = "/storage/v1/upload/resumable";
const SIGNED_PATH = `${PATH}/sign`;

/** The resumable uploads of a stack. */
export interface ResumableUploads {
  /** Handles a request under `/storage/v1/upload/resumable`. */
  answer(request: Request, caller: Caller): Promise<Response>;
  /**
   * Handles a request under `/storage/v1/upload/resumable/sign`, whose `x-signature` is the token of a signed upload.
   */
  answerSigned(request: Request): Promise<Response>;
}

const bucketSchema = z.object({
  file_size_limit: z.coerce.number().nullable(),
  allowed_mime_types: z.array(z.string()).nullable(),
});

/** A response for the TUS server to send. */
class TusRefusal extends Error {
  constructor(readonly status_code: number, readonly body: string) {
    super(body);
  }
}

/** Whether the path is that of a resumable upload. */
export function isResumable(path: string): boolean {
  return path === PATH || path.startsWith(`${PATH}/`);
}

/** Whether the upload is authorized by a signature. */
export function isSignedResumable(path: string): boolean {
  return path === SIGNED_PATH || path.startsWith(`${SIGNED_PATH}/`);
}

/** Creates the resumable uploads of a stack, in a subfolder of the files. */
export async function createResumableUploads(
  options: {
    services: DataServices;
    tokens: TokenExchange;
    fileSizeLimit: number;
  },
): Promise<ResumableUploads> {
  const { services, tokens, fileSizeLimit } = options;
  const directory = join(services.files.driver, "resumable");
  await Deno.mkdir(directory, { recursive: true });
  const datastore = new FileStore({ directory });
  const requests = new AsyncLocalStorage<
    { request: Request; caller: Caller | undefined }
  >();
  const current = () => {
    const store = requests.getStore();
    if (store === undefined) throw new TypeError("not within a request");
    return store;
  };

  /** Signed uploads may be written until the token expires; each request carries it. */
  async function requireSignature(
    bucket: string,
    name: string,
  ): Promise<void> {
    const token = current().request.headers.get("x-signature");
    if (token === null) {
      throw new TusRefusal(400, "Missing x-signature header");
    }
    try {
      await checkSignature(tokens, token, { bucket, name }, "upload");
    } catch (error) {
      if (!(error instanceof StorageRefusal)) throw error;
      throw new TusRefusal(400, error.message);
    }
  }

  /** Like hosted Storage, checks before the first byte whether the caller may create the object. */
  async function mayCreate(bucket: string, name: string): Promise<void> {
    const { caller, request } = current();
    if (caller === undefined) return await requireSignature(bucket, name);
    const owner = z.uuid().safeParse(caller.claims.sub).data ?? null;
    const isUpsert = request.headers.get("x-upsert") === "true";
    try {
      await services.connection.withContext(
        {
          auth: { role: caller.role, jwt: caller.claims },
          storage: { operation: "storage.tus.upload.create" },
        },
        (db) =>
          db.executeQuery(CompiledQuery.raw(
            `insert into storage.objects (bucket_id, name, owner, owner_id, version)
             values ($1, $2, $3::uuid, $3::text, '1')
             ${
              isUpsert
                ? "on conflict (bucket_id, name) do update set version = '1'"
                : ""
            }`,
            [bucket, name, owner],
          )),
        { forceRollback: true },
      );
    } catch (error) {
      if (!(error instanceof postgres.PostgresError)) throw error;
      if (error.code === "42501") {
        throw new TusRefusal(403, "new row violates row-level security policy");
      }
      if (error.code === "23505") {
        throw new TusRefusal(409, "The resource already exists");
      }
      throw error;
    }
  }

  const server = new Server({
    path: PATH,
    datastore,
    disableTerminationForFinishedUploads: true,
    namingFunction: () => crypto.randomUUID(),
    generateUrl: (_request, { id }) =>
      new URL(
        `${current().caller === undefined ? SIGNED_PATH : PATH}/${id}`,
        current().request.url,
      ).href,
    async onIncomingRequest(request, id) {
      if (current().caller !== undefined || request.method === "POST") return;
      const { metadata } = await datastore.getUpload(id);
      await requireSignature(
        metadata?.["bucketName"] ?? "",
        metadata?.["objectName"] ?? "",
      );
    },
    async onUploadCreate(_request, upload) {
      const bucket = upload.metadata?.["bucketName"] ?? "";
      const name = upload.metadata?.["objectName"] ?? "";
      try {
        refuseBadName(name);
      } catch (error) {
        if (!(error instanceof StorageRefusal)) throw error;
        throw new TusRefusal(400, error.message);
      }
      const { rows } = await sql`
        select file_size_limit, allowed_mime_types from storage.buckets where id = ${bucket}`
        .execute(services.connection.kysely);
      const [row] = z.array(bucketSchema).parse(rows);
      if (row === undefined) throw new TusRefusal(404, "Bucket not found");
      const limit = Math.min(row.file_size_limit ?? Infinity, fileSizeLimit);
      if ((upload.size ?? 0) > limit) {
        throw new TusRefusal(413, "Maximum size exceeded");
      }
      const type = upload.metadata?.["contentType"];
      const [kind] = type?.split("/") ?? [];
      const allowed = row.allowed_mime_types;
      if (
        type && allowed && !allowed.includes(type) &&
        !allowed.includes(`${kind}/*`)
      ) {
        throw new TusRefusal(415, `mime type ${type} is not supported`);
      }
      await mayCreate(bucket, name);
      return {};
    },
    async onUploadFinish(_request, upload) {
      const { request, caller } = current();
      const bucket = upload.metadata?.["bucketName"] ?? "";
      const name = upload.metadata?.["objectName"] ?? "";
      const path = join(directory, upload.id);
      const age = upload.metadata?.["cacheControl"] ?? "";
      const headers = new Headers({
        "content-type": upload.metadata?.["contentType"] ??
          "application/octet-stream",
        "content-length": String(upload.size ?? 0),
        "cache-control": /^\d+$/.test(age) ? `max-age=${age}` : "no-cache",
      });
      const signature = caller === undefined
        ? request.headers.get("x-signature")
        : null;
      for (const header of ["apikey", "authorization", "x-upsert"]) {
        const value = request.headers.get(header);
        if (value !== null) headers.set(header, value);
      }
      const file = await Deno.open(path);
      const place = [bucket, ...name.split("/")].map(encodeURIComponent);
      const response = await services.fetch(
        signature === null
          ? new Request(
            new URL(`/storage/v1/object/${place.join("/")}`, request.url),
            { method: "POST", headers, body: file.readable },
          )
          : new Request(
            new URL(
              `/storage/v1/object/upload/sign/${
                place.join("/")
              }?token=${signature}`,
              request.url,
            ),
            { method: "PUT", headers, body: file.readable },
          ),
      );
      const text = await response.text();
      if (!response.ok) throw new TusRefusal(response.status, text);
      // The length stays known, as hosted. The content now belongs to the object, and a sparse file takes no space.
      await Deno.truncate(path, 0);
      await Deno.truncate(path, upload.size ?? 0);
      return { headers: { "Tus-Complete": "1" } };
    },
  });
  return {
    answer: (request, caller) =>
      requests.run({ request, caller }, () => server.handleWeb(request)),
    answerSigned: (request) =>
      requests.run(
        { request, caller: undefined },
        () => server.handleWeb(request),
      ),
  };
}
