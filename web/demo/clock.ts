/** The time, once a second while something shows it. */
import { type ReadonlySignal, signal } from "@preact/signals";

let timer: ReturnType<typeof setInterval> | undefined;

const time = signal(Date.now(), {
  watched() {
    time.value = Date.now();
    timer = setInterval(() => time.value = Date.now(), 1000);
  },
  unwatched() {
    clearInterval(timer);
  },
});

/** Milliseconds, as `Date.now()`. */
export const now: ReadonlySignal<number> = time;
