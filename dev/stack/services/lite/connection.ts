/**
 * The database connection of the embedded REST and Storage. The one in @supabase/lite grants all rights to all roles on
 * its first use and sends ten statements per request. This one works like PostgREST: it logs in as `authenticator`,
 * switches to the caller's role for one transaction, and grants nothing.
 */
import { PostgresConnection } from "@supabase/lite/postgres";
import { CompiledQuery, Kysely } from "kysely";
import { PostgresJSDialect } from "kysely-postgres-js";
import { AsyncLocalStorage } from "node:async_hooks";
import { z } from "zod";
import { noteDatabaseError, type RequestNotes } from "./rest-errors.ts";
import { Listener } from "../../extensions/sessions.ts";
import { type SessionOptions, SessionPool } from "./session-pool.ts";
import { hostedMimeTypes } from "./storage-mime-types.ts";

type Context = Parameters<PostgresConnection["withContext"]>[0];
type Options = Parameters<PostgresConnection["withContext"]>[2];
type Database = PostgresConnection["kysely"];

const contextSchema = z.object({
  auth: z.looseObject({
    role: z.string().nullish(),
    jwt: z.record(z.string(), z.unknown()).nullish(),
  }).optional(),
  storage: z.looseObject({ operation: z.string().nullish() }).optional(),
});

const roleSettingsRow = z.object({
  rolname: z.string(),
  setconfig: z.array(z.string()),
});

/**
 * Times as PostgREST writes them, in ISO 8601 with a `T` and a full offset. The library passes on Postgres's text form,
 * which not every browser parses.
 */
function isoTime(text: string): string {
  const [, date, time, offset] =
    /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d(?::\d\d)?)?$/
      .exec(text) ?? [];
  if (date === undefined || time === undefined) return text; // infinity, BC
  const zone = offset === undefined
    ? ""
    : offset.length === 3
    ? `${offset}:00`
    : offset;
  return `${date}T${time}${zone}`;
}

/** A type whose values stay Postgres's own text. */
function text(oid: number) {
  return {
    to: oid,
    from: [oid],
    serialize: (value: string) => value,
    parse: (value: string) => value,
  };
}

const restTypes = {
  // Parsed as JSON where that is exact.
  bigint: {
    to: 20,
    from: [20],
    serialize: String,
    parse: (value: string) => {
      const number = Number(value);
      return Number.isSafeInteger(number) ? number : BigInt(value);
    },
  },
  date: text(1082),
  time: text(1083),
  timetz: text(1266),
  // A number in JSON, as PostgREST writes it; the library would send a text.
  numeric: { to: 1700, from: [1700], serialize: String, parse: Number },
  timestamp: {
    to: 1114,
    from: [1114],
    serialize: (value: string) => value,
    parse: isoTime,
  },
  timestamptz: {
    to: 1184,
    from: [1184],
    serialize: (value: string) => value,
    parse: isoTime,
  },
};

/** Auth and Storage pass JSON as text already. Serialized again, it would be a string in the column. */
const jsonAsGiven = {
  json: {
    to: 114,
    from: [114],
    serialize: (value: unknown) => JSON.stringify(value),
    parse: (text: string): unknown => JSON.parse(text),
  },
  jsonb: {
    to: 3802,
    from: [3802],
    serialize: (value: unknown) =>
      typeof value === "string" ? value : JSON.stringify(value),
    parse: (text: string): unknown => JSON.parse(text),
  },
};

/** The server's log has notices and warnings. */
const onnotice = () => {};

/** A text as an SQL literal. standard_conforming_strings is on, so only quotes must be escaped. */
function literal(text: string): string {
  return `'${text.replaceAll("'", "''").replaceAll("\0", "")}'`;
}

/** A transaction that several requests of the library share. */
interface Shared {
  db: Database;
  /** Whether it already runs as the caller. */
  hasContext: boolean;
}

/** A connection for `@supabase/lite` with the rules of a hosted project. */
export class RestConnection extends PostgresConnection {
  readonly #shared = new AsyncLocalStorage<Shared>();
  readonly #asAdmin: SessionPool;
  readonly #asAuthenticator: SessionPool;
  readonly #rest: Database;
  /** The role of the current request. */
  readonly #notes: () => RequestNotes | undefined;
  #roleSettings: Promise<Map<string, [string, string][]>> | undefined;

