/** Speech to text at the simulated ElevenLabs. */
import { z } from "zod";
import { missing } from "./errors.ts";
import { toIssues } from "./forms.ts";
import type { Workspace } from "./speech.ts";
import { findMarker } from "../marker.ts";
import type { ReceivedRequest, SimulatedResponse } from "../provider.ts";
import { decodedSeconds, sha256 } from "../sound.ts";
import type { Records, State } from "../state.ts";
import { type Delivery, hexHmac, WebhookSender } from "../webhooks.ts";

/** Minimum duration of sound that the vendor accepts. */
const MINIMUM_SECONDS = 0.1;

const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const formSchema = z.object({
  model_id: z.enum(["scribe_v1", "scribe_v2"]),
  language_code: z.string().min(2).max(3).optional(),
  diarize: flag.default(false),
  num_speakers: z.coerce.number().int().min(1).max(32).optional(),
  timestamps_granularity: z.enum(["none", "word", "character"]).default("word"),
  tag_audio_events: flag.default(true),
  webhook: flag.default(false),
  webhook_metadata: z.string().max(16_384).transform((text, context) => {
    try {
      return z.looseObject({}).parse(JSON.parse(text));
    } catch {
      context.addIssue({ code: "custom", message: "must be a JSON object" });
      return z.NEVER;
    }
  }).optional(),
  cloud_storage_url: z.url().optional(),
});

/** Hosts from which files are downloaded: only this machine, because a simulator makes no requests to others. */
const OWN_HOSTS = ["127.0.0.1", "localhost", "[::1]"];

/** The transcript of every recording, repeated to its length. */
const HEARD =
  "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do for them."
    .split(" ");
const SECONDS_PER_WORD = 0.3;
const WORDS_PER_TURN = HEARD.length;

const madeSchema = z.object({
  body: z.unknown(),
  marker: z.string().nullable(),
  readyAt: z.number(),
}).readonly();
/** A transcript, and when it becomes readable. */
type Made = z.output<typeof madeSchema>;

/** The submitted form, or null when it cannot be parsed. */
interface SentForm {
  readonly fields: Readonly<Record<string, string>>;
  readonly file: File | null;
}

/** Speech to text. */
export class Transcripts {
  readonly #workspace: Workspace;
  readonly #forms = new WeakMap<ReceivedRequest, Promise<SentForm | null>>();
  readonly #webhooks: WebhookSender;
  readonly #made: Records<Made>;

  constructor(workspace: Workspace, state: State) {
    this.#workspace = workspace;
    this.#webhooks = new WebhookSender(workspace.clock);
    this.#made = state.records("elevenlabs.transcripts", madeSchema);
  }

  /** Deletes every transcript and cancels pending webhooks. */
  async reset(): Promise<void> {
    this.#made.clear();
    await this.stop();
  }

  /** Cancels pending webhooks. */
  async stop(): Promise<void> {
    await this.#webhooks.clear();
  }

  /** The marker of a request: in its webhook's metadata, its file name, or the transcript that it requests. */
  async marker(request: ReceivedRequest, id: string): Promise<string | null> {
    const form = await this.#form(request);
    return findMarker([form?.fields["webhook_metadata"], form?.file?.name]) ??
      this.#made.get(id)?.marker ?? null;
  }

  /** `POST /v1/speech-to-text` */
  async transcribe(
    { request, apiKey }: { request: ReceivedRequest; apiKey: string },
  ): Promise<SimulatedResponse> {
    const { answer, refuse, errorResponse, account, clock, ledger } =
      this.#workspace;
    const form = await this.#form(request);
    if (form === null) {
      return answer(400, { detail: "There was an error parsing the body" });
    }
    const given = formSchema.safeParse(form.fields);
    if (!given.success) return refuse(toIssues("body", given.error));
    const { cloud_storage_url: url, webhook } = given.data;
    if ((form.file === null) === (url === undefined)) {
      return refuse([missing("body", "file")]);
    }
    if (webhook && account().webhook_endpoint === null) {
      return refuse([{
        loc: ["body", "webhook"],
        msg: "no webhook is configured",
        type: "value_error",
      }]);
    }
    const file = form.file ?? await fetchFile(url ?? "");
    if (file === null) return errorResponse("invalid_content");
    const bytes = new Uint8Array(await file.arrayBuffer());
    const seconds = await decodedSeconds(bytes);
    if (seconds === null || seconds < MINIMUM_SECONDS) {
      return errorResponse("invalid_content");
    }
    const id = crypto.randomUUID().replaceAll("-", "").slice(0, 20);
    const marker = findMarker([form.fields["webhook_metadata"], file.name]);
    const body = transcriptBody(id, seconds, given.data);
    const readyAt = clock.now() + (webhook ? account().transcript_ms : 0);
    this.#made.set(id, { body, marker, readyAt });
    ledger.add({
      provider: "elevenlabs",
      operation: "transcripts",
      id,
      marker,
      request: {
        ...form.fields,
        seconds: Math.round(seconds * 1000) / 1000,
        files: [{
          name: file.name,
          type: file.type,
          bytes: bytes.length,
          sha256: await sha256(bytes),
          seconds: Math.round(seconds * 1000) / 1000,
        }],
      },
      bytes: bytes.length,
      api_key_tail: apiKey.slice(-4),
    }, clock.now());
    if (!webhook) return answer(200, body);
    const requestId = crypto.randomUUID().replaceAll("-", "").slice(0, 20);
    this.#announce(requestId, body, given.data.webhook_metadata);
    return answer(200, {
      message: "Request processed successfully",
      request_id: requestId,
      ...(account().returns_transcript_id ? { transcription_id: id } : {}),
    });
  }

