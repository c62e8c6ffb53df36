/** The real Supabase CLI, with the commands for a hosted project, on a database that is set up like one. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { applyMigrations } from "../../dev/stack/postgres/migrate.ts";
import {
  type CliResult,
  runSupabaseCli,
} from "../../dev/tools/supabase-cli.ts";
import { withDatabase } from "../_support/database.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const migrations = fromFileUrl(
  new URL("../../supabase/migrations", import.meta.url),
);

const vault = {
  PROJECT_URL: "https://abcdefghijklmnopqrst.supabase.co",
  DISPATCH_SECRET: `whsec_${btoa("a secret of thirty-two bytes ...")}`,
};

const listed = z.object({
  migrations: z.array(
    z.object({ local: z.string(), remote: z.string() }),
  ),
});

const advice = z.object({
  results: z.array(z.object({
    name: z.string(),
    level: z.enum(["INFO", "WARN", "ERROR"]),
    detail: z.string(),
    cacheKey: z.string(),
  })),
});

function cli(...args: string[]): Promise<CliResult> {
  return runSupabaseCli(args, { cwd: root, env: vault });
}

async function versionsOfFiles(): Promise<string[]> {
  const versions: string[] = [];
  for await (const { name } of Deno.readDir(migrations)) {
    const version = /^(\d+)_.*\.sql$/.exec(name)?.[1];
    if (version !== undefined) versions.push(version);
  }
  return versions.sort();
}

async function listMigrations(url: string): Promise<
  z.infer<typeof listed>["migrations"]
> {
  const { code, stdout, stderr } = await cli(
    "migration",
    "list",
    `--remote=${url}`,
    "--output-format=json",
  );
  assertEquals(code, 0, stderr);
  return listed.parse(JSON.parse(stdout)).migrations;
}

async function advise(url: string) {
  const { code, stdout, stderr } = await cli(
    "db",
    "advisors",
    `--remote=${url}`,
    "--type=all",
    "--level=info",
    "--fail-on=warn",
    "--output-format=json",
  );
  try {
    return { code, findings: advice.parse(JSON.parse(stdout)).results };
  } catch (cause) {
    throw new Error(`db advisors (code ${code}): ${stdout}${stderr}`, {
      cause,
    });
  }
}

Deno.test("supabase db push: migrates an empty project as a role that is not superuser, and writes the Vault", async () => {
  await withDatabase(async (db) => {
    const [role] = await db.sql<
      { rolsuper: boolean }[]
    >`select rolsuper from pg_roles where rolname = current_user`;
    assertEquals(role?.rolsuper, false);
    assertEquals((await listMigrations(db.url)).map((row) => row.remote), [
      ...(await versionsOfFiles()).map(() => ""),
    ]);

    const push = await cli("db", "push", `--remote=${db.url}`, "--yes");
    assertEquals(push.code, 0, push.stdout + push.stderr);

    const versions = await versionsOfFiles();
    assert(versions.length > 0);
    const expected = versions.map((version) => ({
      local: version,
      remote: version,
    }));
    assertEquals(await listMigrations(db.url), expected);

    const secrets = await db.sql<
      { name: string; decrypted_secret: string }[]
    >`select name, decrypted_secret from vault.decrypted_secrets order by name`;
    assertEquals([...secrets], [
      { name: "dispatch_secret", decrypted_secret: vault.DISPATCH_SECRET },
      { name: "project_url", decrypted_secret: vault.PROJECT_URL },
    ]);

    const again = await cli("db", "push", `--remote=${db.url}`, "--yes");
    assertEquals(again.code, 0, again.stdout + again.stderr);
    assertStringIncludes(again.stdout, "up to date");

    const report = await applyMigrations(db.url, migrations);
    assertEquals(report, {
      applied: [],
      changed: [],
      missing: [],
      skipped: [],
    });
  }, { migrated: false });
});

Deno.test("supabase db push: finds nothing to do on a database that the embedded stack has migrated", async () => {
  await withDatabase(async (db) => {
    const versions = await versionsOfFiles();
    assertEquals(
      await listMigrations(db.url),
      versions.map((version) => ({ local: version, remote: version })),
    );
    const push = await cli("db", "push", `--remote=${db.url}`, "--yes");
    assertEquals(push.code, 0, push.stdout + push.stderr);
    assertStringIncludes(push.stdout, "up to date");
  });
});

/**
 * Intended INFO findings of the advisor, by its key, with the reason. `unused_index` is not listed, because no index of
 * a new database has been used yet.
 */
