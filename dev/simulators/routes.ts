/** Routes of a simulated provider, and their parameters. */
import type { ReceivedRequest, SimulatedResponse } from "./provider.ts";

/** A request to a route, with the named parts of its path. */
export interface Call {
  readonly request: ReceivedRequest;
  readonly params: Readonly<Record<string, string | undefined>>;
}

/** A route of a provider: its operation name and its handler. */
export interface Route {
  readonly operation: string;
  readonly method: string;
  readonly pattern: URLPattern;
  run(call: Call): Promise<SimulatedResponse> | SimulatedResponse;
}

/** Creates a {@link Route}; `pathname` is a URLPattern such as `/talks/:id`. */
export function route(
  operation: string,
  method: string,
  pathname: string,
  run: Route["run"],
): Route {
  return { operation, method, pattern: new URLPattern({ pathname }), run };
}

/** The route of a request. When `route` is null, `isPathKnown` says whether another method would match. */
export function matchRoute(
  routes: readonly Route[],
  request: ReceivedRequest,
): { route: Route | null; call: Call; isPathKnown: boolean } {
  const fits = routes.flatMap((one) => {
    const found = one.pattern.exec({ pathname: request.path });
    return found === null ? [] : [{ one, params: found.pathname.groups }];
  });
  const hit = fits.find(({ one }) => one.method === request.method);
  return {
    route: hit?.one ?? null,
    call: { request, params: hit?.params ?? {} },
    isPathKnown: fits.length > 0,
  };
}

/** The JSON body of a request, or undefined when it is not JSON. */
export function jsonBody(request: ReceivedRequest): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(request.body));
  } catch {
    return undefined;
  }
}

/** The first file of a multipart form under one of the names, or null. */
export async function formFile(
  request: ReceivedRequest,
  name: string,
): Promise<File | null> {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) return null;
  try {
    const form = await new Response(request.body, {
      headers: { "content-type": type },
    }).formData();
    const file = form.get(name);
    return file instanceof File ? file : null;
  } catch {
    return null;
  }
}
