/** Addresses inside the page: one signal, links that change it, and a query that keeps filters shareable. */
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

/** The folder that the page is served from, with a slash at the end: `/` or, on a project page, `/name/`. */
const base =
  new URL(document.documentElement.dataset["base"] ?? "./", location.href)
    .pathname;

const address = signal(new URL(location.href));

/** The route: `/`, `/ops`, and what follows; never with the base, never with a slash at the end. */
export const path: ReadonlySignal<string> = computed(() => {
  const { pathname } = address.value;
  const inside = pathname.startsWith(base)
    ? pathname.slice(base.length)
    : pathname;
  return `/${inside.replace(/index\.html$/, "").replace(/\/+$/, "")}`;
});

/** What follows the `?`. */
export const query: ReadonlySignal<URLSearchParams> = computed(() =>
  address.value.searchParams
);

/** The address of a file or route of this page, `config.json` or `/ops?status=failed`. */
export function hrefOf(target: string): string {
  return base + target.replace(/^\//, "");
}

function go(target: URL, isReplacing: boolean): void {
  if (isReplacing) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  address.value = target;
}

/** Opens a route of this page. The heading of what appears gets the focus. */
function navigate(route: string): void {
  const before = path.value;
  go(new URL(hrefOf(route), location.origin), false);
  if (path.value === before) return;
  scrollTo(0, 0);
  requestAnimationFrame(() => document.querySelector("h1")?.focus());
}

/** Changes parts of the query, without a new entry in the history; an empty value or null removes its name. */
export function setQuery(changes: Record<string, string | null>): void {
  const target = new URL(address.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") target.searchParams.delete(name);
    else target.searchParams.set(name, value);
  }
  go(target, true);
}

/** A link to a route of this page. */
export function Link(
  { to, class: className, children, isCurrent }: {
    to: string;
    class?: string;
    isCurrent?: boolean;
    children: ComponentChildren;
  },
) {
  return (
    <a
      href={hrefOf(to)}
      class={className}
      aria-current={isCurrent === true ? "page" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        navigate(to);
      }}
    >
      {children}
    </a>
  );
}

addEventListener("popstate", () => {
  address.value = new URL(location.href);
});
