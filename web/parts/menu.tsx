/** A menu that its button opens. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** The menu. Escape and a click outside close it, so that only one is open at a time. */
export function Menu(
  { label, button, children }: {
    /** The name of a button without text. */
    label?: string;
    button: ComponentChildren;
    children: ComponentChildren;
  },
) {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const onClick = ({ target }: Event) => {
      if (menu.current === null || !(target instanceof Node)) return;
      if (!menu.current.contains(target)) menu.current.open = false;
    };
    const onKey = ({ key }: KeyboardEvent) => {
      if (key !== "Escape" || menu.current?.open !== true) return;
      const hadFocus = menu.current.contains(document.activeElement);
      menu.current.open = false;
      if (hadFocus) menu.current.querySelector("summary")?.focus();
    };
    document.addEventListener("click", onClick);
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("click", onClick);
      document.removeEventListener("keydown", onKey);
    };
  }, []);
  return (
    <details ref={menu} class="menu">
      <summary aria-label={label}>{button}</summary>
      <div class="menu-body">{children}</div>
    </details>
  );
}
