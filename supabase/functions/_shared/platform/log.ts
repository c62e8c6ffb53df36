/** Logs one JSON object per line, with fixed keys and without secrets. */
import type { PlatformDeps } from "./deps.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Fields of a line. `error` may be any thrown value; it is written with name, message, stack and causes. */
export type LogFields = Record<string, unknown>;

/** Writes lines at a level; see {@link createLogger}. */
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

/** The platform truncates messages at 10,000 characters, and a truncated line is not valid JSON. */
const MAX_LINE_LENGTH = 9_000;
/** Characters of an error that are kept when its line is too long; escaping may double them. */
const MAX_ERROR_LENGTH = 4_000;
/** Causes that are written; an error may be its own cause. */
const MAX_CAUSES = 5;
/** Replacing shorter secrets would damage ordinary words. */
const MIN_SECRET_LENGTH = 6;

type Redact = (text: string) => string;

/**
 * A logger that writes lines at or above `level`.
 *
 * Guarantees: each line is one JSON object with `time`, `level`, `event` and the fields; in every value, each
 * occurrence of a string of `secrets` (of six characters or more) is replaced; a line is shorter than the platform's
 * limit, if necessary without some fields (`is_cut`); logging never throws.
 */
export function createLogger(
  platform: Pick<PlatformDeps, "now" | "writeLine">,
  options: { level: LogLevel; secrets: readonly string[]; fields?: LogFields },
): Logger {
  const secrets = options.secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    // One secret may be a prefix of another: the longer first, or its end would remain.
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
    platform.writeLine(serialize(line, redact));
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

function serialize(
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
    // Redacted before it is truncated: half of a secret would not be recognized.
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
