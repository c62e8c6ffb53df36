/** One try of one caller at one thing, told as a sentence and compared with what the declaration expects. */
import { z } from "zod";
import type { Json } from "./fixture.ts";
import type { Actor, ActorName } from "./people.ts";
import type { Change } from "./world.ts";

/** What is tried. Objects are listed to be removed, so `list` and the others are apart from those of rows. */
export type Operation =
  | "select"
  | "insert"
  | "update"
  | "delete"
  | "execute"
  | "list"
  | "read"
  | "write"
  | "remove"
  | "call";

/** An attempt that has not been made yet. */
export interface Attempt {
  /** What it is about, such as `table media`; the first one counts in the summary. */
  subjects: string[];
  actor: ActorName;
  operation: Operation;
  /** The column that it is about, if it is about one. */
  column?: string;
  /** In words, to follow "<actor> tries to". */
  what: string;
  /** The outcome, in the words of `run`. */
  expected: string;
  /**
   * Whether something may change when all is as declared. Those that may not are made at once, and nothing may have
   * changed at the end; the others one by one, each with its changes as part of its outcome.
   */
  mayChange: boolean;
  /** Makes it. Throws only when the answer is one that nobody could declare. */
  run(): Promise<string>;
  /** Adds to the outcome what changed; for those that may change something. */
  judge?(outcome: string, changes: Change[]): string;
}

/** What the API answered to a request for rows. */
export interface Answer {
  status: number;
  body: unknown;
  headers: Headers;
}

const errorSchema = z.looseObject({
  code: z.union([z.string(), z.number()]).nullish(),
  message: z.string().nullish(),
});

/** Names the refusal in an answer; undefined when it is none. */
export function refusalOf({ status, body }: Answer): string | undefined {
  if (status < 400) return undefined;
  const parsed = errorSchema.safeParse(body);
  const { code, message } = parsed.success
    ? parsed.data
    : { code: undefined, message: undefined };
  if (status === 401 && /^No API key found/.test(message ?? "")) {
    return "no key";
  }
  if (code === "42501") {
    const [, kind, name] =
      /^permission denied for (\w+)(?: (\w+))?/.exec(message ?? "") ?? [];
    if (kind === "function") return `may not execute ${name}`;
    if (kind !== undefined) return `not granted on ${name}`;
    if (/row-level security/.test(message ?? "")) return "against the policy";
  }
  return `refused ${code ?? status}`;
}

/** Sends a request to the Data API as this caller. */
export async function rest(
  apiUrl: string,
  actor: Actor,
  method: "GET" | "HEAD" | "POST" | "PATCH" | "DELETE",
  path: string,
  options: {
    body?: Json;
    prefer?: string;
    headers?: Record<string, string>;
  } = {},
): Promise<Answer> {
  const response = await fetch(`${apiUrl}/rest/v1/${path}`, {
    method,
    headers: {
      ...actor.headers,
      ...(options.body === undefined
        ? {}
        : { "content-type": "application/json" }),
      ...(options.prefer === undefined ? {} : { prefer: options.prefer }),
      ...options.headers,
    },
    ...(options.body === undefined
      ? {}
      : { body: JSON.stringify(options.body) }),
  });
  const text = await response.text();
  let body: unknown = text;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    // An answer that is not JSON is judged by its status.
  }
  return { status: response.status, body, headers: response.headers };
}

/** A made attempt. */
export interface Result {
  attempt: Attempt;
  outcome: string;
}

/** Whether the outcome is the declared one. */
export function isAsDeclared({ attempt, outcome }: Result): boolean {
  return outcome === attempt.expected;
}

/** The sentence for a person: who tried what, and how it came out. */
export function describe({ attempt, outcome }: Result): string {
  return `${
    attempt.subjects[0]
  }: ${attempt.actor} tries to ${attempt.what}: expected "${attempt.expected}", was "${outcome}"`;
}

async function outcomeOf(attempt: Attempt): Promise<string> {
  try {
    return await attempt.run();
  } catch (error) {
    return `failed: ${error instanceof Error ? error.message : error}`;
  }
}

/**
 * Makes attempts that should change nothing, `width` at a time, until `stop` says so of a result. What is under way
 * then is awaited.
 */
export async function makeAtOnce(
  attempts: Attempt[],
  stop: (result: Result) => boolean = () => false,
  width = 12,
): Promise<Result[]> {
  const results: Result[] = [];
  let at = 0, isOver = false;
  await Promise.all(Array.from({ length: width }, async () => {
    for (;;) {
      const attempt = isOver ? undefined : attempts[at++];
      if (attempt === undefined) return;
      const result = { attempt, outcome: await outcomeOf(attempt) };
      results.push(result);
      isOver ||= stop(result);
    }
  }));
  return results;
}

/**
 * Makes attempts one by one, each on the rows as they were: `changes` says what became of them, `restore` puts them
 * back. Ends early when `stop` says so of a result.
 */
export async function makeInTurn(
  attempts: Attempt[],
  world: {
    changes(): Promise<Change[]>;
    restore(changes: Change[]): Promise<void>;
  },
  stop: (result: Result) => boolean = () => false,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const attempt of attempts) {
    const outcome = await outcomeOf(attempt);
    const changes = await world.changes();
    const result = {
      attempt,
      outcome: attempt.judge?.(outcome, changes) ??
        (changes.length === 0
          ? outcome
          : `${outcome}, but changed ${
            changes.map(({ relation, key }) => `${relation} ${key}`).join(", ")
          }`),
    };
    results.push(result);
    await world.restore(changes);
    if (stop(result)) break;
  }
  return results;
}
