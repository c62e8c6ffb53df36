/**
 * REST writes whose response has more than plain columns of the written rows: embedded tables, renamed columns, casts.
 *
 * After an update, the library reads that response by the update's filters, which the rows may no longer match, and
 * returns an array where one object was requested. PostgREST does neither.
 */

/** Handles a request to REST. All requests for one write run in one transaction. */
export type Serve = (request: Request) => Promise<Response>;

/** The columns of a table's primary key; empty if it has none. */
export type KeyOf = (schema: string, table: string) => Promise<string[]>;

const WRITES = ["POST", "PATCH", "PUT", "DELETE"];
const TABLE = /^\/rest\/v1\/([^/]+)$/;
const SINGLE = "application/vnd.pgrst.object+json";

function prefers(request: Request): string[] {
  return (request.headers.get("prefer") ?? "").split(",").map((each) =>
    each.trim()
  );
}

/** Whether the request is such a write. */
export function answersWithMore(request: Request): boolean {
  const { pathname, searchParams } = new URL(request.url);
  return WRITES.includes(request.method) && TABLE.test(pathname) &&
    prefers(request).includes("return=representation") &&
    /[(:]|->/.test(searchParams.get("select") ?? "");
}

/**
 * Handles a write for which {@link answersWithMore} is true like PostgREST. If the status is 400 or above, the
 * transaction must be rolled back.
 */
export async function answerWrite(
  request: Request,
  serve: Serve,
  keyOf: KeyOf,
): Promise<Response> {
  const url = new URL(request.url);
  const schema = request.headers.get("content-profile") ?? "public";
  const key = request.method === "PATCH" && !url.searchParams.has("limit")
    ? await keyOf(
      schema,
      decodeURIComponent(TABLE.exec(url.pathname)?.[1] ?? ""),
    )
    : [];
  return key.length === 0
    ? await asSingle(request, await serve(request))
    : await updateAndRead(request, serve, key, schema);
}

/** Updates by the request's filters, and reads the updated rows by their keys. */
async function updateAndRead(
  request: Request,
  serve: Serve,
  key: string[],
  schema: string,
): Promise<Response> {
  const update = new URL(request.url), read = new URL(request.url);
  for (const name of [...update.searchParams.keys()]) {
    // `order`, and filters or orders of embedded tables, apply to the response; all others select the rows to change.
    const isOfAnswer = name === "order" ||
      (name.includes(".") && !/^not\.(and|or)$/.test(name));
    if (isOfAnswer) update.searchParams.delete(name);
    else if (name !== "select") read.searchParams.delete(name);
  }
  update.searchParams.set("select", key.join(","));
  const updateHeaders = new Headers(request.headers);
  updateHeaders.set("accept", "application/json");
  const updated = await serve(
    new Request(update, {
      method: "PATCH",
      headers: updateHeaders,
      body: request.body,
    }),
  );
  if (!updated.ok) return updated;
  const rows: Record<string, unknown>[] = await updated.json();

  const [first = "", ...more] = key;
  if (more.length === 0 || rows.length === 0) {
    const values = rows.map((row) => quoted(row[first])).join(",");
    read.searchParams.set(first, `in.(${values})`);
  } else {
    const each = rows.map((row) =>
      `and(${key.map((name) => `${name}.in.(${quoted(row[name])})`).join(",")})`
    );
    read.searchParams.set("or", `(${each.join(",")})`);
  }
  const readHeaders = new Headers(request.headers);
  readHeaders.delete("content-type");
  readHeaders.delete("content-length");
  readHeaders.set("accept-profile", schema);
  readHeaders.set(
    "prefer",
    prefers(request).filter((each) => each.startsWith("count=")).join(","),
  );
  return await serve(new Request(read, { headers: readHeaders }));
}

/** A value of an `in` filter, quoted so that no character is special. The library reads no escapes after `eq`. */
function quoted(value: unknown): string {
  return `"${String(value).replaceAll(/["\\]/g, "\\$&")}"`;
}

/** A single object if one was requested, or the error for no row or several rows. */
async function asSingle(
  request: Request,
  response: Response,
): Promise<Response> {
  const isAsked = request.headers.get("accept")?.startsWith(
    SINGLE.slice(0, -"+json".length),
  );
  if (!response.ok || isAsked !== true) return response;
  const rows: unknown = await response.json();
  if (!Array.isArray(rows)) return Response.json(rows, response);
  if (rows.length !== 1) {
    return Response.json({
      code: "PGRST116",
      details: `The result contains ${rows.length} rows`,
      hint: null,
      message: "Cannot coerce the result to a single JSON object",
    }, { status: 406 });
  }
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  headers.set("content-type", `${SINGLE}; charset=utf-8`);
  return new Response(JSON.stringify(rows[0]), {
    status: response.status,
    headers,
  });
}
