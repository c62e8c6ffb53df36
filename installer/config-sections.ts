/** Additions to `supabase/config.toml`: sections are appended as text, and existing text never changes. */
import { parse } from "@std/toml";
import type { ConfigSection } from "./template.ts";

type Table = Record<string, unknown>;

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A config.toml that is not valid TOML, with the parser's message. */
export class ConfigInvalid extends Error {}

/**
 * The values of a config.toml.
 *
 * @throws {ConfigInvalid}
 */
export function parseConfig(text: string): Table {
  try {
    // Editors on Windows begin a file with a byte order mark.
    return parse(text.replace(/^\ufeff/, ""));
  } catch (cause) {
    throw new ConfigInvalid(
      `supabase/config.toml is not valid: ${
        cause instanceof Error ? cause.message : String(cause)
      }`,
      { cause },
    );
  }
}

/** The value at a dotted path, or undefined. */
export function valueAt(config: Table, path: string): unknown {
  let value: unknown = config;
  for (const key of path.split(".")) {
    if (!isTable(value)) return undefined;
    value = value[key];
  }
  return value;
}

function isEqual(one: unknown, other: unknown): boolean {
  if (!isTable(one) || !isTable(other)) {
    return JSON.stringify(one) === JSON.stringify(other);
  }
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length &&
    keys.every((key) => isEqual(one[key], other[key]));
}

/** The lines of a section that the project's section of that name lacks or sets differently; none when it suffices. */
export function missingFrom(config: Table, section: ConfigSection): string[] {
  const wanted = valueAt(parse(section.text), section.name);
  const found = valueAt(config, section.name);
  if (!isTable(wanted)) return [];
  return Object.entries(wanted)
    .filter(([key, value]) => !isTable(found) || !isEqual(found[key], value))
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
}

/**
 * `text` with the sections appended, in its own line endings.
 *
 * @throws {ConfigInvalid} when the result does not parse to the old content plus the sections, for example when a table
 *   of the same name is inline.
 */
export function appendSections(
  text: string,
  sections: ConfigSection[],
): string {
  if (sections.length === 0) return text;
  const addition = `\n${sections.map((section) => section.text).join("\n")}`;
  const end = text === "" || text.endsWith("\n") ? "" : "\n";
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const result = text + (end + addition).replaceAll("\n", eol);
  const before = parseConfig(text), after = parseConfig(result);
  const isAsBefore = Object.entries(before).every(([key, value]) =>
    contains(after[key], value)
  );
  const hasAll = sections.every((section) =>
    missingFrom(after, section).length === 0
  );
  // TOML forbids extending an inline table. The parser accepts it, the Supabase CLI does not.
  const isClosed = sections.some(({ name }) =>
    new RegExp(`^\\s*"?${name.split(".")[0]}"?\\s*=\\s*\\{`, "m").test(text)
  );
  if (isClosed || !isAsBefore || !hasAll) {
    throw new ConfigInvalid(
      "supabase/config.toml cannot take more sections at its end.",
    );
  }
  return result;
}

/** Whether `whole` contains all of `part`. */
function contains(whole: unknown, part: unknown): boolean {
  if (!isTable(part)) return isEqual(whole, part);
  return isTable(whole) &&
    Object.entries(part).every(([key, value]) => contains(whole[key], value));
}
