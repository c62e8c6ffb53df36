/** Tries at objects and buckets, through supabase-js: everybody in their own folder and in another's. */
import type { Attempt, Operation } from "./attempt.ts";
import type { ObjectRight } from "./declaration.ts";
import { keptObject } from "./fixture.ts";
import { type Actor, ACTORS, type Owner, OWNERS } from "./people.ts";
import { OBJECT_BYTES, type Stage } from "./stage.ts";
import type { Change } from "./world.ts";

let copies = 0;

/** A name of an object that nobody has used yet. */
function freshName(folder: string): string {
  return `${folder}/new-${++copies}.bin`;
}

/** A definite no of Storage; anything else would be a failure of its own. */
function answerOf(error: Error | null): string {
  if (error === null) return "yes";
  const status = "status" in error ? Number(error.status) : 0;
  return status >= 500 ? `error ${status}: ${error.message}` : "no";
}

interface Handling {
  what: string;
  operation: Operation;
  /** The right that it needs in the folder; none gives it in another's. */
  right: ObjectRight | "create and read";
  /** Whether it writes. */
  isWrite: boolean;
  /** Whether the address of a public object is enough for it, for whoever has any key. */
  isByAddress?: boolean;
  run(bucket: ReturnType<Actor["client"]["storage"]["from"]>): Promise<string>;
}

