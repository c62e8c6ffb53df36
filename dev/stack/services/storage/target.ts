/** The object of a Storage request, and the rules for object names. */
import { StorageRefusal } from "./upload.ts";

/** The characters that hosted Storage allows in an object name (storage `src/storage/limits.ts`). */
const allowedName = /^(\w|\/|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)*$/;

const objectPath =
  /^\/storage\/v1\/object\/(?:(upload\/sign|sign|public|authenticated|info\/authenticated|info)\/)?([^/]+)\/(.+)$/;

/**
 * Path segments between `object` and the bucket. With another method the segment is a bucket, named `public` for
 * example.
 */
const kindsOf: Record<string, string[]> = {
  GET: ["sign", "public", "authenticated", "info/authenticated", "info"],
  HEAD: ["sign", "public", "authenticated", "info/authenticated", "info"],
  POST: ["upload/sign", "sign"],
  PUT: ["upload/sign"],
};

/** Bucket and object of a request, and the path segment before them, such as `sign`. */
export interface StorageTarget {
  kind: string;
  bucket: string;
  name: string;
}

/** The object in a request's path; undefined when there is none. */
export function targetOf(
  method: string,
  path: string,
): StorageTarget | undefined {
  const [, prefix, ...places] = objectPath.exec(path) ?? [];
  let kind = prefix;
  let [bucket, name] = places;
  if (bucket === undefined || name === undefined) return undefined;
  if (kind !== undefined && !kindsOf[method]?.includes(kind)) {
    const [first, ...rest] = `${kind}/${bucket}/${name}`.split("/");
    [kind, bucket, name] = [undefined, first ?? "", rest.join("/")];
  }
  try {
    return {
      kind: kind ?? "",
      bucket: decodeURIComponent(bucket),
      name: decodeURIComponent(name),
    };
  } catch {
    return undefined;
  }
}

/** Throws {@link StorageRefusal} for a name that hosted Storage refuses, or that leaves its bucket. */
export function refuseBadName(name: string): void {
  if (
    name.length > 0 && allowedName.test(name) && !name.startsWith("/") &&
    !name.split("/").some((part) => part === ".." || part === ".")
  ) return;
  throw new StorageRefusal("400", "InvalidKey", `Invalid key: ${name}`);
}
