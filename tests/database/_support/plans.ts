/**
 * The plans that Postgres actually used, also for the statements inside functions and foreign keys. The server's
 * auto_explain reports them.
 */
import postgres from "postgres";
import { z } from "zod";
import type { ApiRole, TestDatabase } from "../../_support/database.ts";

interface PlanNode {
  "Node Type": string;
  "Parent Relationship"?: string | undefined;
  "Relation Name"?: string | undefined;
  "Index Name"?: string | undefined;
  "Index Cond"?: string | undefined;
  "Shared Hit Blocks"?: number | undefined;
  "Shared Read Blocks"?: number | undefined;
  Plans?: PlanNode[] | undefined;
}

const planNode: z.ZodType<PlanNode> = z.object({
  "Node Type": z.string(),
  "Parent Relationship": z.string().optional(),
  "Relation Name": z.string().optional(),
  "Index Name": z.string().optional(),
  "Index Cond": z.string().optional(),
  "Shared Hit Blocks": z.number().optional(),
  "Shared Read Blocks": z.number().optional(),
  get Plans() {
    return z.array(planNode).optional();
  },
});

const explained = z.object({ "Query Text": z.string(), Plan: planNode });

/** One statement and how it was run. */
export interface Plan {
  /** The statement, on one line. */
  query: string;
  /** Tables that were scanned sequentially. */
  seqScans: string[];
  /** Indexes that were used, in alphabetical order. */
  indexes: string[];
  /** Kinds of nodes, in alphabetical order, each once. */
  nodes: string[];
  /** The conditions of the index scans. */
  conditions: string[];
  /** Whether the plan has an initial step that runs once, not per row, as for `(select auth.uid())`. */
  hasInitPlan: boolean;
  /** Pages of 8 KiB that were read. */
  pages: number;
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}

function unique(values: (string | undefined)[]): string[] {
  return [...new Set(values.filter((value) => value !== undefined))].sort();
}

function planOf(message: string): Plan {
  const { Plan: root, "Query Text": text } = explained.parse(
    JSON.parse(message.slice(message.indexOf("{"))),
  );
  const nodes = flatten(root);
  return {
    query: text.replaceAll(/\s+/g, " ").trim(),
    seqScans: unique(
      nodes.filter((node) => node["Node Type"] === "Seq Scan").map((node) =>
        node["Relation Name"]
      ),
    ),
    indexes: unique(nodes.map((node) => node["Index Name"])),
    nodes: unique(nodes.map((node) => node["Node Type"])),
    conditions: unique(nodes.map((node) => node["Index Cond"])),
    hasInitPlan: nodes.some((node) =>
      node["Parent Relationship"] === "InitPlan"
    ),
    pages: (root["Shared Hit Blocks"] ?? 0) + (root["Shared Read Blocks"] ?? 0),
  };
}

/** A caller: the owner of the tables, or a role of the Data API. */
export type Caller = { role: "postgres" } | { role: ApiRole; userId?: string };

/** Runs statements and reports their plans. */
export interface Explainer {
  /**
   * Runs a statement in a transaction that is rolled back. Returns the plans of it and of all statements that it
   * caused, in the order in which they ended, without those that read no table. The prelude runs before, as the
   * superuser.
   */
  explain(
    caller: Caller,
    statement: string,
    prelude?: string,
  ): Promise<Plan[]>;
}

/** Opens a session that can explain, for as long as `run` takes. */
export async function withExplainer<T>(
  db: TestDatabase,
  run: (explainer: Explainer) => Promise<T>,
): Promise<T> {
  let heard: string[] = [];
  const sql = postgres(db.adminUrl, {
    max: 1,
    connection: { search_path: '""' },
    onnotice: ({ message }) => {
      if (message !== undefined && /^duration: .* plan:/.test(message)) {
        heard.push(message);
      }
    },
  });
  try {
    await sql.unsafe(`
      load 'auto_explain';
      set auto_explain.log_min_duration = 0;
      set auto_explain.log_nested_statements = on;
      set auto_explain.log_analyze = on;
      set auto_explain.log_timing = off;
      set auto_explain.log_buffers = on;
      set auto_explain.log_format = json;
      set auto_explain.log_level = notice;
    `);
    return await run({
      async explain(caller, statement, prelude) {
        const claims = caller.role === "postgres" ? "" : JSON.stringify({
          role: caller.role,
          sub: caller.userId,
        });
        const undo = new Error("undo");
        await sql.begin(async (transaction) => {
          if (prelude !== undefined) await transaction.unsafe(prelude);
          await transaction`
            select set_config('request.jwt.claims', ${claims}, true), set_config('role', ${caller.role}, true)`;
          heard = [];
          await transaction.unsafe(statement);
          throw undo;
        }).catch((error) => {
          if (error !== undo) throw error;
        });
        return heard.map(planOf).filter(({ nodes }) =>
          nodes.some((node) => /Scan/.test(node))
        );
      },
    });
  } finally {
    await sql.end();
  }
}
