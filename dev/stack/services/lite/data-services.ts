/** REST, Auth and Storage: `@supabase/lite` on the embedded Postgres, without its admin mode and migrations. */
import { App, InMemoryEmailDriver, setExperimental } from "@supabase/lite";
import { AsyncLocalStorage } from "node:async_hooks";
import { format } from "node:util";
import type { JWTPayload } from "jose";
import postgres from "postgres";
import type { StackKeys } from "../../keys/keys.ts";
import type { LogBook } from "../../console/log-book.ts";
import type { Project } from "../../project/project.ts";
import {
  correctRestError,
  correctStorageError,
  type RequestNotes,
} from "./rest-errors.ts";
import { listenForReload, RestConnection } from "./connection.ts";
import { answersWithMore, answerWrite } from "./rest-writes.ts";
import { FileStorage } from "./storage-files.ts";

/** The three services behind one `fetch`. They only see inner tokens. */
export interface DataServices {
  /** @param claims of the request's token, if the gateway has verified it: REST then trusts them. */
  fetch(request: Request, claims?: JWTPayload): Promise<Response>;
  connection: RestConnection;
  /** The content of Storage objects. */
  files: FileStorage;
  close(): Promise<void>;
}

const serving = new AsyncLocalStorage<{
  logs: LogBook;
  notes: RequestNotes;
  claims?: JWTPayload | undefined;
}>();

/** Database errors are responses to requests, not failures of the service; one line is enough. */
function brief(value: unknown): unknown {
  return value instanceof postgres.PostgresError
    ? `PostgresError ${value.code}: ${value.message}`
    : value;
}

/** The library prints to the console. Its output during a request belongs to the log of the stack. */
function captureConsole(): void {
  for (const level of ["log", "info", "warn", "error"] as const) {
    // deno-lint-ignore no-console
    const original = console[level];
    // deno-lint-ignore no-console
    console[level] = (...args: unknown[]) => {
      const logs = serving.getStore()?.logs;
      if (logs === undefined) return original(...args);
      const stream = level === "warn" || level === "error"
        ? "stderr"
        : "stdout";
      for (const line of format(...args.map(brief)).split("\n")) {
        logs.add("services", stream, line);
      }
    };
  }
}
let isConsoleCaptured = false;

async function keyOf(
  connection: RestConnection,
  schema: string,
  table: string,
): Promise<string[]> {
  const { primary_keys } = await connection.introspect({ useCache: true });
  return primary_keys.find((key) =>
    key.table === table && (key.schema ?? "public") === schema
  )?.columns ?? [];
}

/** Starts the services and resolves once they answer: connected, with the schema read. `storageDir` must exist. */
export async function startDataServices(options: {
  project: Project;
  keys: StackKeys;
  urls: { adminUrl: string; authenticatorUrl: string };
  storageDir: string;
  logs: LogBook;
}): Promise<DataServices> {
  const { project, keys, logs } = options;
  if (!isConsoleCaptured) captureConsole();
  isConsoleCaptured = true;
  setExperimental("storage", true);

  const connection = new RestConnection(
    options.urls,
    project.extraSearchPath,
    () => serving.getStore()?.notes,
  );
  const app = new App({
    connection,
    api: {
      schemas: project.schemas,
      extra_search_path: project.extraSearchPath,
      max_rows: project.maxRows,
      // Like the module safeupdate of a hosted project: refuses updates and deletes without a filter.
      pg_safe_update: true,
    },
    auth: {
      enabled: true,
      jwt_secret: keys.internalJwtSecret,
      publishable_key: keys.publishableKey,
      secret_key: keys.secretKey,
      site_url: project.auth.siteUrl,
      jwt_expiry: project.auth.jwtExpiry,
      enable_signup: project.auth.enableSignup,
      minimum_password_length: project.auth.minimumPasswordLength,
      // There is no mail server, so addresses count as confirmed.
      email: { enable_signup: true, enable_confirmations: false },
    },
    storage: { enabled: true, file_size_limit: `${project.fileSizeLimit}B` },
    studio: { enabled: false },
    db: { migrations: { enabled: false } },
    options: {
      drivers: { email: new InMemoryEmailDriver() },
      server: {
        admin: false,
        disableStudio: true,
        middlewares: [async (context, next) => {
          // Like PostgREST, REST trusts a verified token. The library would look up user and session first. It verifies the
          // token, unless the gateway has done so, and reads role and claims from it.
          if (context.req.path.startsWith("/rest/")) {
            context.set("userId", "not looked up");
            context.set("sessionId", "not looked up");
            const claims = serving.getStore()?.claims;
            if (claims !== undefined) {
              context.set("ignoreAuthorization", true);
              context.set("jwt", claims);
            }
          }
          await next();
        }],
      },
    },
  });
  const files = new FileStorage(options.storageDir);
  app._storageAdapter = files;

  const stopListening = await serving.run({ logs, notes: {} }, async () => {
    await app.init();
    await connection.introspect({ useCache: true });
    return await listenForReload(options.urls.adminUrl, () => {
      serving.run({ logs, notes: {} }, () => connection.reload());
    });
  });
  return {
    async fetch(request, claims) {
      const notes: RequestNotes = {};
      const response = await serving.run(
        { logs, notes, claims },
        () =>
          answersWithMore(request)
            ? connection.inOneTransaction(() =>
              answerWrite(
                request,
                async (inner) => await app.fetch(inner),
                (schema, table) => keyOf(connection, schema, table),
              )
            )
            : app.fetch(request),
      );
      const { pathname } = new URL(request.url);
      return pathname.startsWith("/rest/")
        ? correctRestError(response, notes)
        : pathname.startsWith("/storage/")
        ? await correctStorageError(response, notes)
        : response;
    },
    connection,
    files,
    async close() {
      await Promise.all([stopListening(), connection.close()]);
    },
  };
}