  constructor(
    urls: { adminUrl: string; authenticatorUrl: string },
    searchPath: string[],
    notes: () => RequestNotes | undefined = () => undefined,
  ) {
    const asAdmin = sessionOptions({
      application_name: "storage and auth",
      // Storage deletes rows itself, after the file. A direct `delete` by other callers is refused.
      "storage.allow_delete_query": "true",
    });
    // The driver of the library connects only when it is used, and nothing uses it: its pool can hang, see SessionPool.
    super({ url: urls.adminUrl, postgresOptions: asAdmin });
    this.#notes = notes;
    this.#asAdmin = new SessionPool(urls.adminUrl, 10, asAdmin);
    this.#asAuthenticator = new SessionPool(
      urls.authenticatorUrl,
      20,
      sessionOptions({
        application_name: "rest",
        search_path: searchPath.join(", "),
      }),
    );
    this.kysely = kyselyOf(this.#asAdmin).withPlugin(hostedMimeTypes);
    this.#rest = kyselyOf(this.#asAuthenticator);
  }

  /** Discards the cached schema and roles, for PostgREST's `reload schema` and `reload config`. */
  async reload(): Promise<void> {
    this.#roleSettings = undefined;
    await this.clearSchemaCache();
  }

  /**
   * The schema, without the text of the views. For each request the library would search it for the type of every column of
   * every view, which Postgres has reported already.
   */
  override async introspect(
    ...options: Parameters<PostgresConnection["introspect"]>
  ): ReturnType<PostgresConnection["introspect"]> {
    const schema = await super.introspect(...options);
    for (const view of schema.views) view.sql = "";
    return schema;
  }

  override async close(): Promise<void> {
    await Promise.all([
      this.driver.end(),
      this.#asAdmin.end(),
      this.#asAuthenticator.end(),
    ]);
  }

