/** The state of one user's studio besides the jobs: the available job types, and their voices. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import {
  isAiJobsError,
  type JobType,
  type UploadedFile,
} from "../../client/mod.ts";
import type { Backend } from "../shell/backend.ts";
import { type Fields, isFields, numberOf, textOf } from "../shell/config.ts";
import { toast } from "../parts/toast.tsx";
import { describeError } from "../words/errors.ts";
import { createDrafts } from "./drafts.ts";
import { FileProblem, typeOf } from "./file-checks.ts";
import { HiddenJobs } from "./hidden.ts";
import { isRecording } from "./recorder.ts";
import { Submission } from "./submission.ts";

/** A voice that can speak. */
export interface Voice {
  id: string;
  name: string;
  /** Whether it is the user's own, and can be deleted. */
  isOwn: boolean;
  /** The job that cloned it. */
  jobId?: string | undefined;
}

/** The inputs that a job type accepts. */
export interface Offer {
  maxBytes: number;
  stockVoices: readonly string[];
}

/** The ready-made voices by the names that the provider gives them. */
const STOCK_NAMES: Readonly<Record<string, string>> = {
  "21m00Tcm4TlvDq8ikWAM": "Rachel (ready-made)",
  pNInz6obpgDQGcFmaJgB: "Adam (ready-made)",
};

/** Delay before offers and voices that could not be read are read again. */
const RELOAD_MS = 5000;

/** SQLSTATE of a second row with the same path. */
const UNIQUE_VIOLATION = "23505";

/** Rows of a response of the Data API. Throws its error. */
export function rowsOf(response: { data: unknown; error: unknown }): Fields[] {
  if (response.error !== null) throw response.error;
  return (Array.isArray(response.data) ? response.data : [response.data])
    .filter(
      isFields,
    );
}

/** The id of the row that was inserted. Throws the reason where it was not. */
export function idOf(response: { data: unknown; error: unknown }): string {
  const [row] = rowsOf(response);
  return row === undefined ? "" : textOf(row, "id") ?? "";
}

/** Uploads in progress, over the whole page: leaving it would abort them. */
let uploads = 0;
addEventListener("beforeunload", (event) => {
  if (uploads > 0 || current?.hasRecording === true) event.preventDefault();
});

let current: Studio | undefined;

/** The studio of a user: the same until another user signs in, so that a draft survives a visit to another page. */
export function studioOf(backend: Backend, userId: string): Studio {
  if (current?.userId !== userId) current = new Studio(backend, userId);
  return current;
}

/** Forgets the studio, with its drafts. */
export function closeStudio(): void {
  current = undefined;
}

/** The state of one person's studio. */
export class Studio {
  readonly backend: Backend;
  readonly userId: string;
  readonly drafts = createDrafts();
  readonly hidden: HiddenJobs;
  readonly #submissions = new Map<JobType, Submission>();
  readonly #offers = signal<ReadonlyMap<string, Offer> | null>(null);
  readonly #voices = signal<readonly Voice[] | null>(null);
  #loads = 0;

  constructor(backend: Backend, userId: string) {
    this.backend = backend;
    this.userId = userId;
    this.hidden = new HiddenJobs(userId);
  }

  /** Whether the microphone has recorded something that is not sent yet, and nowhere else. */
  get hasRecording(): boolean {
    const { voice, film, call } = this.drafts;
    return [voice, film, call].some(({ recording }) =>
      recording.peek() !== null && isRecording(recording.peek())
    );
  }

  /** Whether its user is still the last one who has signed in. */
  get isCurrent(): boolean {
    return current === this;
  }

  /** The sending of the form for a job type. */
  submissionOf(type: JobType): Submission {
    const submission = this.#submissions.get(type) ?? new Submission(this);
    this.#submissions.set(type, submission);
    return submission;
  }

  /** By type; null until it is read. A disabled type is left out. */
  get offers(): ReadonlySignal<ReadonlyMap<string, Offer> | null> {
    return this.#offers;
  }

  /** Own voices first, the newest first; null until they are read. */
  get voices(): ReadonlySignal<readonly Voice[] | null> {
    return this.#voices;
  }

