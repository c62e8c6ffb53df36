/**
 * Writes the generated parts of `docs/data-model.md` (between `<!-- generated: … -->` and `<!-- end -->`) from a
 * database with the migrations of the tree. The text around them is kept.
 *
 * usage: deno task db:model [--check]
 */
import { fromFileUrl } from "@std/path";
import postgres from "postgres";
import {
  type Chapter,
  checkChapters,
  describeTable,
  drawDiagram,
  readTables,
  type Table,
} from "./data-model-listing.ts";
import { formatText } from "./deno-fmt.ts";
import { writeOrCheck } from "./generated-file.ts";
import { withMigratedDatabase } from "./test-cluster.ts";

const target = fromFileUrl(
  new URL("../../docs/data-model.md", import.meta.url),
);

/** The chapters of the page, by the name of their generated part. */
const CHAPTERS: Record<string, Chapter> = {
  jobs: {
    title: "Jobs",
    tables: [
      "ai_providers",
      "ai_job_types",
      "ai_limits",
      "ai_prices",
      "ai_provider_spend",
      "ai_jobs",
      "ai_job_events",
      "ai_job_checkpoints",
      "ai_provider_calls",
      "ai_result_cache",
    ],
  },
  people: {
    title: "What people own",
    tables: [
      "profiles",
      "media",
      "pending_uploads",
      "voices",
      "calls",
      "avatars",
      "slideshows",
      "slideshow_items",
      "pdfs",
    ],
  },
  shop: {
    title: "The shop",
    tables: [
      "vendors",
      "vendor_members",
      "vendor_products",
      "orders",
      "order_items",
      "payments",
      "deliveries",
    ],
  },
  service: {
    title: "The service itself",
    tables: [
      "private.ai_counter_queue",
      "private.ai_counters",
      "private.ai_schedule_runs",
      "private.operator_actions",
      "private.dispatch_receipts",
      "private.expected_claims",
      "private.provider_webhook_receipts",
      "private.storage_removals",
      "private.abandoned_uploads",
      "private.provider_removals",
      "private.provider_objects",
      "private.provider_scans",
      "private.ai_recording_limits",
      "private.former_ai_jobs",
      "private.janitor_settings",
      "private.ai_job_products",
      "private.storage_references",
      "private.provider_references",
    ],
  },
};

/** The tables of a chapter in order: the diagram, then each table. */
function writeChapter(chapter: Chapter, tables: Table[]): string {
  const own = chapter.tables.flatMap((name) =>
    tables.filter((table) => table.name === name)
  );
  return [
    "```mermaid\n" + drawDiagram(own) + "\n```",
    ...own.map(describeTable),
  ].join("\n\n");
}

/**
 * The page with its generated parts replaced.
 *
 * @throws {Error} with a part that is missing in the page or in `parts`.
 */
export function fillParts(page: string, parts: Record<string, string>): string {
  const filled = new Set<string>();
  const text = page.replaceAll(
    /(<!-- generated: ([a-z]+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, head: string, name: string, tail: string) => {
      const part = parts[name];
      if (part === undefined) {
        throw new Error(`the page has an unknown generated part ${name}`);
      }
      filled.add(name);
      return `${head}\n${part}\n\n${tail}`;
    },
  );
  for (const name of Object.keys(parts)) {
    if (!filled.has(name)) throw new Error(`the page has no part ${name}`);
  }
  return text;
}

/** The whole page, from its current text and the database at `dbUrl`. */
async function writeDataModel(
  page: string,
  dbUrl: string,
): Promise<string> {
  const sql = postgres(dbUrl, { max: 1, connection: { search_path: '""' } });
  try {
    const tables = await readTables(sql);
    checkChapters(Object.values(CHAPTERS), tables);
    const parts = Object.fromEntries(
      Object.entries(CHAPTERS).map((
        [name, chapter],
      ) => [name, writeChapter(chapter, tables)]),
    );
    return await formatText(fillParts(page, parts), "md");
  } finally {
    await sql.end();
  }
}

if (import.meta.main) {
  const page = await Deno.readTextFile(target);
  const content = await withMigratedDatabase((dbUrl) =>
    writeDataModel(page, dbUrl)
  );
  Deno.exit(
    await writeOrCheck({ path: target, content, task: "db:model" }, Deno.args),
  );
}
