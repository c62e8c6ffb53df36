import type { Answer, Clock, ReceivedRequest } from "./provider.ts";

/** A small film of a drawn face that speaks: H.264 and AAC, 5 s, 27 kB. How it was made is in media/README.md. */
export const TALKING_PHOTO: Uint8Array<ArrayBuffer> = Deno.readFileSync(
  new URL("media/talking-photo.mp4", import.meta.url),
);
/** Its length. */
export const TALKING_PHOTO_SECONDS = 5;

/** How rendering goes: what a simulated provider's settings say about the videos made from now on. */
export interface RenderSettings {
  /** Milliseconds from the creation to the end. */
  readonly render_ms: number;
  /** Seconds for which a result URL is good. */
  readonly result_url_seconds: number;
}

/**
 * The address of a result as object stores sign them: `Expires` (unix seconds) and `Signature`. Good for
 * `settings.result_url_seconds` by the simulators' clock, and only unaltered.
 */
export async function signedResultUrl(
  request: ReceivedRequest,
  parts: { provider: string; id: string; clock: Clock; seconds: number },
): Promise<string> {
  const expires = Math.floor(parts.clock.now() / 1000) + parts.seconds;
  const host = request.headers.get("host") ?? "127.0.0.1";
  const query = new URLSearchParams({
    Expires: String(expires),
    Signature: await signature(parts.id, String(expires)),
  });
  return `http://${host}/${parts.provider}/results/${parts.id}.mp4?${query}`;
}

/** The film, or the object store's 403 when the URL has expired or was altered. */
export async function answerResult(
  request: ReceivedRequest,
  id: string,
  clock: Clock,
): Promise<Answer> {
  const expires = request.query.get("Expires") ?? "";
  const isGood = request.query.get("Signature") ===
      await signature(id, expires) &&
    Number(expires) * 1000 > clock.now();
  return isGood
    ? {
      status: 200,
      headers: { "content-type": "video/mp4" },
      body: TALKING_PHOTO,
    }
    : accessDenied();
}

/** What an object store says about a URL that has expired. */
export function accessDenied(): Answer {
  return {
    status: 403,
    headers: { "content-type": "application/xml" },
    body:
      '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
  };
}

async function signature(id: string, expires: string): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(`simulated:${id}:${expires}`),
  );
  return [...new Uint8Array(digest)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
