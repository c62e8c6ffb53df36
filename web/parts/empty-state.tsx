/** What is shown where there is nothing yet: what will be here, and how to begin. */
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.tsx";

/** The empty state; `children` are what to do. */
export function EmptyState(
  { icon, title, text, children }: {
    icon: IconName;
    title: string;
    text: string;
    children?: ComponentChildren;
  },
) {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={icon} />
      </span>
      <p class="empty-title">{title}</p>
      <p class="soft">{text}</p>
      {children}
    </div>
  );
}
