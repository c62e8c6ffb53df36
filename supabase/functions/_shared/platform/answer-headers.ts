/** The headers of an answer that a library reads and keeps to itself. */
import { AsyncLocalStorage } from "node:async_hooks";

interface Note {
  headers: Headers | undefined;
}

const notes = new AsyncLocalStorage<Note>();
let isListening = false;

/**
 * Runs `work` and lets it ask for the headers of the newest answer that the global `fetch` gave within it; undefined
 * when there was none yet.
 *
 * For libraries that use the global `fetch`, take no other and drop the headers. Guarantees: works that run at the same
 * time do not see each other's answers; to everybody else the global `fetch` is as before. The first call puts a
 * `fetch` in its place that takes the note.
 */
export function withAnswerHeaders<T>(
  work: (newest: () => Headers | undefined) => Promise<T>,
): Promise<T> {
  listen();
  const note: Note = { headers: undefined };
  return notes.run(note, () => work(() => note.headers));
}

function listen(): void {
  if (isListening) return;
  isListening = true;
  const inner = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    // Asked before the call: whoever began it gets the answer, whatever runs when it comes.
    const note = notes.getStore();
    const response = await inner(input, init);
    if (note !== undefined) note.headers = response.headers;
    return response;
  };
}
