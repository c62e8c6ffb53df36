/** A word in a coloured frame: the state of something. Colour alone never says it. */
import type { ComponentChildren } from "preact";
import type { Tone } from "./tone.ts";

export type { Tone };

/** The badge. */
export function Badge(
  { tone = "plain", children }: { tone?: Tone; children: ComponentChildren },
) {
  return <span class={`badge ${tone}`}>{children}</span>;
}
