/** The headers of a response that a library does not expose. */
import { AsyncLocalStorage } from "node:async_hooks";

interface Note {
  headers: Headers | undefined;
}

const notes = new AsyncLocalStorage<Note>();
let isListening = false;

/**
 * Runs `work` with a function that returns the headers of the latest response of the global `fetch` within `work`;
 * undefined before the first.
 *
 * For libraries that use the global `fetch`, accept no other and drop the headers. Guarantees: concurrent works do not
 * see each other's responses; for all other code the global `fetch` behaves as before. The first call replaces the global
 * `fetch` by one that records the headers.
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
    // Read before the call: the work that began it gets the headers, even if another runs when the response arrives.
    const note = notes.getStore();
    const response = await inner(input, init);
    if (note !== undefined) note.headers = response.headers;
    return response;
  };
}
