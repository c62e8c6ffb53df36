/** Videos of the simulated providers: how they are created, and the URLs of their results. */
import { z } from "zod";
import { type Film, FilmError, makeFilm } from "./film/film.ts";
import type { Clock, ReceivedRequest, SimulatedResponse } from "./provider.ts";
import { sha256 } from "./sound.ts";
import { spokenSound } from "./spoken.ts";
import type { State } from "./state.ts";

/** The inputs of a film: a photo, and a recording or a text; files by their SHA-256. */
export const filmRequestSchema = z.object({
  photo: z.string(),
  recording: z.string().nullable(),
  text: z.string(),
}).readonly();
/** See {@link filmRequestSchema}. */
export type FilmRequest = z.output<typeof filmRequestSchema>;

/** Number of films in memory, so that the same one is not created twice in a row. */
const MAX_CACHED_FILMS = 8;

/** The uploads of a simulated provider, and the films made of them. */
export class Films {
  readonly #state: State;
  readonly #made = new Map<string, Promise<Film | null>>();

  constructor(state: State) {
    this.#state = state;
  }

  /** Stores an upload and returns its SHA-256. */
  async keep(file: Blob): Promise<string> {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const key = await sha256(bytes);
    this.#state.putBlob(key, bytes);
    return key;
  }

  /** The film for these inputs, or null when photo or recording cannot be decoded. */
  async make({ photo, recording, text }: FilmRequest): Promise<Film | null> {
    const picture = this.#state.getBlob(photo);
    const sound = recording === null
      ? await spokenSound(text)
      : this.#state.getBlob(recording);
    if (picture === null || sound === null) return null;
    const key = `${photo} ${recording ?? sound.length}`;
    const film = this.#made.get(key) ?? filmOrNull(picture, sound);
    // The most recently used one is last.
    this.#made.delete(key);
    this.#made.set(key, film);
    for (const oldest of this.#made.keys()) {
      if (this.#made.size <= MAX_CACHED_FILMS) break;
      this.#made.delete(oldest);
    }
    return await film;
  }
}

async function filmOrNull(
  photo: Uint8Array<ArrayBuffer>,
  sound: Uint8Array<ArrayBuffer>,
): Promise<Film | null> {
  try {
    return await makeFilm(photo, sound);
  } catch (error) {
    if (error instanceof FilmError) return null;
    throw error;
  }
}

/**
 * A result URL signed like an object store's: `Expires` (unix seconds) and `Signature`. Valid for
 * `settings.result_url_seconds` by the simulators' clock.
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

/** The film, or the object store's 403 when it does not exist or the URL has expired or was altered. */
export async function resultResponse(
  request: ReceivedRequest,
  id: string,
  clock: Clock,
  film: () => Promise<Film | null>,
): Promise<SimulatedResponse> {
  const expires = request.query.get("Expires") ?? "";
  const isGood = request.query.get("Signature") ===
      await signature(id, expires) &&
    Number(expires) * 1000 > clock.now();
  const made = isGood ? await film() : null;
  return made === null ? accessDenied() : {
    status: 200,
    headers: { "content-type": "video/mp4" },
    body: made.bytes,
  };
}

/** The object store's response for an expired URL. */
export function accessDenied(): SimulatedResponse {
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
