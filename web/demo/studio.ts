/** What the studio of one person knows besides the jobs: what is on offer, their voices, what jobs have cost. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { isAiJobsError, type UploadedFile } from "../../client/mod.ts";
import type { Backend } from "../shell/backend.ts";
import { type Fields, isFields, numberOf, textOf } from "../shell/config.ts";
import { toast } from "../parts/toast.tsx";
import { describeError } from "../words/errors.ts";
import { FileProblem, typeOf } from "./files.ts";

/** A voice that can speak. */
export interface Voice {
  id: string;
  name: string;
  /** Whether it is the user's own, and can be deleted. */
  isOwn: boolean;
  /** The job that cloned it. */
  jobId?: string | undefined;
}

/** What a job type takes. */
export interface Offer {
  maxBytes: number;
  stockVoices: readonly string[];
}

/** What a job has cost, in words' raw form: millionths of the currency. */
export interface Cost {
  micros: number;
  currency: string;
}

/** The ready-made voices by the names that the provider gives them. */
const STOCK_NAMES: Readonly<Record<string, string>> = {
  "21m00Tcm4TlvDq8ikWAM": "Rachel (ready-made)",
  pNInz6obpgDQGcFmaJgB: "Adam (ready-made)",
};

/** Rows of an answer of the Data API. Throws its error. */
export function rowsOf(answer: { data: unknown; error: unknown }): Fields[] {
  if (answer.error !== null) throw answer.error;
  return (Array.isArray(answer.data) ? answer.data : [answer.data]).filter(
    isFields,
  );
}

/** The id of the row that was inserted. Throws the reason where it was not. */
export function idOf(answer: { data: unknown; error: unknown }): string {
  const [row] = rowsOf(answer);
  return row === undefined ? "" : textOf(row, "id") ?? "";
}

/** Uploads under way, over the whole page: leaving it would break them off. */
let uploads = 0;
addEventListener("beforeunload", (event) => {
  if (uploads > 0) event.preventDefault();
});

/** The state of one person's studio. */
export class Studio {
  readonly backend: Backend;
  readonly #offers = signal<ReadonlyMap<string, Offer> | null>(null);
  readonly #voices = signal<readonly Voice[] | null>(null);
  readonly #costs = signal<ReadonlyMap<string, Cost>>(new Map());
  readonly #asked = new Set<string>();

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** By type; null until it is read. A type that is switched off is not there. */
  get offers(): ReadonlySignal<ReadonlyMap<string, Offer> | null> {
    return this.#offers;
  }

  /** Own voices first, the newest first; null until they are read. */
  get voices(): ReadonlySignal<readonly Voice[] | null> {
    return this.#voices;
  }

  /** By job, of those that have ended. */
  get costs(): ReadonlySignal<ReadonlyMap<string, Cost>> {
    return this.#costs;
  }

  /** Reads offers and voices. */
  async load(): Promise<void> {
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
    this.#offers.value = offers;
    const stock = offers.get("text_to_speech")?.stockVoices ?? [];
    this.#voices.value = [
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
  }

  /** Reads what jobs that have ended have cost; each once. */
  async readCosts(ids: readonly string[]): Promise<void> {
    const wanted = ids.filter((id) => !this.#asked.has(id));
    if (wanted.length === 0) return;
    for (const id of wanted) this.#asked.add(id);
    try {
      const rows = rowsOf(
        await this.backend.supabase.from("ai_jobs").select(
          "id,cost_micros,cost_currency",
        ).in("id", wanted),
      );
      const costs = new Map(this.#costs.value);
      for (const row of rows) {
        costs.set(textOf(row, "id") ?? "", {
          micros: numberOf(row, "cost_micros") ?? 0,
          currency: (textOf(row, "cost_currency") ?? "USD").toUpperCase(),
        });
      }
      this.#costs.value = costs;
    } catch {
      for (const id of wanted) this.#asked.delete(id);
    }
  }

  /** To be called when a job ended again: its cost is no longer what was read. */
  forgetCost(id: string): void {
    this.#asked.delete(id);
  }

  /** Uploads a file. @throws as `jobs.upload` does. */
  async upload(
    file: File,
    bucket: string,
    onProgress: (fraction: number) => void,
  ): Promise<UploadedFile> {
    uploads++;
    try {
      return await this.backend.jobs.upload(file, {
        bucket,
        contentType: typeOf(file),
        onProgress,
      });
    } finally {
      uploads--;
    }
  }

  /** Writes an uploaded file down as the user's, and resolves with its id. */
  async addMedia(
    kind: "audio" | "image" | "video",
    file: File,
    path: string,
  ): Promise<string> {
    return idOf(
      await this.backend.supabase.from("media").insert({
        media_type: kind,
        storage_path: path,
        file_name: file.name,
        content_type: typeOf(file),
        size_bytes: file.size,
      }).select("id").single(),
    );
  }

  /** An error in words. One that says that the session is over renews or ends it. */
  explain(error: unknown): string {
    if (error instanceof FileProblem) return error.message;
    if (isAiJobsError(error) && error.name === "NotSignedIn") {
      void this.backend.session.renew();
    }
    return describeError(error).text;
  }

  /** Runs the action of a click; what stands in the way is shown as a toast. */
  async attempt(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      toast(this.explain(error), "bad");
    }
  }
}

const StudioContext = createContext<Studio | undefined>(undefined);

/** Gives a studio to everything inside. */
export const StudioProvider = StudioContext.Provider;

/** The studio. Only inside of {@link StudioProvider}. */
export function useStudio(): Studio {
  const studio = useContext(StudioContext);
  if (studio === undefined) throw new TypeError("no studio is provided");
  return studio;
}
