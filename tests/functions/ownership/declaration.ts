/** The types with which expected.ts declares who may do what. */
import type { ActorName, Role } from "./people.ts";

/** Operations on an existing row. */
export type RowRight = "select" | "update" | "delete";

/** The relation of a signed-in user to a row. */
export type Standing = "owner" | "vendor" | "signed in";

/**
 * The outcome of a reference to another user's row. `owner`: it names the row's owner, and the policies decide.
 * `shared`: the referenced row has no owner. Otherwise the outcome of the attempt, for users (where they may write the
 * column) and for the service.
 */
export type ReferenceRule = "owner" | "shared" | {
  users?: string;
  service: string;
};

/** A table or a view. */
export interface RelationDeclaration {
  /**
   * By kind of row (fixture.ts makes at least one of each kind) and standing, the rights, such as `select update`.
   * Anyone not named has none. `vendor` is a user of the vendor that the kind is about.
   */
  rows: Record<string, Partial<Record<Standing, string>>>;
  /** Every column, by what signed-in users are granted on it: some of `select insert update`, or nothing. */
  columns: Record<string, string[]>;
  /** Columns that may be selected without being signed in, which gives no other right. */
  anon?: string[];
  /** What the secret key may do: some of `select insert update delete`. */
  service: string;
  /** Every foreign key. */
  references?: Record<string, ReferenceRule>;
  /** Columns that name an object in the owner's folder, with the check that enforces it. */
  ownFolder?: Record<string, string>;
  /**
   * Further writes by triggers, for `insert`, `delete` and `update <column>`, such as `changed orders`,
   * comma-separated.
   */
  alsoWrites?: Record<string, string>;
  /** Updates that a trigger refuses for the first row that may be updated, for `update <column>`. */
  refused?: Record<string, string>;
}

/** A function of the API. */
export interface FunctionDeclaration {
  roles: Exclude<Role, "none">[];
  /** The outcome of the service's call; if absent, it is executed. */
  service?: string;
}

/** Operations on objects; `move` is within the bucket. */
export type ObjectRight = "read" | "create" | "replace" | "remove" | "move";

/** A bucket. The secret key may do everything in every bucket; no other caller may do anything in a foreign folder. */
export interface BucketDeclaration {
  /** Whether anyone with its URL can read an object. */
  isPublic: boolean;
  /** What users may do in their own folder. */
  owner: ObjectRight[];
}

/** An Edge Function: HTTP status of each request of endpoint-requests.ts, for users and for everyone else. */
export interface EndpointDeclaration {
  /** Requests about the caller's own rows and objects. */
  own: Record<string, number>;
  /** Requests about another user's rows and objects. */
  foreign: Record<string, number>;
  /** The callers that are admitted; all others get 401. */
  callers: ActorName[];
}

/** Everything that the API offers. */
export interface Declaration {
  relations: Record<string, RelationDeclaration>;
  functions: Record<string, FunctionDeclaration>;
  buckets: Record<string, BucketDeclaration>;
  endpoints: Record<string, EndpointDeclaration>;
}

/** Whether a list such as `select update` contains the right. */
export function grants(rights: string | undefined, right: string): boolean {
  return (rights ?? "").split(" ").includes(right);
}

/** Columns on which signed-in users are granted the right, in the order of the declaration. */
export function columnsFor(
  declaration: RelationDeclaration,
  right: "select" | "insert" | "update",
): string[] {
  return Object.entries(declaration.columns).flatMap(([rights, columns]) =>
    grants(rights, right) ? columns : []
  );
}
