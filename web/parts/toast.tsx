/** Short messages that come and go. Anything that needs an action belongs in the page instead. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";

interface Toast {
  id: number;
  kind: "good" | "bad";
  text: string;
  about: string | undefined;
}

const SHOWN_MS = { good: 6000, bad: 15_000 };
const MAX_TOASTS = 3;

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/**
 * Shows a message. It disappears after six seconds, a failure after fifteen, and before that when there is another one
 * about the same thing: it would speak of an earlier state.
 */
export function toast(
  text: string,
  kind: "good" | "bad" = "good",
  about?: string,
): void {
  const id = ++lastId;
  const others = toasts.value.filter((one) =>
    one.text !== text && (about === undefined || one.about !== about)
  );
  toasts.value = [...others.slice(1 - MAX_TOASTS), { id, kind, text, about }];
  setTimeout(() => dismiss(id), SHOWN_MS[kind]);
}

/** Removes the messages about something whose state has changed. */
export function dismissAbout(about: string): void {
  if (toasts.peek().some((one) => one.about === about)) {
    toasts.value = toasts.value.filter((one) => one.about !== about);
  }
}

/** The messages; once in a page. */
export function Toasts() {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = box;
    if (current === null || toasts.value.length === 0) return;
    // The newest element of the top layer lies above an open dialog.
    if (current.matches(":popover-open")) current.hidePopover();
    current.showPopover();
  }, [toasts.value]);
  return (
    <div
      ref={box}
      popover="manual"
      class="toasts"
      role="status"
      aria-live="polite"
    >
      {toasts.value.map(({ id, kind, text }) => (
        <div key={id} class={`toast ${kind}`}>
          <Icon name={kind === "good" ? "check" : "warning"} />
          <span>{text}</span>
          <Button
            kind="quiet"
            isSmall
            icon="close"
            label="Dismiss"
            onClick={() =>
              dismiss(id)}
          />
        </div>
      ))}
    </div>
  );
}
