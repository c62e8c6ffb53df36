/**
 * The parts of the seed that SQL cannot create: the family's files in Storage, and its voice and film at the simulated
 * providers.
 */
import { z } from "zod";
import { makeFilm } from "../simulators/film/film.ts";
import { StackError } from "../stack/console/stack-error.ts";

const ANNA = "a11a0000-0000-4000-8000-000000000001";
/** The ids in the rows of `voices` and `avatars`. */
const VOICE_ID = "seedVoiceOfGrandpa01";
const TALK_ID = "seed_tlk_grandpa";
/** The simulators accept any key. */
const KEY = "simulated-seed";

interface SeedFile {
  /** `<bucket>/<name>` in Storage. */
  path: string;
  type: string;
  /** A file of the repository, or a function that creates it. */
  source: URL | (() => Promise<Uint8Array<ArrayBuffer>>);
}

const photos = ["morning", "boat", "rain", "evening"].map((time) => ({
  name: `attersee-${time}.jpg`,
  source: new URL(`media/attersee-${time}.jpg`, import.meta.url),
}));
const PORTRAIT = new URL(
  "../../tests/fixtures/portraits/face.jpg",
  import.meta.url,
);
const RECORDING = new URL(
  "../../tests/fixtures/recordings/speech-24s.mp3",
  import.meta.url,
);

const FILES: readonly SeedFile[] = [
  ...photos.flatMap(({ name, source }) =>
    ["uploads", "published-media"].map((bucket) => ({
      path: `${bucket}/${ANNA}/${name}`,
      type: "image/jpeg",
      source,
    }))
  ),
  {
    path: `uploads/${ANNA}/grandpa-josef.jpg`,
    type: "image/jpeg",
    source: PORTRAIT,
  },
  {
    path: `voice-samples/${ANNA}/grandpa-josef.mp3`,
    type: "audio/mpeg",
    source: RECORDING,
  },
  {
    path: `recordings/${ANNA}/sunday-call.m4a`,
    type: "audio/mp4",
    source: new URL(
      "../../tests/fixtures/recordings/speech.m4a",
      import.meta.url,
    ),
  },
  {
    path: `outputs/${ANNA}/grandpa-reads.mp3`,
    type: "audio/mpeg",
    source: RECORDING,
  },
  {
    path: `outputs/${ANNA}/sunday-call.json`,
    type: "application/json",
    source: new URL("media/sunday-call.json", import.meta.url),
  },
  {
    path: `outputs/${ANNA}/grandpa-tells-of-the-lake.mp4`,
    type: "video/mp4",
    // As the simulated D-ID creates it.
    source: async () => {
      const [photo, recording] = await Promise.all([
        Deno.readFile(PORTRAIT),
        Deno.readFile(RECORDING),
      ]);
      return (await makeFilm(photo, recording)).bytes;
    },
  },
  {
    path: `pdfs/${ANNA}/summer-at-the-attersee.pdf`,
    type: "application/pdf",
    source: new URL("media/summer-at-the-attersee.pdf", import.meta.url),
  },
];

/** A running stack, with its simulators if it has them. */
export interface SeededStack {
  apiUrl: string;
  secretKey: string;
  simulatorUrl: string | undefined;
}

/**
 * Uploads the family's files and registers its voice and film, if the family is in the database; does nothing for the
 * seed of another project. Idempotent: existing objects are kept or replaced by identical ones.
 *
 * @throws {StackError} with the response of the service that refused.
 */
export async function seedFamily(stack: SeededStack): Promise<void> {
  const { apiUrl, secretKey, simulatorUrl } = stack;
  const headers = { apikey: secretKey, authorization: `Bearer ${secretKey}` };
  const anna = await send(`${apiUrl}/auth/v1/admin/users/${ANNA}`, {
    headers,
  });
  if (anna === null) return;
  await Promise.all(
    FILES.map(async ({ path, type, source }) =>
      await send(`${apiUrl}/storage/v1/object/${path}`, {
        method: "POST",
        headers: { ...headers, "content-type": type, "x-upsert": "true" },
        body: source instanceof URL
          ? await Deno.readFile(source)
          : await source(),
      })
    ),
  );
  if (simulatorUrl === undefined) return;
  await Promise.all([registerVoice(simulatorUrl), submitFilm(simulatorUrl)]);
}

async function registerVoice(simulatorUrl: string): Promise<void> {
  const headers = { "xi-api-key": KEY };
  const voices = `${simulatorUrl}/elevenlabs/v1/voices`;
  if (await send(`${voices}/${VOICE_ID}`, { headers }) !== null) return;
  const body = new FormData();
  body.append("name", "Grandpa Josef");
  body.append("description", "warm and slow");
  body.append("labels", JSON.stringify({ language: "en" }));
  body.append("files", await file(RECORDING, "audio/mpeg"));
  await send(`${voices}/add`, {
    method: "POST",
    headers: { ...headers, "x-simulated-id": VOICE_ID },
    body,
  });
}

async function submitFilm(simulatorUrl: string): Promise<void> {
  const headers = { authorization: `Basic ${KEY}` };
  const dId = `${simulatorUrl}/d-id`;
  if (await send(`${dId}/talks/${TALK_ID}`, { headers }) !== null) return;
  const upload = async (kind: "image" | "audio", source: File) => {
    const body = new FormData();
    body.append(kind, source);
    return uploadSchema.parse(
      await send(`${dId}/${kind}s`, { method: "POST", headers, body }),
    ).url;
  };
  await send(`${dId}/talks`, {
    method: "POST",
    headers: { ...headers, "x-simulated-id": TALK_ID },
    body: JSON.stringify({
      source_url: await upload("image", await file(PORTRAIT, "image/jpeg")),
      script: {
        type: "audio",
        audio_url: await upload("audio", await file(RECORDING, "audio/mpeg")),
      },
      name: "Grandpa tells of the lake",
    }),
  });
}

const uploadSchema = z.object({ url: z.string() });

async function file(source: URL, type: string): Promise<File> {
  const name = source.pathname.split("/").at(-1) ?? "";
  return new File([await Deno.readFile(source)], name, { type });
}

/** The JSON response, or null when the object does not exist: 404, or ElevenLabs' 400 for an unknown voice. */
async function send(url: string, init: RequestInit): Promise<unknown> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  if (response.status === 404 || text.includes("voice_not_found")) return null;
  throw new StackError(
    `The seed's files cannot be put in place: ${
      new URL(url).pathname
    } answers ${response.status} ${text}`,
  );
}
