/** The Vault secrets that a project's migrations read and an operator would set once on a hosted project. */
import postgres from "postgres";

/**
 * Creates or updates secrets by name, as the role `postgres`. Does nothing where the database has no Vault.
 */
export async function putVaultSecrets(
  dbUrl: string,
  secrets: Record<string, string>,
): Promise<void> {
  const sql = postgres(dbUrl, { max: 1 });
  try {
    const [row] = await sql<{ installed: boolean }[]>`
      select to_regclass('vault.secrets') is not null as installed`;
    if (!row?.installed) return;
    for (const [name, value] of Object.entries(secrets)) {
      const [known] = await sql<{ id: string }[]>`
        select id from vault.secrets where name = ${name}`;
      if (known) await sql`select vault.update_secret(${known.id}, ${value})`;
      else await sql`select vault.create_secret(${value}, ${name})`;
    }
  } finally {
    await sql.end();
  }
}