  /**
   * Reads offers and voices. Reports a failure, and tries again until they are read or a later call reads them. Never
   * rejects.
   */
  async load(): Promise<void> {
    const load = ++this.#loads;
    const { current } = this.backend.session;
    const isWanted = () =>
      load === this.#loads && this.isCurrent && current.peek().state === "in";
    for (let isFirst = true; isWanted(); isFirst = false) {
      try {
        const { offers, voices } = await this.#read();
        if (!isWanted()) return;
        this.#offers.value = offers;
        this.#voices.value = voices;
        return;
      } catch (error) {
        if (isFirst && isWanted()) toast(this.explain(error), "bad");
      }
      await new Promise((resolve) => setTimeout(resolve, RELOAD_MS));
    }
  }

  /** Removes a voice that was deleted from the list, before that is read again. */
  forgetVoice(id: string): void {
    this.#voices.value =
      this.#voices.peek()?.filter((voice) => voice.id !== id) ?? null;
  }

  async #read() {
    const { supabase } = this.backend;
    const [types, voices] = await Promise.all([
      supabase.from("ai_job_types").select(
        "job_type,input_max_bytes,stock_voice_ids",
      ),
      supabase.from("voices").select("id,name,job_id").order("created_at", {
        ascending: false,
      }),
    ]);
    const offers = new Map(
      rowsOf(types).map((row): [string, Offer] => {
        const ids = row["stock_voice_ids"];
        return [textOf(row, "job_type") ?? "", {
          maxBytes: numberOf(row, "input_max_bytes") ?? 0,
          stockVoices: Array.isArray(ids) ? ids.map(String) : [],
        }];
      }),
    );
    const stock = offers.get("text_to_speech")?.stockVoices ?? [];
    const all: Voice[] = [
      ...rowsOf(voices).map((row) => ({
        id: textOf(row, "id") ?? "",
        name: textOf(row, "name") ?? "",
        isOwn: true,
        jobId: textOf(row, "job_id"),
      })),
      ...stock.map((id, index) => ({
        id,
        name: STOCK_NAMES[id] ?? `Ready-made ${index + 1}`,
        isOwn: false,
      })),
    ];
    return { offers, voices: all };
  }

  /** Uploads a file. @throws as `jobs.upload` does. */
  async upload(
    file: File,
    bucket: string,
    onProgress: (percent: number) => void,
  ): Promise<UploadedFile> {
    uploads++;
    try {
      return await this.backend.jobs.upload(file, {
        bucket,
        contentType: typeOf(file),
        onProgress: ({ progress }) => onProgress(progress),
      });
    } finally {
      uploads--;
    }
  }

  /** Inserts a row for an uploaded file and resolves with its id, also when an earlier call has inserted it. */
  async addMedia(
    kind: "audio" | "image" | "video",
    file: File,
    path: string,
  ): Promise<string> {
    const { supabase } = this.backend;
    const inserted = await supabase.from("media").insert({
      media_type: kind,
      storage_path: path,
      file_name: file.name,
      content_type: typeOf(file),
      size_bytes: file.size,
    }).select("id").single();
    return idOf(
      inserted.error?.code === UNIQUE_VIOLATION
        ? await supabase.from("media").select("id").eq("storage_path", path)
          .single()
        : inserted,
    );
  }

  /**
   * The text of an error. An error of an expired session also renews the session, so that the action can be repeated, or
   * ends it, which shows the sign-in.
   */
  explain(error: unknown): string {
    if (error instanceof FileProblem) return error.message;
    if (isAiJobsError(error) && error.name === "NotSignedIn") {
      void this.backend.session.refuse(error.code);
      if (error.code === "unauthenticated") {
        return "Your session could not be confirmed. Try again.";
      }
    }
    return describeError(error);
  }

  /** Runs the action of a click; an error is shown as a toast. Resolves with whether there was none. */
  async attempt(action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      toast(this.explain(error), "bad");
      return false;
    }
  }
}

const StudioContext = createContext<Studio | undefined>(undefined);

/** Gives a studio to everything inside. */
export const StudioProvider = StudioContext.Provider;

/** The studio. Only inside {@link StudioProvider}. */
export function useStudio(): Studio {
  const studio = useContext(StudioContext);
  if (studio === undefined) throw new TypeError("no studio is provided");
  return studio;
}
