/** The page's project, read from `config.json`, which is next to the page and never built into it. */

/** An account whose password is no secret. */
interface Account {
  email: string;
  password: string;
}

/** What `config.json` says. */
export interface PageConfig {
  /** Address of the Supabase project. */
  url: string;
  /** A key that is meant to be public: `sb_publishable_…`. */
  publishableKey: string;
  /** An account that a visitor can sign in to with one click; only for a stack on the visitor's own machine. */
  demoUser?: Account;
  /** The same for the console. */
  demoOperator?: Account;
  /** The command that runs SQL on the stack of this machine, without the statement. */
  sqlCommand?: string;
  /** A sentence that every visitor should read, such as that the AI providers are simulated. */
  note?: string;
}

/** `config.json` is missing or wrong; the message says what to do, to the person who hosts the page. */
export class ConfigError extends Error {}

/** Any object. */
export type Fields = Record<string, unknown>;

/** Whether a value is an object with members. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member that is text; undefined for anything else. */
export function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A member that is a finite number; undefined for anything else. */
export function numberOf(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  return typeof value === "number" && Number.isFinite(value)
    ? value
    : undefined;
}

function accountOf(value: unknown): Account | undefined {
  const email = isFields(value) ? textOf(value, "email") : undefined;
  const password = isFields(value) ? textOf(value, "password") : undefined;
  return email === undefined || password === undefined
    ? undefined
    : { email, password };
}

/**
 * Parses the content of `config.json`.
 *
 * @throws {ConfigError} naming the member that is missing or wrong.
 */
export function readConfig(value: unknown): PageConfig {
  const fields = isFields(value) ? value : {};
  const url = textOf(fields, "url");
  const publishableKey = textOf(fields, "publishableKey");
  if (url === undefined || !/^https?:\/\//.test(url)) {
    throw new ConfigError(
      'config.json needs "url", the address of the Supabase project, such as https://<ref>.supabase.co.',
    );
  }
  if (publishableKey === undefined) {
    throw new ConfigError(
      'config.json needs "publishableKey", the key of the project that begins with sb_publishable_.',
    );
  }
  if (publishableKey.startsWith("sb_secret_")) {
    throw new ConfigError(
      "config.json holds a secret key, which is public here. Revoke it, and put the publishable key there.",
    );
  }
  const demoUser = accountOf(fields["demoUser"]);
  const demoOperator = accountOf(fields["demoOperator"]);
  const sqlCommand = textOf(fields, "sqlCommand");
  const note = textOf(fields, "note");
  return {
    url: url.replace(/\/+$/, ""),
    publishableKey,
    ...(demoUser === undefined ? {} : { demoUser }),
    ...(demoOperator === undefined ? {} : { demoOperator }),
    ...(sqlCommand === undefined ? {} : { sqlCommand }),
    ...(note === undefined ? {} : { note }),
  };
}

/**
 * Reads `config.json` at `address`.
 *
 * @throws {ConfigError}
 */
export async function loadConfig(address: URL): Promise<PageConfig> {
  let value: unknown;
  try {
    const response = await fetch(address, { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    value = await response.json();
  } catch (cause) {
    throw new ConfigError(
      `config.json cannot be read. It must be next to index.html and be JSON, with "url" and "publishableKey".`,
      { cause },
    );
  }
  return readConfig(value);
}
