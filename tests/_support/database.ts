/**
 * A separate database for each test: a copy of a template on a cluster that the whole ring shares. Nothing has to be
 * cleaned up, and no test sees another test's rows.
 */
import postgres from "postgres";
import { fromFileUrl } from "@std/path";
import { createDatabaseFromTemplate } from "../../dev/stack/postgres/postgres.ts";
import {
  dropDatabase,
  EMPTY_TEMPLATE,
  MIGRATED_TEMPLATE,
  TEST_CLUSTER_VARIABLE,
  type TestCluster,
  testClusterSchema,
} from "../../dev/tools/test-cluster.ts";

/** Runs one or several statements in a transaction. Errors are postgres.js's and carry the SQLSTATE as `code`. */
export type Transaction = postgres.TransactionSql;

/** Roles of the Data API. */
export type ApiRole = "anon" | "authenticated" | "service_role";

/** The columns of a row of `storage.objects` that a test may set. */
export interface StoredObject {
  bucket: string;
  /** Name within the bucket; its first folder is the owner, unless `owner` says otherwise. */
  path: string;
  mimetype: string;
  /** Bytes. */
  size: number;
  owner?: string;
}

/** One test's own database. Every connection has an empty search_path, so that a name without a schema fails. */
export interface TestDatabase {
  /** Address as `postgres`: owner of the project's objects, not a superuser, bypasses RLS. For programs. */
  readonly url: string;
  /** Address as `supabase_admin`, the superuser. */
  readonly adminUrl: string;
  /** One connection as `postgres`. */
  readonly sql: postgres.Sql;
  /** Runs in one transaction as the Data API would for this signed-in user; commits unless `run` throws. */
  asUser<T>(
    userId: string,
    run: (sql: Transaction) => Promise<T>,
  ): Promise<T>;
  /** The same for a caller who is not signed in. */
  asAnon<T>(run: (sql: Transaction) => Promise<T>): Promise<T>;
  /** The same for a caller with the secret key. */
  asService<T>(run: (sql: Transaction) => Promise<T>): Promise<T>;
  /**
   * Independent connections for races, each one session: as `postgres`, or as an API role (logged in as
   * `authenticator`, with the role and claims set for the session). They are open when this resolves.
   */
  connections(count: number, role?: ApiRole): Promise<postgres.Sql[]>;
  /** A new signed-up user; the id is random. */
  createUser(values?: { email?: string }): Promise<
    { id: string; email: string }
  >;
  /** Inserts the row of an uploaded object; there is no content. Returns its `<bucket>/<path>`. */
  putObject(object: StoredObject): Promise<string>;
}

/**
 * The cluster of the ring's runner or, when this file runs alone, a new one. It is started while the module loads:
 * inside a test it would count as that test's leak.
 */
const cluster = await reachCluster();

let copies = 0;
const prefix = `test_${crypto.randomUUID().slice(0, 8)}`;

async function reachCluster(): Promise<TestCluster> {
  const given = Deno.env.get(TEST_CLUSTER_VARIABLE);
  if (given !== undefined) return testClusterSchema.parse(JSON.parse(given));

  const program = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      fromFileUrl(
        new URL("../../dev/tools/test-cluster.ts", import.meta.url),
      ),
    ],
    // It stops when this pipe closes, so the pipe must stay open until this process ends.
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  for await (
    const text of program.stdout.pipeThrough(new TextDecoderStream())
  ) {
    return testClusterSchema.parse(JSON.parse(text));
  }
  throw new Error("The database of the tests did not start; see above.");
}

function at(base: string, database: string): string {
  const url = new URL(base);
  url.pathname = `/${database}`;
  return url.href;
}

/** postgres.js omits settings that are empty text; a quoted empty name means the same to Postgres. */
const EMPTY_SEARCH_PATH = { search_path: '""' };

