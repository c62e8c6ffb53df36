/** Downloads a finished file from the URL that the provider gives for it. */
import { JobFailure } from "../failures/job-failure.ts";
import type { PlatformDeps } from "../platform/deps.ts";
import { addressProblem, isLoopback, isPublicIp } from "./result-address.ts";

/** Maximum number of redirects that are followed. */
const MAX_REDIRECTS = 5;
/** Maximum seconds until the file begins, redirects included. */
const ANSWER_SECONDS = 60;
/** Maximum seconds until its last byte; the isolate may end sooner. */
const COPY_SECONDS = 300;
const REDIRECTS = [301, 302, 303, 307, 308];
/** Statuses of object stores for an expired URL. */
const EXPIRED = [401, 403, 404, 410];

/** Opens results; see {@link createResultDownload}. */
export type ResultDownload = (
  address: string,
  options: { maxBytes: number; signal: AbortSignal },
) => Promise<ReadableStream<Uint8Array> | null>;

/**
 * Opens the results of one provider, as streams that must be read or cancelled.
 *
 * Guarantees: only public hosts are fetched from, over https (see {@link addressProblem}), also after each redirect; a
 * host whose name resolves to a private address is refused as well. When the provider's own address is this machine,
 * its results may be on this machine too. No key and no cookie is sent. The response begins within a minute and ends
 * within five. Its size is limited where it is stored, not here.
 *
 * The download returns null when the URL has expired. It throws {@link JobFailure}: `provider_answer_invalid` (final)
 * for a URL that must not be fetched, `output_too_large` (final) for a file whose Content-Length is too large,
 * `provider_unavailable` (retryable) for everything else.
 */
export function createResultDownload(
  platform: Pick<PlatformDeps, "fetch" | "resolveHost">,
  providerUrl: string,
): ResultDownload {
  const mayBeLocal = isLoopback(new URL(providerUrl));

  async function requireAllowed(url: URL): Promise<void> {
    const problem = addressProblem(url, mayBeLocal) ??
      (isLoopback(url) ? null : await nameProblem(platform, url.hostname));
    if (problem === null) return;
    throw JobFailure.final("provider_answer_invalid", {
      // The path and the query are signed: they would let a reader of the log fetch the file.
      cause: new Error(`the result's address ${url.origin} ${problem}`),
    });
  }

  return async (address, { maxBytes, signal }) => {
    const silence = new AbortController();
    const tooLong = setTimeout(
      () => silence.abort(new DOMException("no answer", "TimeoutError")),
      ANSWER_SECONDS * 1000,
    );
    const bounds = AbortSignal.any([
      signal,
      silence.signal,
      AbortSignal.timeout(COPY_SECONDS * 1000),
    ]);
    try {
      let url = parseAddress(address);
      for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
        await requireAllowed(url);
        const response = await request(platform.fetch, url, bounds);
        const location = response.headers.get("location");
        if (!REDIRECTS.includes(response.status) || location === null) {
          return await bodyOf(response, maxBytes);
        }
        await response.body?.cancel();
        url = parseAddress(location, url);
      }
    } finally {
      clearTimeout(tooLong);
    }
    throw unavailable(
      new Error(`the result is redirected more than ${MAX_REDIRECTS} times`),
    );
  };
}

async function request(
  fetch: PlatformDeps["fetch"],
  url: URL,
  signal: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(url, { redirect: "manual", signal });
  } catch (cause) {
    throw unavailable(cause);
  }
}

async function bodyOf(
  response: Response,
  maxBytes: number,
): Promise<ReadableStream<Uint8Array> | null> {
  const isTooLarge = Number(response.headers.get("content-length") ?? 0) >
    maxBytes;
  if (response.ok && response.body !== null && !isTooLarge) {
    return response.body;
  }
  await response.body?.cancel();
  if (response.ok && isTooLarge) {
    throw JobFailure.final("output_too_large");
  }
  if (EXPIRED.includes(response.status)) return null;
  throw unavailable(new Error(`the result answers ${response.status}`));
}

/** Why a host's name resolves to an address that must not be fetched from, or null. */
async function nameProblem(
  platform: Pick<PlatformDeps, "resolveHost">,
  hostname: string,
): Promise<string | null> {
  const addresses = hostname.startsWith("[") || isPublicIp(hostname)
    ? []
    : await platform.resolveHost(hostname);
  return addresses.every(isPublicIp)
    ? null
    : "leads to an address that is not of the public internet";
}

function parseAddress(address: string, base?: URL): URL {
  try {
    return new URL(address, base);
  } catch (cause) {
    throw JobFailure.final("provider_answer_invalid", {
      cause,
    });
  }
}

function unavailable(cause: unknown): JobFailure {
  return JobFailure.retryable("provider_unavailable", { cause });
}
