/** One attempt of one caller, described as a sentence and compared with the declared outcome. */
import { z } from "zod";
import type { Json } from "./fixture.ts";
import type { Actor, ActorName } from "./people.ts";
import type { Change } from "./world.ts";

/** The operation. Storage lists objects before it removes them, so that operations on objects differ from those on rows. */
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

/** An attempt that has not run yet. */
export interface Attempt {
  /** Its subjects, such as `table media`; the summary counts it under the first one. */
  subjects: string[];
  actor: ActorName;
  operation: Operation;
  /** The column that it concerns, if any. */
  column?: string;
  /** A phrase that follows "<actor> tries to". */
  what: string;
  /** The outcome, in the words of `run`. */
  expected: string;
  /**
   * Whether a declared outcome may change something. Attempts that may not run concurrently, and nothing may have
   * changed at the end. The others run one by one, each with its changes as part of its outcome.
   */
  mayChange: boolean;
  /** Runs the attempt and returns its outcome. Throws only for a response that cannot be declared. */
  run(): Promise<string>;
  /** Adds the changes to the outcome; for attempts that may change something. */
  judge?(outcome: string, changes: Change[]): string;
}

/** The API's response to a request for rows. */
export interface Answer {
  status: number;
  body: unknown;
  headers: Headers;
}

const errorSchema = z.looseObject({
  code: z.union([z.string(), z.number()]).nullish(),
  message: z.string().nullish(),
});

/** Names the refusal in a response; undefined if it was not refused. */
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
    // A response that is not JSON is judged by its status.
  }
  return { status: response.status, body, headers: response.headers };
}

/** An attempt that has run. */
export interface Result {
  attempt: Attempt;
  outcome: string;
}

/** Whether the outcome is the declared one. */
export function isAsDeclared({ attempt, outcome }: Result): boolean {
  return outcome === attempt.expected;
}

/** A sentence: who tried what, and the outcome. */
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
 * Runs attempts that should change nothing, `width` at a time, until `stop` returns true for a result. Running attempts
 * are awaited.
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
 * Runs attempts one by one, each on the original rows: `changes` returns what changed, `restore` undoes it. Ends early
 * when `stop` returns true for a result.
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
