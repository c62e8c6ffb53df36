/** One JSON object a line, with fixed keys, and never a secret in it. */
import type { PlatformDeps } from "./deps.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Fields of a line. `error` may be anything thrown; it is written with name, message, stack and causes. */
export type LogFields = Record<string, unknown>;

/** Writes lines of one level each; see {@link createLogger}. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A logger that adds these fields to each of its lines. */
  with(fields: LogFields): Logger;
}

const ORDER: Record<LogLevel, number> = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
};

/** The platform cuts messages at 10,000 characters; a line that is cut is no JSON any more. */
const MAX_LINE_LENGTH = 9_000;
/** What of an error is kept when its line is too long: escaping may double it. */
const MAX_ERROR_LENGTH = 4_000;
/** Causes that are written; an error may be its own cause. */
const MAX_CAUSES = 5;
/** Shorter secrets would make holes in ordinary words. */
const MIN_SECRET_LENGTH = 6;

type Redact = (text: string) => string;

/**
 * A logger that writes lines at or above `level`.
 *
 * Guarantees: each line is one JSON object with `time`, `level`, `event` and the fields; in every value, each
 * occurrence of a string of `secrets` (of six characters or more) is replaced; a line is shorter than the platform's
 * limit, if need be by leaving fields out (`is_cut`); logging never throws.
 */
export function createLogger(
  platform: Pick<PlatformDeps, "now" | "writeLine">,
  options: { level: LogLevel; secrets: readonly string[]; fields?: LogFields },
): Logger {
  const secrets = options.secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    // A secret may begin like another one: the longer first, or its end would stay.
    .toSorted((a, b) => b.length - a.length);
  const redact: Redact = (text) =>
    secrets.reduce((left, secret) => left.replaceAll(secret, "[secret]"), text);
  const write = (level: LogLevel, event: string, fields: LogFields) => {
    if (ORDER[level] < ORDER[options.level]) return;
    const line = {
      time: platform.now().toISOString(),
      level,
      event,
      ...options.fields,
      ...fields,
    };
    platform.writeLine(serialise(line, redact));
  };
  return {
    debug: (event, fields = {}) => write("debug", event, fields),
    info: (event, fields = {}) => write("info", event, fields),
    warn: (event, fields = {}) => write("warn", event, fields),
    error: (event, fields = {}) => write("error", event, fields),
    with: (fields) =>
      createLogger(platform, {
        ...options,
        fields: { ...options.fields, ...fields },
      }),
  };
}

function serialise(
  line: { time: string; level: LogLevel; event: string } & LogFields,
  redact: Redact,
): string {
  const text = stringify(line, redact);
  if (text !== null && text.length <= MAX_LINE_LENGTH) return text;
  const { time, level, event, error } = line;
  return stringify({
    time,
    level,
    event,
    function: line["function"],
    request_id: line["request_id"],
    job_id: line["job_id"],
    attempt: line["attempt"],
    // Redacted before it is cut: half of a secret would not be recognised.
    error_text: (stringify(error, redact) ?? redact(asText(error)))
      .slice(0, MAX_ERROR_LENGTH),
    is_cut: true,
  }, redact) ?? JSON.stringify({ time, level, event, is_cut: true });
}

/** JSON, or null for what JSON cannot hold: circles, bigints, objects that refuse to be read. */
function stringify(value: unknown, redact: Redact): string | null {
  try {
    return JSON.stringify(value ?? null, (_key, item) => {
      if (typeof item === "string") return redact(item);
      return item instanceof Error ? describeError(item, MAX_CAUSES) : item;
    });
  } catch {
    return null;
  }
}

function describeError(error: Error, causes: number): Record<string, unknown> {
  const { cause } = error;
  return {
    ...error,
    name: error.name,
    message: error.message,
    stack: error.stack?.split("\n").slice(0, 6),
    cause: !(cause instanceof Error)
      ? cause
      : causes > 0
      ? describeError(cause, causes - 1)
      : asText(cause),
  };
}

function asText(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "cannot be written";
  }
}
