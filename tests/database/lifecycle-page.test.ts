/** docs/job-lifecycle.md agrees with the database, and names existing tests. */
import { assert, assertEquals } from "@std/assert";
import { withDatabase } from "../_support/database.ts";

const ROOT = new URL("../../", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/job-lifecycle.md", ROOT));

interface Change {
  number: number;
  /** `a → b`, `→ b` for a new job, `stays a` where the status does not change. */
  way: string;
  functions: string[];
  events: string[];
}

/** The texts in backticks. */
function quoted(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text ?? "");
}

/** The table of changes. */
function changes(): Change[] {
  return page.split("\n").flatMap((line) => {
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
    const [number = "", way = "", functions = "", , , events = ""] = cells;
    if (cells.length !== 6 || !/^\d+$/.test(number)) return [];
    return [{
      number: Number(number),
      way: way.replaceAll("`", ""),
      functions: quoted(functions),
      events: quoted(events),
    }];
  });
}

/** Each reference to tests in the page: a file, and the quoted names after it. */
function namedTests(text: string): { file: string; name: string }[] {
  const flat = text.replaceAll(/\s+/g, " ");
  const places = /`(tests\/[^`]+\.test\.ts)` ((?:"[^"]+"(?:, )?)+)/g;
  const before = /"([^"]+)" in `(tests\/[^`]+\.test\.ts)`/g;
  return [
    ...[...flat.matchAll(places)].flatMap(([, file = "", names = ""]) =>
      [...names.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => ({ file, name }))
    ),
    ...[...flat.matchAll(before)].map(([, name = "", file = ""]) => ({
      file,
      name,
    })),
  ];
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** The names of a file's tests as patterns, because some have placeholders. */
async function testsOf(file: string): Promise<RegExp[]> {
  const source = await Deno.readTextFile(new URL(file, ROOT));
  const calls = /Deno\.test\(\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g;
  return [...source.matchAll(calls)].map(([, plain, template]) =>
    new RegExp(
      `^${
        plain !== undefined
          ? escape(plain)
          : (template ?? "").split(/\$\{[^}]*\}/).map(escape).join(".+")
      }$`,
    )
  );
}

/** Whether a function writes the status of a job: directly, through another function, or by a retry request and its trigger. */
function writesStatus(source: string): boolean {
  const flat = source.replaceAll(/--.*$/gm, "").replaceAll(/\s+/g, " ");
  const updates = [...flat.matchAll(/update public\.ai_jobs as j set ([^;]*)/g)]
    .map(([, set = ""]) => set.split(/ where j\.| from /)[0] ?? "");
  return updates.some((set) =>
    /(^|, )(status|retry_requested_at) = /.test(set)
  ) ||
    (/\bnew\.status := /.test(flat) && flat.includes("last_event :=")) ||
    flat.includes("private.retry_failed_ai_job(");
}

Deno.test("docs/job-lifecycle.md: its changes of status are those that the database allows", async () => {
  await withDatabase(async (db) => {
    const [row] = await db.sql<{ definition: string }[]>`
      select pg_get_functiondef('private.guard_ai_job_transition'::regproc) as definition`;
    const allowed = [
      ...(row?.definition ?? "").matchAll(/\('(\w+)', '(\w+)'\)/g),
    ].map(([, from, to]) => `${from} → ${to}`);
    assert(allowed.length > 5, "the trigger lists them");
    const described = changes().map(({ way }) => way).filter((way) =>
      /^\w+ → \w+$/.test(way)
    );
    assertEquals([...new Set(described)].sort(), allowed.sort());
    const others = changes().map(({ way }) => way).filter((way) =>
      !described.includes(way)
    );
    assertEquals(
      [...new Set(others)].sort(),
      ["stays pending", "stays processing", "→ completed", "→ pending"].sort(),
    );
  });
});

Deno.test("docs/job-lifecycle.md: its diagram has the changes of status of its table, and no other", () => {
  const drawn = [...page.matchAll(/^ {2}(\w+|\[\*\]) --> (\w+):/gm)]
    .map(([, from = "", to]) => `${from === "[*]" ? "" : `${from} `}→ ${to}`);
  const described = changes().map(({ way }) => way)
    .filter((way) => !way.startsWith("stays"));
  assertEquals(drawn.sort(), [...new Set(described)].sort());
});

Deno.test("docs/job-lifecycle.md: its events are those of the timeline", async () => {
  await withDatabase(async (db) => {
    const [row] = await db.sql<{ definition: string }[]>`
      select pg_get_constraintdef(oid) as definition
      from pg_catalog.pg_constraint where conname = 'ai_job_events_event_is_known'`;
    const known = [...(row?.definition ?? "").matchAll(/'(\w+)'/g)]
      .map(([, event]) => event);
    assert(known.length > 10);
    assertEquals(
      [...new Set(changes().flatMap(({ events }) => events))].sort(),
      known.sort(),
    );
  });
});

Deno.test("docs/job-lifecycle.md: the functions it names exist, and all that change a status are in its table", async () => {
  await withDatabase(async (db) => {
    const rows = await db.sql<{ name: string; source: string | null }[]>`
      select case n.nspname when 'public' then '' else 'private.' end || p.proname as name, p.prosrc as source
      from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where n.nspname in ('public', 'private')
      union all
      select case n.nspname when 'public' then '' else 'private.' end || c.relname, null
      from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where n.nspname in ('public', 'private') and c.relkind in ('r', 'v')`;
    const there = new Set(rows.map(({ name }) => name));
    const named = quoted(page.replaceAll(/```[^]*?```/g, ""))
      .filter((text) =>
        /^(private\.\w+|\w+_ai_jobs?|\w+_provider_calls?|ai_\w+)$/.test(text)
      );
    assert(named.length > 25, `${named.length}`);
    assertEquals(named.filter((name) => !there.has(name)), []);

    const inTable = new Set(changes().flatMap(({ functions }) => functions));
    assertEquals([...inTable].filter((name) => !there.has(name)), []);
    const writers = rows.filter(({ source }) => writesStatus(source ?? ""))
      .map(({ name }) => name);
    for (const name of ["rescue_stalled_ai_jobs", "redrive_ai_jobs"]) {
      assert(writers.includes(name), `${name} is recognized as a writer`);
    }
    assertEquals(writers.filter((name) => !inTable.has(name)), []);
  });
});

Deno.test("docs/job-lifecycle.md: every change has its test, and every test that it names exists", async () => {
  const proofs = page.slice(page.indexOf("## Tests of each change"));
  const items = [...proofs.matchAll(/^- (\d+): ([^]*?)(?=^- |\n\n)/gm)];
  assertEquals(
    items.map(([, number]) => Number(number)),
    changes().map(({ number }) => number),
  );
  assertEquals(
    changes().map(({ number }) => number),
    changes().map((_, index) => index + 1),
  );
  for (const [, number, text = ""] of items) {
    assert(namedTests(text).length > 0, `${number} has no test`);
  }
  const all = namedTests(page);
  assert(all.length > 40, `${all.length} tests are named`);
  for (const { file, name } of all) {
    const tests = await testsOf(file);
    assert(
      tests.some((test) => test.test(name)),
      `${file} has no test "${name}"`,
    );
  }
});

Deno.test("docs/job-lifecycle.md: twin: a test that does not exist is noticed", async () => {
  const [named] = namedTests(
    'see `tests/database/claim.test.ts` "claim_ai_jobs: it does\nnot exist"',
  );
  assertEquals(named?.name, "claim_ai_jobs: it does not exist");
  const tests = await testsOf("tests/database/claim.test.ts");
  assert(tests.length > 10);
  assert(!tests.some((test) => test.test(named?.name ?? "")));
});