/** Everything that can be tried with the kept object of a folder. `own` is a folder that the caller may try to use. */
function handlings(folder: string, own: string, type: string): Handling[] {
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
      run: async (bucket) => {
        const { data, error } = await bucket.createSignedUploadUrl(
          freshName(folder),
        );
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

function mayDo(rights: ObjectRight[], right: Handling["right"]): boolean {
  return right === "create and read"
    ? rights.includes("create") && rights.includes("read")
    : rights.includes(right);
}

/** In whose folders something changed. */
function foldersOf(stage: Stage, changes: Change[]): string {
  const owners = changes.map(({ row }) =>
    OWNERS.find((owner) =>
      `${row["name"]}`.startsWith(`${stage.people.ids[owner]}/`)
    ) ?? "nobody"
  );
  return [...new Set(owners)].sort().join(" and ") || "nobody";
}

const EVERYTHING: ObjectRight[] = [
  "read",
  "create",
  "replace",
  "remove",
  "move",
];

function folderAttempts(
  stage: Stage,
  bucket: string,
  actor: Actor,
  owner: Owner,
  type: string,
): Attempt[] {
  const declared = stage.expected.buckets[bucket];
  const isOwn = actor.name === owner;
  const rights = actor.role === "service_role"
    ? EVERYTHING
    : isOwn
    ? declared?.owner ?? []
    : [];
  const folder = stage.people.ids[owner];
  // Moving B's objects about is the service's right, and shows nothing.
  const own = actor.role === "service_role" ? folder : actor.userId ?? folder;
  return handlings(folder, own, type).map((handling): Attempt => {
    const isOpen = handling.isByAddress === true && actor.role !== "none" &&
      declared?.isPublic === true;
    const isAllowed = isOpen || mayDo(rights, handling.right);
    // Nobody sees that a folder is there: a list of it is empty.
    const no = handling.operation === "list" && actor.role !== "none"
      ? "nothing"
      : "no";
    const mayChange = isAllowed && handling.isWrite;
    return {
      subjects: [`bucket ${bucket}`],
      actor: actor.name,
      operation: handling.operation,
      what: `${handling.what} ${isOwn ? "their own" : `${owner}'s`} object`,
      expected: !isAllowed
        ? no
        : mayChange
        ? `yes; changed in the folder of ${owner}`
        : "yes",
      mayChange,
      run: () => handling.run(actor.client.storage.from(bucket)),
      ...(mayChange
        ? {
          judge: (outcome: string, changes: Change[]) =>
            `${outcome}; changed in the folder of ${foldersOf(stage, changes)}`,
        }
        : {}),
    };
  });
}

/** What needs no folder of one's own: the list of the whole bucket, and public addresses. */
function bucketAttempts(
  stage: Stage,
  bucket: string,
  actor: Actor,
): Attempt[] {
  const { ids } = stage.people;
  const declared = stage.expected.buckets[bucket];
  const visible: Owner[] = actor.role === "service_role"
    ? ["A", "B"]
    : (actor.name === "A" || actor.name === "B") &&
        declared?.owner.includes("read")
    ? [actor.name]
    : [];
  const common = {
    subjects: [`bucket ${bucket}`],
    actor: actor.name,
    mayChange: false,
  };
  return [
    {
      ...common,
      operation: "list",
      what: "list the bucket",
      expected: actor.role === "none"
        ? "no"
        : visible.map((owner) => `${owner}'s folder`).join(", ") || "nothing",
      run: async () => {
        const { data, error } = await actor.client.storage.from(bucket).list();
        if (error) return answerOf(error);
        const names = data.map(({ name }) => {
          const owner = OWNERS.find((one) => ids[one] === name);
          return owner === undefined ? name : `${owner}'s folder`;
        });
        return names.sort().join(", ") || "nothing";
      },
    },
    {
      ...common,
      operation: "read",
      what: "open the public address of B's object",
      expected: declared?.isPublic ? "yes" : "no",
      run: async () => {
        const { data } = actor.client.storage.from(bucket).getPublicUrl(
          keptObject(ids.B),
        );
        const response = await fetch(data.publicUrl, {
          headers: actor.headers,
        });
        await response.body?.cancel();
        return response.ok ? "yes" : "no";
      },
    },
    ...(actor.role === "service_role" ? [] : [
      {
        ...common,
        operation: "write" as const,
        what: "make it public",
        expected: "no",
        run: async () =>
          answerOf(
            (await actor.client.storage.updateBucket(bucket, { public: true }))
              .error,
          ),
      },
      {
        ...common,
        operation: "remove" as const,
        what: "empty it",
        expected: "no",
        run: async () =>
          answerOf((await actor.client.storage.emptyBucket(bucket)).error),
      },
      {
        ...common,
        operation: "remove" as const,
        what: "delete it",
        expected: "no",
        run: async () =>
          answerOf((await actor.client.storage.deleteBucket(bucket)).error),
      },
    ]),
  ];
}

/** Which folders a caller tries: their own if they have one, and a foreign one. */
function foldersFor({ name }: Actor): Owner[] {
  return name === "A" ? ["A", "B"] : name === "B" ? ["B", "A"] : ["B"];
}

/** Every object operation on a bucket, for every caller. */
export function storageAttempts(
  stage: Stage,
  bucket: string,
): Attempt[] {
  const type = stage.mimeTypes.get(bucket) ?? "";
  return ACTORS.flatMap((name) => {
    const actor = stage.people.actors[name];
    return [
      ...bucketAttempts(stage, bucket, actor),
      ...foldersFor(actor).flatMap((owner) =>
        folderAttempts(stage, bucket, actor, owner, type)
      ),
    ];
  });
}

/** The list of buckets, and new ones. */
export function bucketListAttempts(stage: Stage): Attempt[] {
  return ACTORS.flatMap((name): Attempt[] => {
    const actor = stage.people.actors[name];
    const all = stage.catalogue.buckets.map(({ id }) => id);
    return [
      {
        subjects: ["buckets"],
        actor: name,
        operation: "list",
        what: "list the buckets",
        expected: name === "no key"
          ? "no"
          : name === "service"
          ? all.join(", ")
          : "nothing",
        mayChange: false,
        run: async () => {
          const { data, error } = await actor.client.storage.listBuckets();
          return error
            ? answerOf(error)
            : data.map(({ id }) => id).sort().join(", ") || "nothing";
        },
      },
      ...(name === "service" ? [] : [{
        subjects: ["buckets"],
        actor: name,
        operation: "write" as const,
        what: "make a bucket",
        expected: "no",
        mayChange: false,
        run: async () =>
          answerOf(
            (await actor.client.storage.createBucket(`of-${++copies}`, {
              public: true,
            })).error,
          ),
      }]),
    ];
  });
}