  /** The library calls this with an error that it is about to return. */
  override normalizeDbError(
    ...[error]: Parameters<PostgresConnection["normalizeDbError"]>
  ): ReturnType<PostgresConnection["normalizeDbError"]> {
    noteDatabaseError(this.#notes(), error);
    return super.normalizeDbError(error);
  }

  override async withContext<T>(
    vars: Context,
    run: (db: Database) => Promise<T>,
    options?: Options,
  ): Promise<T> {
    if (vars === undefined && options?.forceRollback !== true) {
      return await run(options?.transaction ?? this.kysely);
    }
    if (options?.transaction) {
      if (vars !== undefined) {
        const context = await this.#context(vars, options);
        await options.transaction.executeQuery(CompiledQuery.raw(context));
      }
      return await run(options.transaction);
    }
    const shared = this.#shared.getStore();
    if (shared !== undefined && vars !== undefined) {
      try {
        if (!shared.hasContext) {
          await shared.db.executeQuery(
            CompiledQuery.raw(await this.#context(vars, options)),
          );
        }
        shared.hasContext = true;
        return await run(shared.db);
      } catch (error) {
        noteDatabaseError(this.#notes(), error);
        throw error;
      }
    }
    const pool = vars === undefined ? this.kysely : this.#rest;
    const context = vars === undefined
      ? ""
      : await this.#context(vars, options);
    return await pool.connection().execute(async (db) => {
      // Not awaited, which saves a round trip. If it fails, so do the statements that follow it.
      const begun = say(db, `begin; ${context}`);
      begun.catch(() => {});
      try {
        const result = await run(db);
        await begun;
        // An error response must leave no change: `single()` of two updated rows, for example.
        await say(
          db,
          options?.forceRollback === true || isRefusal(result)
            ? "rollback"
            : "commit",
        );
        return result;
      } catch (error) {
        const first = await firstError(begun, error);
        noteDatabaseError(this.#notes(), first);
        // It fails when the session has ended; then there is nothing to roll back.
        await say(db, "rollback").catch(() => {});
        throw first;
      }
    });
  }

  /**
   * Runs the library's requests in one transaction as the caller of their token. It commits unless the response is an
   * error.
   */
  async inOneTransaction(run: () => Promise<Response>): Promise<Response> {
    return await this.#rest.connection().execute(
      async (db) => {
        const begun = say(db, "begin");
        begun.catch(() => {});
        try {
          const response = await this.#shared.run(
            { db, hasContext: false },
            run,
          );
          await begun;
          await say(db, isRefusal(response) ? "rollback" : "commit");
          return response;
        } catch (error) {
          const first = await firstError(begun, error);
          noteDatabaseError(this.#notes(), first);
          await say(db, "rollback").catch(() => {});
          throw first;
        }
      },
    );
  }

  /** The statement that switches a transaction to the caller: role, claims, and the settings of the role. */
  async #context(
    vars: NonNullable<Context>,
    options: Options,
  ): Promise<string> {
    const { auth, storage } = contextSchema.parse(vars);
    const role = auth?.role ?? "anon";
    const notes = this.#notes();
    if (notes) notes.role = role;
    const settings: [string, string][] = [
      ...(await this.#settingsOf(role)),
      ["request.jwt.claims", JSON.stringify(auth?.jwt ?? { role })],
    ];
    if (storage !== undefined) {
      settings.push(["storage.operation", storage.operation ?? ""]);
      settings.push(["storage.allow_delete_query", "true"]);
    }
    const rpc = options?.rpc;
    if (rpc) {
      settings.push(
        ["request.method", rpc.method],
        ["request.path", rpc.path],
        ["request.headers", JSON.stringify(rpc.requestHeaders ?? {})],
        ["response.status", ""],
        ["response.headers", ""],
      );
      if (rpc.readOnly) settings.push(["transaction_read_only", "on"]);
    }
    // Last, because the settings of a role are applied with the rights of the login role.
    settings.push(["role", role]);
    const calls = settings.map(([name, value]) =>
      `set_config(${literal(name)}, ${literal(value)}, true)`
    );
    return `select ${calls.join(", ")}`;
  }

  async #settingsOf(role: string): Promise<[string, string][]> {
    this.#roleSettings ??= this.#readRoleSettings();
    return (await this.#roleSettings).get(role) ?? [];
  }

  /** PostgREST applies the settings of the caller's role, above all statement_timeout. */
  async #readRoleSettings(): Promise<Map<string, [string, string][]>> {
    // As JSON, because the driver knows arrays only after it has read the server's types.
    const { rows: read } = await this.kysely.executeQuery(CompiledQuery.raw(`
      select r.rolname, to_jsonb(s.setconfig) as setconfig
      from pg_catalog.pg_db_role_setting s
      join pg_catalog.pg_roles r on r.oid = s.setrole
      where s.setdatabase = 0
        and pg_catalog.pg_has_role('authenticator', r.oid, 'member')
        and r.rolname <> 'authenticator'`));
    const rows = z.array(roleSettingsRow).parse(read);
    return new Map(rows.map(({ rolname, setconfig }) => [
      rolname,
      setconfig.map((entry) => {
        const equals = entry.indexOf("=");
        return [entry.slice(0, equals), entry.slice(equals + 1)];
      }),
    ]));
  }
}

function sessionOptions(
  connection: NonNullable<SessionOptions["connection"]>,
): SessionOptions {
  return {
    onnotice,
    types: { ...restTypes, ...jsonAsGiven },
    connection: { TimeZone: "UTC", ...connection },
  };
}

function kyselyOf(sessions: SessionPool): Database {
  return new Kysely({
    dialect: new PostgresJSDialect({ postgres: () => sessions }),
  });
}

/** Runs a statement, or several, without parameters. */
async function say(db: Database, text: string): Promise<void> {
  await db.executeQuery(CompiledQuery.raw(text));
}

/** The error with which the transaction failed to begin, which causes all later errors; otherwise the later one. */
async function firstError(
  begun: Promise<void>,
  later: unknown,
): Promise<unknown> {
  try {
    await begun;
    return later;
  } catch (error) {
    return error;
  }
}

function isRefusal(result: unknown): boolean {
  return result instanceof Response && result.status >= 400;
}

/** Calls `onReload` at every `notify pgrst`, until the returned function is called. */
export async function listenForReload(
  adminUrl: string,
  onReload: () => void,
): Promise<() => Promise<void>> {
  const listener = await Listener.start(adminUrl, "rest", "pgrst", onReload);
  return () => listener[Symbol.asyncDispose]();
}
