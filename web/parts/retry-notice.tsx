/** A notice about what could not be read. */
import type { ComponentChildren } from "preact";
import { Notice } from "./notice.tsx";

/** Says what is wrong, and offers to try again. */
export function RetryNotice(
  { children, onRetry }: {
    children: ComponentChildren;
    onRetry: () => unknown;
  },
) {
  return (
    <Notice kind="warn">
      {children}{" "}
      <button type="button" class="as-link" onClick={() => onRetry()}>
        Try again
      </button>
    </Notice>
  );
}
