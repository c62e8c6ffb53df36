/**
 * Roles that a hosted project protects from changes with the extension supautils. Postgres by itself would allow some
 * of these changes, because `postgres` has the admin option on the roles of the Data API, and it has no event triggers
 * for roles. So the code that applies migrations refuses them.
 */
import { z } from "zod";

/** `supautils.reserved_roles` of a hosted project. The first ones have settings that `postgres` may change. */
const CONFIGURABLE = ["service_role", "authenticator", "authenticated", "anon"];
const RESERVED = [
  ...CONFIGURABLE,
  "supabase_admin",
  "supabase_auth_admin",
  "supabase_storage_admin",
  "supabase_read_only_user",
  "supabase_realtime_admin",
  "supabase_replication_admin",
  "supabase_etl_admin",
  "supabase_privileged_role",
  "dashboard_user",
  "pgbouncer",
];

/** `supautils.reserved_memberships` of a hosted project. */
const RESERVED_MEMBERSHIPS = [
  "pg_read_server_files",
  "pg_write_server_files",
  "pg_execute_server_program",
  "supabase_admin",
  "supabase_auth_admin",
  "supabase_storage_admin",
  "supabase_read_only_user",
  "supabase_realtime_admin",
  "supabase_replication_admin",
  "supabase_etl_admin",
  "dashboard_user",
  "pgbouncer",
  "authenticator",
];

const role = z.object({ rolename: z.string().optional() });
const roles = z.array(z.object({ RoleSpec: role })).default([]);

/** Statements about roles, as the parser returns them. */
const statement = z.object({
  AlterRoleStmt: z.object({ role }),
  AlterRoleSetStmt: z.object({ role: role.optional() }),
  CreateRoleStmt: z.object({
    role: z.string(),
    options: z.array(z.object({
      DefElem: z.object({
        defname: z.string(),
        arg: z.object({
          List: z.object({ items: roles }).optional(),
        }).optional(),
      }),
    })).default([]),
  }),
  DropRoleStmt: z.object({ roles }),
  GrantRoleStmt: z.object({
    is_grant: z.boolean().default(false),
    granted_roles: z.array(
      z.object({ AccessPriv: z.object({ priv_name: z.string() }) }),
    ),
    grantee_roles: roles,
  }),
  RenameStmt: z.object({
    renameType: z.string(),
    subname: z.string().optional(),
    newname: z.string().optional(),
  }),
}).partial();

/**
 * Why a hosted project refuses a statement about roles, or undefined if it does not. `stmt` is a statement from the
 * parser; other kinds of statements are accepted. The message is that of supautils; its SQLSTATE is 42501.
 */
export function refusedForRoles(stmt: unknown): string | undefined {
  const parsed = statement.parse(stmt);
  const { changed, granted } = rolesOf(parsed);
  const kept = changed.find((name) => RESERVED.includes(name));
  if (kept !== undefined) {
    return `"${kept}" is a reserved role, only superusers can modify it`;
  }
  const membership = granted.find((name) =>
    RESERVED_MEMBERSHIPS.includes(name)
  );
  return membership === undefined
    ? undefined
    : `"${membership}" role memberships are reserved, only superusers can grant them`;
}

function named(list: z.infer<typeof roles>): string[] {
  return list.flatMap(({ RoleSpec }) => RoleSpec.rolename ?? []);
}

function rolesOf(
  parsed: z.infer<typeof statement>,
): { changed: string[]; granted: string[] } {
  const { AlterRoleStmt, AlterRoleSetStmt, CreateRoleStmt } = parsed;
  const { DropRoleStmt, GrantRoleStmt, RenameStmt } = parsed;
  const changed: string[] = [], granted: string[] = [];
  const unlessConfigurable = (name: string) => !CONFIGURABLE.includes(name);
  if (AlterRoleStmt) changed.push(AlterRoleStmt.role.rolename ?? "");
  if (AlterRoleSetStmt) {
    changed.push(
      ...[AlterRoleSetStmt.role?.rolename ?? ""].filter(unlessConfigurable),
    );
  }
  if (CreateRoleStmt) {
    changed.push(CreateRoleStmt.role);
    for (const { DefElem: { defname, arg } } of CreateRoleStmt.options) {
      if (defname === "addroleto") {
        granted.push(...named(arg?.List?.items ?? []));
      }
    }
  }
  if (DropRoleStmt) changed.push(...named(DropRoleStmt.roles));
  if (GrantRoleStmt) {
    changed.push(
      ...named(GrantRoleStmt.grantee_roles).filter(unlessConfigurable),
    );
    if (GrantRoleStmt.is_grant) {
      granted.push(
        ...GrantRoleStmt.granted_roles.map((each) => each.AccessPriv.priv_name),
      );
    }
  }
  if (RenameStmt?.renameType === "OBJECT_ROLE") {
    changed.push(RenameStmt.subname ?? "", RenameStmt.newname ?? "");
  }
  return { changed, granted };
}
