/**
 * The request with another URL, other headers or another body. Not `new Request(request, …)`, which follows the abort
 * signal of the incoming request: Deno aborts that after success too.
 */
export function sameRequest(
  request: Request,
  change: { url?: string; headers?: Headers; body?: BodyInit },
): Request {
  return new Request(change.url ?? request.url, {
    method: request.method,
    headers: change.headers ?? request.headers,
    body: change.body ?? request.body,
  });
}
