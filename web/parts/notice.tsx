/** Something to know, in the place that it is about. */
import type { ComponentChildren } from "preact";
import { Icon } from "./icon.tsx";

/** A framed sentence. A bad one is announced immediately. */
export function Notice(
  { kind, children }: {
    kind: "good" | "warn" | "bad";
    children: ComponentChildren;
  },
) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <Icon name={kind === "good" ? "check" : "warning"} />
      <div>{children}</div>
    </div>
  );
}
