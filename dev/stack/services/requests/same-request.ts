/**
 * The request with another address, other headers or another body. Not `new Request(request, …)`: that follows the abort signal
 * of the incoming request, which Deno also fires when everything went well.
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
