/// <reference path="../../dev/types/react.d.ts" />
/** Components on a page without a browser: React's own renderer on the DOM of linkedom. */
import { parseHTML } from "linkedom";
import {
  act as reactAct,
  createElement,
  type ReactNode,
  StrictMode,
} from "react";

/** The part of a document that is used here. Linkedom's types need the DOM types of a browser. */
interface PageDocument {
  createElement(name: string): Container;
  body: { append(child: object): void };
  createEvent(
    name: string,
  ): { initEvent(type: string, bubbles?: boolean): void };
  dispatchEvent(event: object): void;
  querySelector(
    selector: string,
  ): { dispatchEvent(event: object): void } | null;
}

interface Container {
  innerHTML: string;
  textContent: string;
  remove(): void;
}

function isDocument(value: unknown): value is PageDocument {
  return typeof value === "object" && value !== null &&
    "createElement" in value && "body" in value;
}

const window = parseHTML("<!doctype html><body></body>");
const document: unknown = Reflect.get(window, "document");
if (!isDocument(document)) throw new Error("linkedom created no document");
const shownDocument = document;
Object.assign(globalThis, { document, window });

/** With its test environment switched on, React warns about asynchronous changes such as ours. */
async function act(change: () => void): Promise<void> {
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  try {
    await reactAct(change);
  } finally {
    Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false });
  }
}

/** A mounted component, which is removed at the end of its block. */
export interface Page extends AsyncDisposable {
  /** Renders another element in the same place. */
  show(node: ReactNode): Promise<void>;
  unmount(): Promise<void>;
  /** The visible text. */
  text(): string;
  /** Resolves once `holds`; fails after 20 s, saying what the page shows. */
  until(what: string, holds: () => boolean): Promise<void>;
}

/** Shows a component; under StrictMode every effect runs, ends and runs again. */
export async function showPage(
  node: ReactNode,
  options: { strict?: boolean; html?: string } = {},
): Promise<Page & { readonly problems: readonly unknown[] }> {
  // React decides when it is loaded whether there is a DOM.
  const { createRoot, hydrateRoot } = await import("react-dom/client");
  const wrap = (inner: ReactNode) =>
    options.strict ? createElement(StrictMode, null, inner) : inner;
  const container = shownDocument.createElement("div");
  shownDocument.body.append(container);
  const problems: unknown[] = [];
  let root = undefined as undefined | ReturnType<typeof createRoot>;
  await act(() => {
    if (options.html === undefined) {
      root = createRoot(container);
      root.render(wrap(node));
    } else {
      container.innerHTML = options.html;
      root = hydrateRoot(container, wrap(node), {
        onRecoverableError: (error) => problems.push(error),
      });
    }
  });
  let isMounted = true;
  const page = {
    problems,
    show: (next: ReactNode) => act(() => root?.render(wrap(next))),
    text: () => container.textContent,
    async unmount() {
      if (!isMounted) return;
      isMounted = false;
      await act(() => root?.unmount());
      container.remove();
    },
    async until(what: string, holds: () => boolean) {
      const deadline = Date.now() + 120_000;
      while (!holds()) {
        if (Date.now() > deadline) {
          throw new Error(`${what}: the page shows ${container.textContent}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    [Symbol.asyncDispose]: () => page.unmount(),
  };
  return page;
}

/** Makes the page visible again, as when a user returns to its tab. */
export function becomeVisible(): void {
  Object.defineProperty(shownDocument, "visibilityState", {
    value: "visible",
    configurable: true,
  });
  const event = shownDocument.createEvent("Event");
  event.initEvent("visibilitychange");
  shownDocument.dispatchEvent(event);
}

/** Clicks on the first element of the page that matches. */
export async function clickOn(selector: string): Promise<void> {
  const element = shownDocument.querySelector(selector);
  if (element === null) throw new Error(`the page has no ${selector}`);
  const event = shownDocument.createEvent("Event");
  event.initEvent("click", true);
  await act(() => element.dispatchEvent(event));
}
