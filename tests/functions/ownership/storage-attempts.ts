/** Attempts at objects and buckets, through supabase-js: every caller in their own folder and in another's. */
import type { Attempt } from "./attempt.ts";
import { keptObject } from "./fixture.ts";
import { type Actor, ACTORS, type Owner, OWNERS } from "./people.ts";
import type { Stage } from "./stage.ts";
import { answerOf, type Handling, handlings } from "./storage-operations.ts";
import type { Change } from "./world.ts";

function allows(
  rights: readonly string[],
  right: Handling["right"],
): boolean {
  return right === "create and read"
    ? rights.includes("create") && rights.includes("read")
    : rights.includes(right);
}

/** The owners of the folders in which something changed. */
function foldersOf(stage: Stage, changes: Change[]): string {
  const owners = changes.map(({ row }) =>
    OWNERS.find((owner) =>
      `${row["name"] ?? row["user_id"]}`.startsWith(stage.people.ids[owner])
    ) ?? "nobody"
  );
  return [...new Set(owners)].sort().join(" and ") || "nobody";
}

const EVERYTHING = [
  "read",
  "create unreserved",
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
  // The service may move B's objects, so that this would show nothing.
  const own = actor.role === "service_role" ? folder : actor.userId ?? folder;
  return handlings(bucket, folder, own, type).map((handling): Attempt => {
    const isOpen = handling.isByAddress === true && actor.role !== "none" &&
      declared?.isPublic === true;
    const isAllowed = isOpen || allows(rights, handling.right);
    // The existence of a folder is not visible: its list is empty.
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
      run: () => handling.run(actor.client.storage.from(bucket), actor.client),
      ...(mayChange
        ? {
          judge: (outcome: string, changes: Change[]) =>
            `${outcome}; changed in the folder of ${foldersOf(stage, changes)}`,
        }
        : {}),
    };
  });
}

/** Attempts without a folder: the list of the bucket, and public URLs. */
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

/** The folders that a caller tries: their own if they have one, and a foreign one. */
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

/** Listing and creating buckets. */
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
            (await actor.client.storage.createBucket(
              `of-${name.replace(" ", "-")}`,
              {
                public: true,
              },
            )).error,
          ),
      }]),
    ];
  });
}
