import { assertEquals } from "@std/assert";
import { parse } from "libpg-query";
import { refusedForRoles } from "../../../../dev/stack/postgres/reserved-roles.ts";

async function refusal(sql: string): Promise<string | undefined> {
  return refusedForRoles((await parse(sql)).stmts[0].stmt);
}

Deno.test("reserved roles: their attributes, names and memberships must not be changed", async () => {
  const reserved = (name: string) =>
    `"${name}" is a reserved role, only superusers can modify it`;
  const membership = (name: string) =>
    `"${name}" role memberships are reserved, only superusers can grant them`;
  for (
    const [sql, expected] of [
      ["alter role anon bypassrls", reserved("anon")],
      ["alter group authenticated add user mine", reserved("authenticated")],
      ["drop role if exists mine, service_role", reserved("service_role")],
      ["alter role authenticator rename to mine", reserved("authenticator")],
      ["alter role mine rename to pgbouncer", reserved("pgbouncer")],
      ["create role supabase_etl_admin", reserved("supabase_etl_admin")],
      ["alter role dashboard_user set a.b = 'c'", reserved("dashboard_user")],
      [
        "alter role supabase_auth_admin reset all",
        reserved("supabase_auth_admin"),
      ],
      ["grant mine to supabase_admin", reserved("supabase_admin")],
      ["revoke mine from pgbouncer", reserved("pgbouncer")],
      ["grant mine, authenticator to postgres", membership("authenticator")],
      [
        "create role mine in role pg_read_server_files",
        membership("pg_read_server_files"),
      ],
    ] as const
  ) assertEquals(await refusal(sql), expected, sql);
});

Deno.test("reserved roles: settings of the API's roles, own roles, and other statements are allowed", async () => {
  for (
    const sql of [
      "alter role service_role set statement_timeout = '30s'",
      "alter role authenticator reset statement_timeout",
      "alter role all set work_mem = '1MB'",
      "alter role current_user set work_mem = '1MB'",
      "create role mine in role anon",
      "alter role mine nologin",
      "grant mine to authenticated",
      "grant anon to mine",
      "revoke authenticator from mine",
      "alter table public.anon rename to authenticated",
      "grant select on public.mine to anon",
      "select 1",
    ]
  ) assertEquals(await refusal(sql), undefined, sql);
});
