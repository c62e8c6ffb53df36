/**
 * Database errors as PostgREST reports them. The library maps some SQLSTATEs and reports all others, such as a violated
 * check constraint, as its internal error (`SUP`).
 */
import postgres from "postgres";

/** The database error and the role of one request. */
export interface RequestNotes {
  databaseError?: postgres.PostgresError;
  /** The role that the request ran as. */
  role?: string;
}

/** From the table in the PostgREST documentation, "Errors", in order of precedence. */
const statuses: [prefix: string, status: number][] = [
  ["23503", 409],
  ["23505", 409],
  ["25006", 405],
  ["53400", 500],
  ["57P01", 503],
  ["P0001", 400],
  ["42P17", 500],
  ["08", 503],
  ["09", 500],
  ["0L", 403],
  ["0P", 403],
  ["25", 500],
  ["28", 403],
  ["2D", 500],
  ["38", 500],
  ["39", 500],
  ["3B", 500],
  ["40", 500],
  ["53", 503],
  ["54", 500],
  ["55", 500],
  ["57", 500],
  ["58", 500],
  ["F0", 500],
  ["HV", 500],
  ["P0", 500],
  ["XX", 500],
];

function statusOf(code: string, role: string | undefined): number {
  if (code === "42501") return role === "anon" ? 401 : 403;
  return statuses.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 400;
}

/** PostgREST gives these a special meaning, which the library implements. */
const knownToLibrary = /^(PT|PGRST|42883$|42P01$)/;

/** The response to a REST request, with the database error as PostgREST reports it. */
export function correctRestError(
  response: Response,
  notes: RequestNotes,
): Response {
  const error = notes.databaseError;
  if (response.status < 400 || error === undefined) return response;
  if (knownToLibrary.test(error.code)) return response;
  response.body?.cancel();
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return Response.json({
    code: error.code,
    details: error.detail ?? null,
    hint: error.hint ?? null,
    message: error.message,
  }, { status: statusOf(error.code, notes.role), headers });
}

/**
 * The response to a Storage request. Hosted Storage returns the message of a trigger that raises 42501 (storage
 * `src/storage/database/errors.ts`); the library treats every 42501 as a policy's.
 */
export async function correctStorageError(
  response: Response,
  notes: RequestNotes,
): Promise<Response> {
  const error = notes.databaseError;
  if (
    response.status < 400 || error?.code !== "42501" ||
    error.message.includes("row-level security")
  ) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return Response.json(
    { ...Object(await response.json()), message: error.message },
    { status: response.status, headers },
  );
}

/** Keeps a database error for the response; ignores other values. */
export function noteDatabaseError(
  notes: RequestNotes | undefined,
  error: unknown,
): void {
  if (notes && error instanceof postgres.PostgresError) {
    notes.databaseError = error;
  }
}