const INTENDED: Readonly<Record<string, string>> = {
  rls_enabled_no_policy_private_dispatch_receipts:
    "In a schema that the API does not expose; Row Level Security without a policy is the second lock.",
  rls_enabled_no_policy_private_expected_claims: "The same.",
  rls_enabled_no_policy_private_provider_webhook_receipts: "The same.",
  rls_enabled_no_policy_private_storage_removals: "The same.",
  rls_enabled_no_policy_private_provider_removals: "The same.",
  rls_enabled_no_policy_private_provider_objects: "The same.",
  rls_enabled_no_policy_private_provider_scans: "The same.",
  rls_enabled_no_policy_private_former_ai_jobs: "The same.",
  rls_enabled_no_policy_private_janitor_settings: "The same.",
  rls_enabled_no_policy_private_ai_recording_limits: "The same.",
  rls_enabled_no_policy_private_abandoned_uploads: "The same.",
  rls_enabled_no_policy_private_ai_counter_queue: "The same.",
  rls_enabled_no_policy_private_ai_counters: "The same.",
  rls_enabled_no_policy_private_ai_schedule_runs: "The same.",
  rls_enabled_no_policy_private_operator_actions: "The same.",
  rls_enabled_no_policy_private_ai_job_products: "The same.",
  rls_enabled_no_policy_private_provider_references: "The same.",
  rls_enabled_no_policy_private_storage_references: "The same.",
  rls_enabled_no_policy_public_ai_providers:
    "The operator's settings: read and written by service_role alone.",
  rls_enabled_no_policy_public_ai_prices: "The same.",
  rls_enabled_no_policy_public_ai_job_checkpoints:
    "What a worker has finished of a job: read and written by service_role alone.",
  rls_enabled_no_policy_public_ai_provider_spend:
    "Read by service_role alone, and written by a trigger.",
};

Deno.test("supabase db advisors: no warning, no error, and no remark without a documented reason", async () => {
  await withDatabase(async (db) => {
    const { code, findings } = await advise(db.url);
    const remarks = findings.filter(({ name, level }) =>
      level !== "INFO" || name !== "unused_index"
    );
    assertEquals(
      remarks.filter(({ level }) => level !== "INFO"),
      [],
    );
    assertEquals(code, 0);
    assertEquals(
      remarks.map(({ cacheKey }) => cacheKey).sort(),
      Object.keys(INTENDED).sort(),
      JSON.stringify(remarks, null, 2),
    );
  });
});

Deno.test("supabase db advisors: a table that the API can read without Row Level Security is an error", async () => {
  await withDatabase(async (db) => {
    await db.sql`create table public.open_to_all (id uuid primary key)`;
    await db.sql`grant select on public.open_to_all to anon`;
    const { code, findings } = await advise(db.url);
    assertEquals(
      findings.filter(({ level }) => level === "ERROR").map(({ name }) => name),
      ["rls_disabled_in_public"],
    );
    assert(code !== 0);
  });
});

/** A proxy that refuses every connection and records its target. */
function startDeadProxy() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const called: string[] = [];
  const end = (async () => {
    for await (const connection of listener) {
      const bytes = new Uint8Array(256);
      const length = await connection.read(bytes) ?? 0;
      const request = new TextDecoder().decode(bytes.subarray(0, length));
      called.push(request.split("\r\n")[0] ?? "");
      connection.close();
    }
  })();
  const url = `http://127.0.0.1:${listener.addr.port}`;
  return {
    called,
    env: { HTTP_PROXY: url, HTTPS_PROXY: url },
    async [Symbol.asyncDispose]() {
      listener.close();
      await end;
    },
  };
}

Deno.test("runSupabaseCli: connects only to the database and writes nothing into the project", async (t) => {
  await withDatabase(async (db) => {
    await using proxy = startDeadProxy();
    const project = await Deno.makeTempDir();
    try {
      await Deno.mkdir(join(project, "supabase"));
      await Deno.writeTextFile(join(project, "supabase", "config.toml"), "");
      const list = (env: Record<string, string>) =>
        runSupabaseCli(["migration", "list", `--remote=${db.url}`], {
          cwd: project,
          env: { ...proxy.env, ...env },
        });
      const { code, stderr } = await list({});
      assertEquals(code, 0, stderr);
      assertEquals(proxy.called, []);
      assertEquals(
        (await Array.fromAsync(Deno.readDir(join(project, "supabase")))).map(
          ({ name }) => name,
        ),
        ["config.toml"],
      );
      await t.step("(without our settings it calls other hosts)", async () => {
        await list({
          DO_NOT_TRACK: "",
          SUPABASE_TELEMETRY_DISABLED: "",
          SUPABASE_NO_UPDATE_NOTIFIER: "",
        });
        assert(proxy.called.length > 0);
      });
    } finally {
      await Deno.remove(project, { recursive: true });
    }
  });
});
