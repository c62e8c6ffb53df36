/** Everything that supabase-js can do with an object. */
import type { Operation } from "./attempt.ts";
import type { ObjectRight } from "./declaration.ts";
import { keptObject } from "./fixture.ts";
import type { Actor } from "./people.ts";
import { OBJECT_BYTES } from "./stage.ts";

let copies = 0;

/** An unused name for an object. */
export function freshName(folder: string): string {
  return `${folder}/new-${++copies}.bin`;
}

/** The outcome of a request to Storage: `yes`, `no` for a refusal, or the error of a failure (5xx). */
export function answerOf(error: Error | null): string {
  if (error === null) return "yes";
  const status = "status" in error ? Number(error.status) : 0;
  return status >= 500 ? `error ${status}: ${error.message}` : "no";
}

/** One operation on the kept object of a folder. */
export interface Handling {
  what: string;
  operation: Operation;
  /** The right that it needs in the caller's folder; no right permits it in a foreign one. */
  right: ObjectRight | "create and read" | "create unreserved";
  /** Whether it writes. */
  isWrite: boolean;
  /** Whether the URL of a public object suffices for every caller with a key. */
  isByAddress?: boolean;
  run(
    bucket: ReturnType<Actor["client"]["storage"]["from"]>,
    client: Actor["client"],
  ): Promise<string>;
}

/** Every operation on the kept object of a folder. `own` is a folder that the caller may try to use. */
export function handlings(
  bucketName: string,
  folder: string,
  own: string,
  type: string,
): Handling[] {
  const kept = keptObject(folder);
  const named = (data: { name: string }[] | null, error: Error | null) =>
    error === null && data !== null
      ? data.map(({ name }) => name).sort().join(", ") || "nothing"
      : answerOf(error);
  const opens = async (url: string) => {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok ? "yes" : "no";
  };
  const write = { isWrite: true, operation: "write" } as const;
  const read = { isWrite: false, operation: "read", right: "read" } as const;
  return [
    {
      ...read,
      operation: "list",
      what: "list the folder",
      run: async (bucket) => {
        const { data, error } = await bucket.list(folder);
        return named(data, error) === "kept.bin" ? "yes" : named(data, error);
      },
    },
    {
      ...read,
      isByAddress: true,
      what: "download",
      run: async (bucket) => answerOf((await bucket.download(kept)).error),
    },
    {
      ...read,
      isByAddress: true,
      what: "ask about",
      run: async (bucket) => answerOf((await bucket.info(kept)).error),
    },
    {
      ...read,
      what: "sign and open the address of",
      run: async (bucket) => {
        const { data, error } = await bucket.createSignedUrl(kept, 60);
        return error ? answerOf(error) : await opens(data.signedUrl);
      },
    },
    {
      ...read,
      what: "sign and open the addresses of several, with",
      run: async (bucket) => {
        const { data, error } = await bucket.createSignedUrls([kept], 60);
        if (error) return answerOf(error);
        const [first] = data;
        return first?.signedUrl ? await opens(first.signedUrl) : "no";
      },
    },
    {
      ...write,
      right: "create",
      what: "upload next to",
      run: async (bucket) =>
        answerOf(
          (await bucket.upload(freshName(folder), OBJECT_BYTES, {
            contentType: type,
          })).error,
        ),
    },
    {
      ...write,
      right: "create",
      what: "get an address and upload next to",
      run: async (bucket, client) => {
        const path = freshName(folder);
        // A caller who may not insert the reservation gets no URL either.
        await client.from("pending_uploads").insert({
          object_path: `${bucketName}/${path}`,
          size_bytes: OBJECT_BYTES.byteLength,
        });
        const { data, error } = await bucket.createSignedUploadUrl(path);
        if (error) return answerOf(error);
        const uploaded = await bucket.uploadToSignedUrl(
          data.path,
          data.token,
          OBJECT_BYTES,
          { contentType: type },
        );
        return answerOf(uploaded.error);
      },
    },
    {
      isWrite: false,
      operation: "write",
      right: "create unreserved",
      what: "get a URL without a recorded reservation next to",
      run: async (bucket) =>
        answerOf(
          (await bucket.createSignedUploadUrl(freshName(folder))).error,
        ),
    },
    {
      ...write,
      right: "replace",
      what: "upload over",
      run: async (bucket) =>
        answerOf(
          (await bucket.upload(kept, OBJECT_BYTES, {
            contentType: type,
            upsert: true,
          })).error,
        ),
    },
    {
      ...write,
      right: "replace",
      what: "replace",
      run: async (bucket) =>
        answerOf(
          (await bucket.update(kept, OBJECT_BYTES, { contentType: type }))
            .error,
        ),
    },
    {
      ...write,
      operation: "remove",
      right: "remove",
      what: "remove",
      run: async (bucket) => {
        const { data, error } = await bucket.remove([kept]);
        return error ? answerOf(error) : data.length > 0 ? "yes" : "no";
      },
    },
    {
      ...write,
      right: "move",
      what: "move within the folder",
      run: async (bucket) =>
        answerOf((await bucket.move(kept, freshName(folder))).error),
    },
    {
      ...write,
      right: "create and read",
      what: "copy within the folder",
      run: async (bucket) =>
        answerOf((await bucket.copy(kept, freshName(folder))).error),
    },
    ...(own === folder ? [] : [
      {
        ...write,
        right: "move",
        what: "move to their own folder",
        run: async (bucket) =>
          answerOf((await bucket.move(kept, freshName(own))).error),
      },
      {
        ...write,
        right: "create and read",
        what: "copy to their own folder",
        run: async (bucket) =>
          answerOf((await bucket.copy(kept, freshName(own))).error),
      },
      {
        ...write,
        right: "move",
        what: "move their own next to",
        run: async (bucket) =>
          answerOf(
            (await bucket.move(keptObject(own), freshName(folder))).error,
          ),
      },
      {
        ...write,
        right: "create and read",
        what: "copy their own next to",
        run: async (bucket) =>
          answerOf(
            (await bucket.copy(keptObject(own), freshName(folder))).error,
          ),
      },
    ] satisfies Handling[]),
  ];
}
