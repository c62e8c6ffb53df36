/** The icons: strokes on a grid of 24, in the colour of the text around them. */

import { type IconName, PATHS } from "./icon-paths.ts";

export type { IconName };

/** An icon. Hidden from screen readers, which read the text next to it. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
