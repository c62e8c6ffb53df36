/** Drops policies, opens them, removes one condition; disables Row Level Security. */
import type postgres from "postgres";
import type { Operation } from "./attempt.ts";
import { conditionsOf, type Span, withoutCondition } from "./conditions.ts";
import { identifier, type Mutant, shares } from "./mutant.ts";

interface Policy {
  schema: string;
  table: string;
  name: string;
  command: "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "ALL";
  isPermissive: boolean;
  roles: string[];
  using: string | null;
  check: string | null;
}

/** The operations that show it first. */
const LIKELY: Record<Policy["command"], readonly Operation[]> = {
  SELECT: ["select", "execute", "list", "read", "call"],
  INSERT: ["insert", "write", "call"],
  UPDATE: ["update", "write"],
  DELETE: ["delete", "remove"],
  ALL: [],
};

/** The operations that can show it, for commands that, unlike reading, are not part of all others. */
const POSSIBLE: Partial<Record<Policy["command"], readonly Operation[]>> = {
  INSERT: ["insert", "write", "execute", "call"],
  UPDATE: ["update", "insert", "write", "execute", "call"],
  DELETE: ["delete", "remove", "execute", "call"],
};

function createPolicy(policy: Policy): string {
  const { schema, table, name, command, roles, using, check } = policy;
  return [
    `create policy ${identifier(name)} on ${schema}.${identifier(table)}`,
    `as ${policy.isPermissive ? "permissive" : "restrictive"} for ${command}`,
    `to ${roles.map(identifier).join(", ")}`,
    ...(using === null ? [] : [`using (${using})`]),
    ...(check === null ? [] : [`with check (${check})`]),
  ].join(" ");
}

function mutantsOf(policy: Policy, buckets: string[]): Mutant[] {
  const { schema, table, name, command } = policy;
  const on = `${schema}.${identifier(table)}`;
  const title = `policy "${name}" on ${table}`;
  const subjects = schema === "storage"
    ? buckets.map((bucket) => `bucket ${bucket}`)
    : [`table ${table}`];
  const operations = POSSIBLE[command];
  const common = {
    subjects,
    ...(operations === undefined ? {} : { operations }),
    isConcerned: (attempt: Parameters<Mutant["isConcerned"]>[0]) =>
      shares(attempt.subjects, subjects) &&
      LIKELY[command].includes(attempt.operation),
  };
  const alter = (clauses: string) =>
    `alter policy ${identifier(name)} on ${on} ${clauses}`;
  const { using, check } = policy;
  const clauses = [
    ...(using === null ? [] : [{ clause: "using", text: using }]),
    ...(check === null ? [] : [{ clause: "with check", text: check }]),
  ];
  // Where both clauses are equal, each covers for the other, so that they are also broken together.
  const isTwice = using !== null && using === check;
  const both = (text: string) => alter(`using (${text}) with check (${text})`);
  return [
    {
      ...common,
      name: `${title}: dropped`,
      apply: `drop policy ${identifier(name)} on ${on}`,
      revert: createPolicy(policy),
    },
    ...clauses.flatMap(({ clause, text }): Mutant[] => {
      const revert = alter(`${clause} (${text})`);
      return [
        {
          ...common,
          name: `${title}: ${clause} (true)`,
          apply: alter(`${clause} (true)`),
          revert,
        },
        ...(isTwice ? [] : conditionsOf(text).map((span, at): Mutant => ({
          ...common,
          name: `${title}: ${clause} without its condition ${at + 1}, ${
            shown(text, span)
          }`,
          apply: alter(`${clause} (${withoutCondition(text, span)})`),
          revert,
        }))),
      ];
    }),
    ...(isTwice
      ? [
        {
          ...common,
          name: `${title}: using (true) with check (true)`,
          apply: both("true"),
          revert: both(using),
        },
        ...conditionsOf(using).map((span, at): Mutant => ({
          ...common,
          name: `${title}: without its condition ${at + 1}, ${
            shown(using, span)
          }`,
          apply: both(withoutCondition(using, span)),
          revert: both(using),
        })),
      ]
      : []),
  ];
}

function shown(text: string, { start, end }: Span): string {
  return text.slice(start, end).replace(/\s+/g, " ");
}

/** Every policy of the API's tables and of Storage, and the switch of every table. `sql` has no search_path. */
export async function policyMutants(sql: postgres.Sql): Promise<Mutant[]> {
  const policies = await sql<Policy[]>`
    select p.schemaname as schema, p.tablename as table, p.policyname as name, p.cmd as command,
      p.permissive = 'PERMISSIVE' as "isPermissive", p.roles::text[] as roles, p.qual as using, p.with_check as check
    from pg_policies as p where p.schemaname in ('public', 'storage') order by 1, 2, 3`;
  const tables = await sql<{ table: string }[]>`
    select c.relname as table from pg_class as c
    where c.relnamespace::regnamespace::text = 'public' and c.relkind in ('r', 'p') and c.relrowsecurity order by 1`;
  const buckets = await sql<{ id: string; public: boolean }[]>`
    select b.id, b.public from storage.buckets as b order by 1`;
  return [
    ...policies.flatMap((policy) =>
      mutantsOf(policy, buckets.map(({ id }) => id))
    ),
    ...tables.map(({ table }): Mutant => ({
      name: `table ${table}: Row Level Security switched off`,
      subjects: [`table ${table}`],
      apply: `alter table public.${
        identifier(table)
      } disable row level security`,
      revert: `alter table public.${
        identifier(table)
      } enable row level security`,
      isConcerned: ({ subjects, operation }) =>
        subjects.includes(`table ${table}`) && operation === "select",
    })),
    ...buckets.filter((bucket) => !bucket.public).map(({ id }): Mutant => ({
      name: `bucket ${id}: made public`,
      subjects: [`bucket ${id}`],
      apply: `update storage.buckets set public = true where id = '${id}'`,
      revert: `update storage.buckets set public = false where id = '${id}'`,
      isConcerned: ({ subjects, operation }) =>
        subjects.includes(`bucket ${id}`) && operation === "read",
    })),
  ];
}
