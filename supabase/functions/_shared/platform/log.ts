/** One JSON object a line, with fixed keys, and never a secret in it. */
import type { PlatformDeps } from "./deps.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Fields of a line. `error` may be anything thrown; it is written with name, message, stack and causes. */
export type LogFields = Record<string, unknown>;

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

/**
 * A logger that writes lines at or above `level`.
 *
 * Guarantees: each line is one JSON object with `time`, `level`, `event` and the fields; every occurrence of a string
 * of `secrets` is replaced; a line is shorter than the platform's limit; logging never throws.
 */
export function createLogger(
  platform: Pick<PlatformDeps, "now" | "writeLine">,
  options: { level: LogLevel; secrets: readonly string[]; fields?: LogFields },
): Logger {
  const secrets = options.secrets.filter((secret) => secret.length >= 6);
  const write = (level: LogLevel, event: string, fields: LogFields) => {
    if (ORDER[level] < ORDER[options.level]) return;
    const line = {
      time: platform.now().toISOString(),
      level,
      event,
      ...options.fields,
      ...fields,
    };
    platform.writeLine(redact(serialise(line), secrets));
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

function serialise(line: Record<string, unknown>): string {
  const text = stringify(line);
  if (text.length <= MAX_LINE_LENGTH) return text;
  const {
    time,
    level,
    event,
    function: name,
    request_id,
    job_id,
    attempt,
    error,
  } = line;
  const error_text = stringify(error ?? "").slice(0, MAX_LINE_LENGTH / 2);
  return stringify({
    time,
    level,
    event,
    function: name,
    request_id,
    job_id,
    attempt,
    error_text,
    is_cut: true,
  });
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(
      value,
      (_key, item) => item instanceof Error ? describeError(item, 0) : item,
    ) ?? "null";
  } catch {
    return JSON.stringify({ event: "log_failed" });
  }
}

function describeError(error: Error, depth: number): Record<string, unknown> {
  const cause = error.cause instanceof Error && depth < 5
    ? describeError(error.cause, depth + 1)
    : error.cause;
  return {
    ...error,
    name: error.name,
    message: error.message,
    stack: error.stack?.split("\n").slice(0, 6),
    cause,
  };
}

function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce(
    (line, secret) => line.replaceAll(secret, "[secret]"),
    text,
  );
}
