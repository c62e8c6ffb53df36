/** Short messages that come and go. Anything that needs an action belongs in the page instead. */
import { signal } from "@preact/signals";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";

interface Toast {
  id: number;
  kind: "good" | "bad";
  text: string;
}

const SHOWN_MS = 6000;
const MOST = 3;

const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Shows a message. A failure stays until it is dismissed; anything else goes after six seconds. */
export function toast(text: string, kind: "good" | "bad" = "good"): void {
  const id = ++lastId;
  const others = toasts.value.filter((one) => one.text !== text);
  toasts.value = [...others.slice(1 - MOST), { id, kind, text }];
  if (kind === "good") setTimeout(() => dismiss(id), SHOWN_MS);
}

/** The messages; once in a page. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
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
