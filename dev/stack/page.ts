/** The page of `deno task start`: the demo app and the console. */
import { type Page, servePage } from "../web/serve.ts";
import { dataFolderOf, taskCommand } from "./process/data-folder.ts";
import { isPortTaken } from "./process/free-port.ts";
import { defaultPort, type StackOptions } from "./options.ts";
import type { Stack } from "./stack.ts";

/** Who can sign in once the seed data is there: supabase/seed.sql. */
export const SEEDED_PEOPLE = {
  user: { email: "anna@example.com", password: "family-album" },
  operator: { email: "ops@example.com", password: "family-album" },
} as const;

/** The people of the seed data whom the page and the terminal name. */
export type SeededPeople = typeof SEEDED_PEOPLE;

const SIMULATED =
  "The AI providers are simulated: every voice and every transcript is the same page of Jane Austen, faces in films do not move, and costs are examples.";

/** A page server that has no stack yet. */
export interface StackPage extends AsyncDisposable {
  addresses: Pick<Page, "url" | "networkUrls">;
  /** Who can sign in; undefined without the seed data. */
  people: SeededPeople | undefined;
  /**
   * Connects the page to its stack. Resolves once the page is bundled: with undefined, or with the reason why it cannot
   * be.
   */
  open(
    stack: Pick<Stack, "apiUrl" | "publishableKey" | "providers">,
  ): Promise<string | undefined>;
}

/** 0 for any free port. */
function pagePort({ port, ephemeral }: StackOptions): number {
  const gateway = port ?? (ephemeral === true ? 0 : defaultPort);
  if (gateway === 0) return 0;
  // The port at which `supabase start` serves Studio.
  const nextPort = gateway + 2;
  const isOrdinary = nextPort >= 1024 && nextPort < 65536;
  return isOrdinary && !isPortTaken(nextPort) ? nextPort : 0;
}

/** Starts to bundle the page and serves it at the port after the database's, or at any free port. */
export async function startPage(options: StackOptions): Promise<StackPage> {
  let stack: Pick<Stack, "apiUrl" | "publishableKey" | "providers"> | undefined;
  const people = options.seed === true && options.projectDir === undefined
    ? SEEDED_PEOPLE
    : undefined;
  const page = await servePage({
    port: pagePort(options),
    host: options.host,
    config: () =>
      stack && {
        url: stack.apiUrl,
        publishableKey: stack.publishableKey,
        ...(people === undefined
          ? {}
          : { demoUser: people.user, demoOperator: people.operator }),
        ...(options.ephemeral === true
          ? {}
          : { sqlCommand: taskCommand("sql", dataFolderOf(options)) }),
        ...(stack.providers.some(({ mode }) => mode === "simulated")
          ? { note: SIMULATED }
          : {}),
      },
  });
  return {
    addresses: { url: page.url, networkUrls: page.networkUrls },
    people,
    open(given) {
      stack = given;
      return page.ready;
    },
    [Symbol.asyncDispose]: () => page[Symbol.asyncDispose](),
  };
}
