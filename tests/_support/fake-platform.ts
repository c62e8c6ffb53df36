/** A platform that a test controls: clock, log, background work, end and environment. */
import { z } from "zod";
import type { PlatformDeps } from "../../supabase/functions/_shared/platform/deps.ts";

const logLine = z.looseObject({
  time: z.iso.datetime(),
  level: z.enum(["debug", "info", "warn", "error"]),
  event: z.string(),
});

/** A line of the log, parsed. */
export type LogLine = z.infer<typeof logLine>;

/** A {@link PlatformDeps} that does nothing by itself. */
export interface FakePlatform extends PlatformDeps {
  /** The log lines as text. */
  readonly lines: string[];
  /** The parsed log lines; throws when a line is not one JSON object with time, level and event. */
  logged(): LogLine[];
  /** The names of the logged events, in order. */
  events(): string[];
  /** Advances the wall clock and the uptime; fires no timer. */
  advance(milliseconds: number): void;
  /**
   * Resolves when all promises passed to `waitUntil` have settled, including later ones; rejects with the first
   * failure.
   */
  background(): Promise<void>;
  /** Announces the end of the isolate. */
  shutDown(reason: string): void;
}

/** Creates a platform. The clock is at 2026-01-01 and the uptime at 0 until they are advanced; ids count up from
 * `00000000-0000-4000-8000-000000000001`.
 *
 * @param options.env the environment; empty unless given.
 * @param options.fetch the network; without it every request fails the test that made it.
 */
export function fakePlatform(
  options: { env?: Record<string, string>; fetch?: typeof fetch } = {},
): FakePlatform {
  const startedAt = Date.UTC(2026, 0, 1);
  const lines: string[] = [];
  const backgroundWork: Promise<unknown>[] = [];
  const onShutdown: ((reason: string) => void)[] = [];
  let elapsed = 0;
  let ids = 0;
  const logged = () => lines.map((line) => logLine.parse(JSON.parse(line)));
  return {
    now: () => new Date(startedAt + elapsed),
    uptimeMs: () => elapsed,
    uuid: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`,
    random: () => 0.5,
    fetch: options.fetch ??
      ((input) => {
        throw new Error(`unexpected request to ${String(input)}`);
      }),
    resolveHost: () => Promise.resolve([]),
    waitUntil: (promise) => {
      backgroundWork.push(promise);
    },
    onShutdown: (callback) => {
      onShutdown.push(callback);
    },
    env: () => ({ ...options.env }),
    writeLine: (line) => {
      lines.push(line);
    },
    lines,
    logged,
    events: () => logged().map((line) => line.event),
    advance: (milliseconds) => {
      elapsed += milliseconds;
    },
    background: async () => {
      for (let seen = -1; seen < backgroundWork.length;) {
        seen = backgroundWork.length;
        await Promise.all(backgroundWork);
      }
    },
    shutDown: (reason) => {
      for (const callback of onShutdown) callback(reason);
    },
  };
}

/** The variables without which the functions do not start. */
export const COMPLETE_ENV = {
  SUPABASE_URL: "https://project.test",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_0123456789"}',
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_0123456789"}',
  DISPATCH_SECRET: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
} as const;
