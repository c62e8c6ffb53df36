/**
 * The names of objects that SQL files create, found in their text: enough to detect that two sets of migrations use the
 * same name.
 */

/** Comments and dollar-quoted bodies, which are skipped; string literals and quoted names, in which nothing begins. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|(?<mark>\$\w*\$)[\s\S]*?\k<mark>|(?<text>\be'(?:\\[\s\S]|''|[^'\\])*'|'(?:''|[^'])*')|(?<name>"(?:""|[^"])*")/gi;

const NAME = String.raw`(?:"(?:[^"]|"")+"|[a-z_][\w$]*)`;
const QUALIFIED = String.raw`${NAME}(?:\s*\.\s*${NAME})?`;

const CHANGE = new RegExp(
  String
    .raw`\b(?<verb>create|drop)\s+(?:or\s+replace\s+)?(?:unlogged\s+|foreign\s+|materialized\s+|constraint\s+)?` +
    String
      .raw`(?<kind>table|view|function|type|domain|schema|policy|trigger)\s+(?:if\s+(?:not\s+)?exists\s+)?` +
    String
      .raw`(?<name>${QUALIFIED})(?:(?<between>[^;]*?)\bon\s+(?<table>${QUALIFIED}))?` +
    String
      .raw`|\balter\s+table\s+(?:if\s+exists\s+)?(?<renamed>${QUALIFIED})\s+rename\s+to\s+(?<newName>${NAME})`,
  "gi",
);

const SCHEDULE = /\bcron\s*\.\s*schedule\s*\(\s*'([^']+)'/gi;
const BUCKETS = /\binsert\s+into\s+storage\s*\.\s*buckets\b([^;]*)/gi;

function plain(name: string): string {
  return name.startsWith('"')
    ? name.slice(1, -1).replaceAll('""', '"')
    : name.toLowerCase();
}

/** `schema.name` as Postgres reads it; `public` where no schema is written. */
function qualified(name: string): string {
  const parts = name.match(new RegExp(NAME, "gi")) ?? [];
  const [first = "", second] = parts.map(plain);
  return second === undefined ? `public.${first}` : `${first}.${second}`;
}

/**
 * What the files create and do not drop or rename later, in order: `table public.media` (views as well, which share
 * the names of tables), `type …`, `function …`, `schema private`, `policy "…" on storage.objects`, `trigger … on
 * auth.users`, `bucket uploads`, `cron job …`. Computed names are not found.
 */
export function namesMadeBy(files: string[]): Set<string> {
  const names = new Set<string>();
  for (const file of files) {
    const keep = (withText: boolean) =>
      file.replace(TOKEN, (found, _mark, text, name) => {
        if (text !== undefined) return withText ? found : "''";
        return name === undefined ? " " : found;
      });
    const code = keep(true), withoutText = keep(false);
    for (const { groups = {} } of withoutText.matchAll(CHANGE)) {
      const { verb, kind, name = "", table, renamed, newName = "" } = groups;
      if (renamed !== undefined) {
        const old = qualified(renamed);
        names.delete(`table ${old}`);
        names.add(`table ${old.replace(/\..*$/, "")}.${plain(newName)}`);
        continue;
      }
      const made = nameOf(kind?.toLowerCase() ?? "", name, table);
      if (verb?.toLowerCase() === "drop") names.delete(made);
      else names.add(made);
    }
    for (const [, job] of code.matchAll(SCHEDULE)) names.add(`cron job ${job}`);
    for (const [, rows = ""] of code.matchAll(BUCKETS)) {
      for (const [, id] of rows.matchAll(/\(\s*'([^']+)'/g)) {
        names.add(`bucket ${id}`);
      }
    }
  }
  return names;
}

function nameOf(kind: string, name: string, table: string | undefined): string {
  switch (kind) {
    case "schema":
      return `schema ${plain(name)}`;
    case "policy":
    case "trigger":
      return `${kind} ${JSON.stringify(plain(name))} on ${
        qualified(table ?? "")
      }`;
    case "domain":
      return `type ${qualified(name)}`;
    case "view":
      return `table ${qualified(name)}`;
    default:
      return `${kind} ${qualified(name)}`;
  }
}
