/** Serves the page of a stack on a separate port, so on another origin than the API, as on a static host. */
import { listen, type ListenOptions } from "../stack/process/listen.ts";
import {
  BundleError,
  bundlePage,
  lastChange,
  type PageFiles,
} from "./bundle.ts";

/** A served page. */
export interface Page extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** The same on the network; empty without a host. */
  networkUrls: string[];
  /** Resolves once it is bundled: with undefined, or with the error, which the page then shows too. */
  ready: Promise<string | undefined>;
}

/** The contents of `config.json`. */
export interface ServedConfig {
  url: string;
  publishableKey: string;
  demoUser?: { email: string; password: string };
  demoOperator?: { email: string; password: string };
  sqlCommand?: string;
  note?: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};

/** The current bundle; bundled again after a source has changed. */
class Bundle {
  #made: Promise<PageFiles> | undefined;
  #at = 0;

  async files(): Promise<PageFiles> {
    const change = await lastChange();
    if (this.#made === undefined || change !== this.#at) {
      this.#at = change;
      this.#made = bundlePage();
    }
    return await this.#made;
  }
}

/** The API's address for the browser that reads `config.json`. */
function reachable(url: string, request: Request): string {
  const api = new URL(url);
  api.hostname = new URL(request.url).hostname;
  return api.origin;
}

/**
 * Serves the page until it is disposed. `config` is called for each `config.json`; undefined answers 503 while the
 * stack is starting.
 *
 * @throws {StackError} when the port is in use or not allowed.
 */
export async function servePage(
  options: ListenOptions & { config: () => ServedConfig | undefined },
): Promise<Page> {
  const bundle = new Bundle();
  const stop = new AbortController();

  const answer = async (request: Request): Promise<Response> => {
    const path = new URL(request.url).pathname;
    if (path.endsWith("/config.json")) {
      const config = options.config();
      return config === undefined
        ? Response.json({ message: "the stack is starting" }, { status: 503 })
        : Response.json({ ...config, url: reachable(config.url, request) });
    }
    const files = await bundle.files();
    const name = path.replace(/^\/+|\/+$/g, "");
    const index = name === "" ? "index.html" : `${name}/index.html`;
    const found = [name, index].find((candidate) => files.has(candidate));
    const body = files.get(found ?? "");
    if (found === undefined || body === undefined) {
      return new Response("There is no such file.", { status: 404 });
    }
    return new Response(body, {
      headers: {
        "content-type": TYPES[/\.\w+$/.exec(found)?.[0] ?? ""] ??
          "application/octet-stream",
        "cache-control": found.startsWith("assets/")
          ? "public, max-age=31536000, immutable"
          : "no-store",
      },
    });
  };
  const listening = await listen(
    options,
    async (request) => {
      try {
        return await answer(request);
      } catch (error) {
        if (!(error instanceof BundleError)) throw error;
        return new Response(error.message, { status: 500 });
      }
    },
    stop.signal,
  );
  return {
    url: listening.url,
    networkUrls: listening.networkUrls,
    ready: bundle.files().then(
      () => undefined,
      (error: unknown) =>
        error instanceof Error ? error.message : String(error),
    ),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await listening.finished;
    },
  };
}
