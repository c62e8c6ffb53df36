/**
 * The simulated provider of all contenders: the four calls of ElevenLabs that the product makes for a voice clone,
 * under a separate path for each contender (`/<account>/v1/voices/add`). It responds after a set time, creates the
 * object even if its client has disconnected, and keeps a ledger by job. Unlike dev/simulators it does not decode the
 * recording, which would need more processor time than the engines under test.
 */
import { z } from "zod";
import { serveCommands } from "./serve-commands.ts";

interface Account {
  delayMs: number;
  /** Number of requests that wait for their response. */
  open: number;
  /** Per job: the number of requests, and the ids of the created objects. */
  asked: Map<string, number>;
  created: Map<string, string[]>;
  createdCount: number;
  /** Waiters for a change of the numbers. */
  waiting: Set<() => void>;
  /** Ends the delay of each open request. */
  release: Set<() => void>;
}

const accounts = new Map<string, Account>();

function newAccount(delayMs: number): Account {
  return {
    delayMs,
    open: 0,
    asked: new Map(),
    created: new Map(),
    createdCount: 0,
    waiting: new Set(),
    release: new Set(),
  };
}

function accountOf(name: string): Account {
  const account = accounts.get(name) ?? newAccount(0);
  accounts.set(name, account);
  return account;
}

function changed(account: Account): void {
  for (const check of account.waiting) check();
}

async function until(
  account: Account,
  reached: () => boolean,
  withinMs: number,
): Promise<boolean> {
  if (reached()) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), withinMs);
  const check = () => {
    if (reached()) resolve(true);
  };
  account.waiting.add(check);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    account.waiting.delete(check);
  }
}

const latin1 = new TextDecoder("latin1");

async function addVoice(account: Account, request: Request): Promise<Response> {
  const text = latin1.decode(await request.arrayBuffer());
  const marker = /job:([0-9a-f-]{36})/.exec(text)?.[1];
  if (marker === undefined) {
    return Response.json({ detail: "no marker" }, { status: 422 });
  }
  account.asked.set(marker, (account.asked.get(marker) ?? 0) + 1);
  account.open += 1;
  changed(account);
  if (account.delayMs > 0) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, account.delayMs);
    account.release.add(resolve);
    await promise;
    clearTimeout(timer);
    account.release.delete(resolve);
  }
  account.open -= 1;
  const id = crypto.randomUUID().replaceAll("-", "");
  account.created.set(marker, [...account.created.get(marker) ?? [], id]);
  account.createdCount += 1;
  changed(account);
  return Response.json({ voice_id: id, requires_verification: false });
}

function searchVoices(account: Account, term: string): Response {
  const marker = /job:([0-9a-f-]{36})/.exec(term)?.[1] ?? "";
  const voices = (account.created.get(marker) ?? []).map((voice_id) => ({
    voice_id,
    name: "a voice",
    description: `(job:${marker})`,
  }));
  return Response.json({
    voices,
    has_more: false,
    total_count: voices.length,
    next_page_token: null,
  });
}

const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  async (request) => {
    const url = new URL(request.url);
    const [, name = "", path = ""] = /^\/([^/]+)(\/.*)$/.exec(url.pathname) ??
      [];
    const account = accountOf(name);
    if (request.method === "POST" && path === "/v1/voices/add") {
      return await addVoice(account, request);
    }
    if (request.method === "GET" && path === "/v2/voices") {
      return searchVoices(account, url.searchParams.get("search") ?? "");
    }
    return Response.json({ detail: "Not Found" }, { status: 404 });
  },
);

const nameSchema = z.object({ account: z.string() });
const delaySchema = nameSchema.extend({ delay_ms: z.number() });
const waitSchema = nameSchema.extend({
  at_least: z.number(),
  within_ms: z.number(),
});

await serveCommands({
  reset(given) {
    const { account, delay_ms } = delaySchema.parse(given);
    accounts.set(account, newAccount(delay_ms));
  },
  /** Finishes open requests now, even if their clients have disconnected; later ones take `delay_ms`. */
  release(given) {
    const { account: name, delay_ms } = delaySchema.parse(given);
    const account = accountOf(name);
    account.delayMs = delay_ms;
    for (const done of account.release) done();
  },
  wait_open(given) {
    const { account: name, at_least, within_ms } = waitSchema.parse(given);
    const account = accountOf(name);
    return until(account, () => account.open >= at_least, within_ms);
  },
  wait_created(given) {
    const { account: name, at_least, within_ms } = waitSchema.parse(given);
    const account = accountOf(name);
    return until(account, () => account.createdCount >= at_least, within_ms);
  },
  ledger(given) {
    const account = accountOf(nameSchema.parse(given).account);
    return {
      created: account.createdCount,
      asked_twice: [...account.asked.values()].filter((n) => n > 1).length,
      billed_twice: [...account.created.values()].filter((ids) =>
        ids.length > 1
      ).length,
    };
  },
}, { origin: `http://127.0.0.1:${server.addr.port}` });
Deno.exit(0);
