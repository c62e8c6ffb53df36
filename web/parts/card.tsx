/** A card: a raised piece of the page with a heading. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** A section with a heading of level 2 or 3; `end` stands at the end of the heading's line. */
export function Card(
  { title, level = 2, id: anchor, end, class: className = "", children }: {
    title: ComponentChildren;
    /** For links inside the page. */
    id?: string;
    level?: 2 | 3;
    end?: ComponentChildren;
    class?: string;
    children: ComponentChildren;
  },
) {
  const id = useId();
  return (
    <section id={anchor} class={`card ${className}`} aria-labelledby={id}>
      <div class="card-head">
        {level === 2 ? <h2 id={id}>{title}</h2> : <h3 id={id}>{title}</h3>}
        {end}
      </div>
      {children}
    </section>
  );
}