  /** The webhook of a transcript: signed as in docs/simulators.md, and sent once. */
  #announce(requestId: string, transcription: unknown, metadata: unknown) {
    const { webhooks, webhook_delay_ms, transcript_ms } = this.#workspace
      .account();
    if (webhooks === "lost") return;
    const wait = webhooks === "early" ? 0 : transcript_ms;
    this.#webhooks.schedule(wait + webhook_delay_ms, async () => {
      const endpoint = this.#workspace.account().webhook_endpoint;
      if (endpoint === null) return [];
      const isTrue = webhooks !== "forged" && webhooks !== "early";
      // Real time, because the receiver's clock does not follow the simulators'.
      const time = String(Math.floor(Date.now() / 1000));
      const body = JSON.stringify({
        type: "speech_to_text_transcription",
        event_timestamp: Number(time),
        data: {
          request_id: requestId,
          webhook_metadata: metadata,
          transcription: isTrue
            ? transcription
            : { text: "Nobody has said this.", words: [] },
        },
      });
      const secret = webhooks === "forged" ? "guessed" : endpoint.secret;
      const delivery: Delivery = {
        url: endpoint.url,
        headers: {
          "elevenlabs-signature": `t=${time},v0=${await hexHmac(
            secret,
            `${time}.${body}`,
          )}`,
        },
        body,
      };
      return webhooks === "doubled" ? [delivery, delivery] : [delivery];
    });
  }

  /** `GET /v1/speech-to-text/transcripts/{id}` */
  get({ id }: { id: string }): SimulatedResponse {
    const made = this.#made.get(id);
    return made === undefined || made.readyAt > this.#workspace.clock.now()
      ? this.#workspace.answer(404, {
        detail: {
          status: "transcript_not_found",
          message: "Transcript not found.",
        },
      })
      : this.#workspace.answer(200, made.body);
  }

  /** `DELETE /v1/speech-to-text/transcripts/{id}` */
  delete({ id }: { id: string }): SimulatedResponse {
    const { clock, ledger } = this.#workspace;
    const answer = this.get({ id });
    if (answer.status !== 200) return answer;
    this.#made.delete(id);
    ledger.markDeleted("elevenlabs", id, clock.now());
    return this.#workspace.answer(200, {
      message: "Delete completed successfully.",
    });
  }

  #form(request: ReceivedRequest): Promise<SentForm | null> {
    const form = this.#forms.get(request) ?? readForm(request);
    this.#forms.set(request, form);
    return form;
  }
}

/** The file at a URL of this machine, or null. */
async function fetchFile(address: string): Promise<File | null> {
  const url = new URL(address);
  if (!OWN_HOSTS.includes(url.hostname)) return null;
  try {
    const response = await fetch(url);
    const bytes = await response.arrayBuffer();
    if (!response.ok) return null;
    return new File([bytes], url.pathname.split("/").at(-1) ?? "", {
      type: response.headers.get("content-type") ?? "",
    });
  } catch {
    return null;
  }
}

async function readForm(request: ReceivedRequest): Promise<SentForm | null> {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) return null;
  let form: FormData;
  try {
    form = await new Response(request.body, {
      headers: { "content-type": type },
    }).formData();
  } catch {
    return null;
  }
  const fields: Record<string, string> = {};
  for (const [name, value] of form) {
    if (typeof value === "string" && value !== "") fields[name] = value;
  }
  const file = form.get("file");
  return { fields, file: file instanceof File ? file : null };
}

function transcriptBody(
  id: string,
  seconds: number,
  form: z.output<typeof formSchema>,
): unknown {
  const count = Math.max(1, Math.floor(seconds / SECONDS_PER_WORD));
  const speakers = form.num_speakers ?? 2;
  const speaker = (index: number) =>
    form.diarize
      ? `speaker_${Math.floor(index / WORDS_PER_TURN) % speakers}`
      : null;
  const words = Array.from({ length: count }, (_, index) => {
    const start = index * SECONDS_PER_WORD;
    return {
      text: HEARD[index % HEARD.length] ?? "",
      start,
      end: start + SECONDS_PER_WORD * 0.8,
      type: "word",
      speaker_id: speaker(index),
      logprob: -0.05,
    };
  });
  return {
    language_code: form.language_code ?? "eng",
    language_probability: 0.99,
    text: words.map(({ text }) => text).join(" "),
    words: form.timestamps_granularity === "none"
      ? []
      : words.flatMap((word, index) => {
        const next = words[index + 1];
        return next === undefined ? [word] : [word, {
          text: " ",
          start: word.end,
          end: next.start,
          type: "spacing",
          speaker_id: word.speaker_id,
          logprob: 0,
        }];
      }),
    transcription_id: id,
    audio_duration_secs: seconds,
  };
}