function connect(
  url: string,
  settings: Record<string, string> = {},
): postgres.Sql {
  return postgres(url, {
    max: 1,
    connection: { ...EMPTY_SEARCH_PATH, ...settings },
    onnotice: () => {},
  });
}

function claimsOf(role: ApiRole, userId?: string): string {
  return JSON.stringify(
    userId === undefined ? { role } : { role, sub: userId, aud: role },
  );
}

async function actAs<T>(
  sql: postgres.Sql,
  role: ApiRole,
  userId: string | undefined,
  run: (sql: Transaction) => Promise<T>,
): Promise<T> {
  // Wrapped, because `begin` would await an array of promises that `run` returns.
  const { result } = await sql.begin(async (transaction) => {
    // PostgREST does the same, including the settings of the role (statement_timeout).
    await transaction`
      select set_config(split_part(s.setting, '=', 1), split_part(s.setting, '=', 2), true)
      from pg_db_role_setting as r, unnest(r.setconfig) as s (setting)
      where r.setdatabase = 0 and r.setrole = ${role}::regrole and s.setting not like 'search_path=%'`;
    await transaction`
      select
        set_config('role', ${role}, true),
        set_config('request.jwt.claims', ${claimsOf(role, userId)}, true)`;
    return { result: await run(transaction) };
  });
  return result;
}

/**
 * Creates a database, passes it to `run`, then closes all sessions and drops it. With `migrated: false` it is that of a
 * new hosted project, without migrations. Throws what `run` throws.
 */
export async function withDatabase<T>(
  run: (db: TestDatabase) => Promise<T>,
  options: { migrated: boolean } = { migrated: true },
): Promise<T> {
  const name = `${prefix}_${++copies}`;
  const { dbUrl: url, adminUrl } = await createDatabaseFromTemplate(
    cluster,
    name,
    options.migrated ? MIGRATED_TEMPLATE : EMPTY_TEMPLATE,
  );
  const open: postgres.Sql[] = [];
  const opened = (sql: postgres.Sql) => {
    open.push(sql);
    return sql;
  };
  const sql = opened(connect(url));
  const apiUrl = at(cluster.authenticatorUrl, name);
  const api = opened(connect(apiUrl));

  try {
    return await run({
      url,
      adminUrl,
      sql,
      asUser: (userId, act) => actAs(api, "authenticated", userId, act),
      asAnon: (act) => actAs(api, "anon", undefined, act),
      asService: (act) => actAs(api, "service_role", undefined, act),
      async connections(count, role) {
        const made = Array.from({ length: count }, () =>
          opened(
            role === undefined ? connect(url) : connect(apiUrl, {
              role,
              "request.jwt.claims": claimsOf(role),
            }),
          ));
        await Promise.all(made.map((connection) => connection`select 1`));
        return made;
      },
      async createUser({ email } = {}) {
        const id = crypto.randomUUID();
        const address = email ?? `${id}@example.com`;
        await sql`
          insert into auth.users (id, email, email_confirmed_at, raw_app_meta_data)
          values (${id}, ${address}, now(), '{"provider": "email", "providers": ["email"]}')`;
        return { id, email: address };
      },
      async putObject({ bucket, path, mimetype, size, owner }) {
        const ownerId = owner ?? path.split("/")[0] ?? "";
        const metadata = {
          eTag: `"${crypto.randomUUID().replaceAll("-", "")}"`,
          size,
          mimetype,
          cacheControl: "max-age=3600",
          lastModified: new Date().toISOString(),
          contentLength: size,
          httpStatusCode: 200,
        };
        await sql`
          insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
          values (
            ${bucket}, ${path}, ${ownerId}, ${ownerId}, ${crypto.randomUUID()}, ${
          sql.json(metadata)
        }, '{}'
          )`;
        return `${bucket}/${path}`;
      },
    });
  } finally {
    await Promise.all(open.map((connection) => connection.end({ timeout: 1 })));
    await dropDatabase(cluster, name);
  }
}
