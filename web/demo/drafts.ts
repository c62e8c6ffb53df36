/** What a user has begun in the forms of the studio and not sent yet. It outlives the forms, which are shown one at a time. */
import { type Signal, signal } from "@preact/signals";
import { isFields, textOf } from "../shell/config.ts";
import type { Job } from "../../client/mod.ts";

/** A photo of a book. */
export interface Slide {
  id: number;
  file: File;
  caption: string;
}

/** Sizes of a book's pages. */
export const PAGE_SIZES = ["square", "a4", "letter"] as const;

const none = (): Signal<File | null> => signal(null);

/** Empty drafts of all forms. */
export function createDrafts() {
  return {
    voice: { recording: none(), name: signal("") },
    speech: { text: signal(""), voice: signal("") },
    film: {
      photo: none(),
      recording: none(),
      text: signal(""),
      voice: signal(""),
      isWritten: signal(true),
    },
    call: { recording: none(), speakers: signal("") },
    book: {
      title: signal(""),
      size: signal<(typeof PAGE_SIZES)[number]>("square"),
      slides: signal<readonly Slide[]>([]),
    },
  };
}

/** The drafts of one user. */
export type Drafts = ReturnType<typeof createDrafts>;

/** A form. */
export type ToolId = keyof Drafts;

/** Empties a part of a draft that was sent, unless it has been changed since. */
export function clearSent<T>(part: Signal<T>, sent: T, empty: T): void {
  if (part.peek() === sent) part.value = empty;
}

/** The forms in which something has begun: a file is chosen, or a text is written. */
export function begunIn({ voice, speech, film, call, book }: Drafts): ToolId[] {
  const begun: Record<ToolId, boolean> = {
    voice: voice.recording.value !== null || voice.name.value !== "",
    speech: speech.text.value !== "",
    film: film.photo.value !== null || film.recording.value !== null ||
      film.text.value !== "",
    call: call.recording.value !== null,
    book: book.slides.value.length > 0 || book.title.value !== "",
  };
  return TOOL_IDS.filter((id) => begun[id]);
}

const TOOL_IDS: readonly ToolId[] = ["voice", "speech", "film", "call", "book"];

/** A new job type has no form until it gets a line here. */
const TOOL_OF: Readonly<Partial<Record<Job["job_type"], ToolId>>> = {
  voice_clone: "voice",
  text_to_speech: "speech",
  avatar_video: "film",
  transcription: "call",
  pdf_render: "book",
};

/** Whether the studio has a form for jobs of a type. */
export function hasForm(jobType: Job["job_type"]): boolean {
  return TOOL_OF[jobType] !== undefined;
}

/** Puts what a job was made of into its form, as far as it is text, and returns which form that is. */
export function draftAgain(
  drafts: Drafts,
  { job_type, metadata }: Pick<Job, "job_type" | "metadata">,
): ToolId | null {
  const fields = isFields(metadata) ? metadata : {};
  const fill = (to: Signal<string>, name: string) =>
    to.value = textOf(fields, name) ?? to.value;
  if (job_type === "voice_clone") fill(drafts.voice.name, "voice_name");
  if (job_type === "text_to_speech") {
    fill(drafts.speech.text, "text");
    fill(drafts.speech.voice, "voice_id");
  }
  if (job_type === "pdf_render") fill(drafts.book.title, "title");
  return TOOL_OF[job_type] ?? null;
}
