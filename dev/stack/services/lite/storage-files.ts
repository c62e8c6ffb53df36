/**
 * The content of Storage objects, as files in one flat folder. A file's name is a hash of bucket and object name, so no
 * object name can reach outside the folder.
 */
import type { App } from "@supabase/lite";
import { createHash } from "node:crypto";
import { join } from "@std/path";
import { z } from "zod";

type StorageAdapter = NonNullable<App["_storageAdapter"]>;
type ObjectMetadata = Awaited<ReturnType<StorageAdapter["headObject"]>>;
type Body = Parameters<StorageAdapter["uploadObject"]>[3];

const sidecar = z.object({
  file: z.string(),
  mimetype: z.string(),
  cacheControl: z.string(),
  size: z.number().int(),
  eTag: z.string(),
  lastModified: z.iso.datetime(),
});
type Sidecar = z.infer<typeof sidecar>;

function metadataOf(entry: Sidecar): ObjectMetadata {
  return {
    cacheControl: entry.cacheControl,
    contentLength: entry.size,
    size: entry.size,
    mimetype: entry.mimetype,
    lastModified: new Date(entry.lastModified),
    eTag: entry.eTag,
    httpStatusCode: 200,
  };
}

async function* chunks(
  body: Body,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  if (body instanceof Uint8Array) {
    yield new Uint8Array(body);
    return;
  }
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield new Uint8Array(z.instanceof(Uint8Array).parse(value));
    }
  } finally {
    reader.releaseLock();
  }
}

/** A Storage adapter for `@supabase/lite` that keeps objects in the folder `dir`, which must exist. */
export class FileStorage implements StorageAdapter {
  readonly driver: string;

  constructor(readonly dir: string) {
    this.driver = dir;
  }

  #name(bucket: string, key: string): string {
    return createHash("sha256").update(`${bucket}\0${key}`).digest("hex");
  }

  async #entry(bucket: string, key: string): Promise<Sidecar | undefined> {
    const path = join(this.driver, `${this.#name(bucket, key)}.json`);
    try {
      return sidecar.parse(JSON.parse(await Deno.readTextFile(path)));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Replacing the sidecar file atomically makes the new content current. */
  async #publish(bucket: string, key: string, entry: Sidecar): Promise<void> {
    const before = await this.#entry(bucket, key);
    const path = join(this.driver, `${this.#name(bucket, key)}.json`);
    const draft = `${path}.${crypto.randomUUID()}`;
    await Deno.writeTextFile(draft, JSON.stringify(entry));
    await Deno.rename(draft, path);
    if (before && before.file !== entry.file) await this.#drop(before.file);
  }

  async #drop(file: string): Promise<void> {
    try {
      await Deno.remove(join(this.driver, file));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async getObject(bucket: string, key: string) {
    const entry = await this.#entry(bucket, key);
    if (entry === undefined) return missing();
    const file = await Deno.open(join(this.driver, entry.file));
    return {
      metadata: metadataOf(entry),
      httpStatusCode: 200,
      body: file.readable,
    };
  }

  async uploadObject(
    bucket: string,
    key: string,
    _version: string | undefined,
    body: Body,
    contentType: string,
    cacheControl: string,
  ): Promise<ObjectMetadata> {
    const file = `${this.#name(bucket, key)}.${crypto.randomUUID()}`;
    const hash = createHash("md5");
    let size = 0;
    try {
      using target = await Deno.open(join(this.driver, file), {
        createNew: true,
        write: true,
      });
      for await (const chunk of chunks(body)) {
        hash.update(chunk);
        size += chunk.byteLength;
        for (let at = 0; at < chunk.byteLength;) {
          at += await target.write(chunk.subarray(at));
        }
      }
    } catch (error) {
      await this.#drop(file);
      throw error;
    }
    const entry: Sidecar = {
      file,
      mimetype: contentType,
      cacheControl,
      size,
      eTag: `"${hash.digest("hex")}"`,
      lastModified: new Date().toISOString(),
    };
    await this.#publish(bucket, key, entry);
    return metadataOf(entry);
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    const entry = await this.#entry(bucket, key);
    if (entry === undefined) return;
    await this.#drop(`${this.#name(bucket, key)}.json`);
    await this.#drop(entry.file);
  }

  async deleteObjects(bucket: string, keys: string[]): Promise<void> {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(
    sourceBucket: string,
    source: string,
    _version: string | undefined,
    bucket: string,
    key: string,
  ) {
    const entry = await this.#entry(sourceBucket, source);
    if (entry === undefined) {
      throw new Error("the file of the Storage object is missing");
    }
    const file = `${this.#name(bucket, key)}.${crypto.randomUUID()}`;
    await Deno.copyFile(
      join(this.driver, entry.file),
      join(this.driver, file),
    );
    const lastModified = new Date();
    await this.#publish(bucket, key, {
      ...entry,
      file,
      lastModified: lastModified.toISOString(),
    });
    return { httpStatusCode: 200, eTag: entry.eTag, lastModified };
  }

  async headObject(bucket: string, key: string): Promise<ObjectMetadata> {
    const entry = await this.#entry(bucket, key);
    return entry === undefined ? missing().metadata : metadataOf(entry);
  }

  privateAssetUrl(): Promise<string> {
    return Promise.reject(
      new Error("images are not transformed by the embedded stack"),
    );
  }
}

function missing() {
  const metadata: ObjectMetadata = {
    cacheControl: "no-cache",
    contentLength: 0,
    size: 0,
    mimetype: "application/octet-stream",
    eTag: "",
    httpStatusCode: 404,
  };
  return { metadata, httpStatusCode: 404 };
}
