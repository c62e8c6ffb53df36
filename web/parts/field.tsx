/** A labelled control. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** A label, the control that `children` makes with the given id, and below it a hint or what is wrong. */
export function Field(
  { label, hint, problem, children }: {
    label: string;
    hint?: ComponentChildren;
    problem?: string | undefined;
    children: (
      id: string,
      describedBy: string | undefined,
    ) => ComponentChildren;
  },
) {
  const id = useId();
  const hasHint = hint !== undefined || problem !== undefined;
  const describedBy = hasHint ? `${id}-hint` : undefined;
  return (
    <div class={`field${problem === undefined ? "" : " wrong"}`}>
      <label for={id}>{label}</label>
      {children(id, describedBy)}
      {hasHint && <p id={describedBy} class="hint">{problem ?? hint}</p>}
    </div>
  );
}
