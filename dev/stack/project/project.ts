/** Reads a project folder: `supabase/config.toml`, the functions and the migrations. */
import { join, resolve } from "@std/path";
import { parse as parseToml } from "@std/toml";
import { z } from "zod";
import { check } from "../../../supabase/functions/_shared/contracts/issue-words.ts";
import { StackError } from "../console/stack-error.ts";

/** One Edge Function as the CLI would deploy it. All paths are absolute. */
export interface FunctionDefinition {
  slug: string;
  entrypoint: string;
  /** Whether the gateway requires a valid user token. */
  verifyJwt: boolean;
  /** Resolves the function's imports: an import map, or its own `deno.json`. */
  imports: { kind: "import-map" | "config"; path: string } | undefined;
}

/** The part of a project that the stack needs. */
export interface Project {
  dir: string;
  migrationsDir: string;
  /** Absolute paths of the `[db.seed]` files; empty when it is disabled. They need not exist. */
  seedFiles: string[];
  functions: FunctionDefinition[];
  schemas: string[];
  extraSearchPath: string[];
  maxRows: number;
  /** Largest file that Storage accepts, in bytes. */
  fileSizeLimit: number;
  auth: {
    siteUrl: string;
    /** Lifetime of an access token in seconds. */
    jwtExpiry: number;
    enableSignup: boolean;
    minimumPasswordLength: number;
  };
}

const units: Record<string, number> = {
  b: 1,
  kb: 1000,
  kib: 1024,
  mb: 1000 ** 2,
  mib: 1024 ** 2,
  gb: 1000 ** 3,
  gib: 1024 ** 3,
};

const byteSize = z.string().transform((text, context) => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text) ?? [];
  const factor = units[unit?.toLowerCase() ?? ""];
  if (amount === undefined || factor === undefined) {
    context.addIssue({
      code: "custom",
      message: `not a size such as "50MiB": ${text}`,
    });
    return z.NEVER;
  }
  return Math.floor(Number(amount) * factor);
});

const functionSection = z.looseObject({
  enabled: z.boolean().default(true),
  verify_jwt: z.boolean().default(true),
  import_map: z.string().default(""),
  entrypoint: z.string().default(""),
});

const configSchema = z.looseObject({
  api: z.looseObject({
    schemas: z.array(z.string()).default(["public", "graphql_public"]),
    extra_search_path: z.array(z.string()).default(["public", "extensions"]),
    max_rows: z.number().int().default(1000),
  }).prefault({}),
  db: z.looseObject({
    seed: z.looseObject({
      enabled: z.boolean().default(true),
      sql_paths: z.array(z.string()).default(["./seed.sql"]),
    }).prefault({}),
  }).prefault({}),
  storage: z.looseObject({
    file_size_limit: byteSize.prefault("50MiB"),
  }).prefault({}),
  auth: z.looseObject({
    site_url: z.string().default("http://127.0.0.1:3000"),
    jwt_expiry: z.number().int().default(3600),
    enable_signup: z.boolean().default(true),
    minimum_password_length: z.number().int().default(6),
  }).prefault({}),
  functions: z.record(z.string().regex(/^[a-zA-Z0-9_-]+$/), functionSection)
    .default({}),
});

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function functionFolders(dir: string): Promise<string[]> {
  const slugs: string[] = [];
  try {
    for await (const entry of Deno.readDir(dir)) {
      if (!entry.isDirectory || /^[_.]/.test(entry.name)) continue;
      if (await isFile(join(dir, entry.name, "index.ts"))) {
        slugs.push(entry.name);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return slugs;
}

/** The CLI's order of precedence (`functions deploy`). */
async function importsOf(
  supabaseDir: string,
  slug: string,
  configured: string,
): Promise<FunctionDefinition["imports"]> {
  if (configured !== "") {
    const path = resolve(supabaseDir, configured);
    if (!(await isFile(path))) {
      throw new StackError(
        `Function ${slug}: the import map ${path} of supabase/config.toml does not exist.`,
      );
    }
    return { kind: "import-map", path };
  }
  const folder = join(supabaseDir, "functions");
  for (
    const [kind, path] of [
      ["config", join(folder, slug, "deno.json")],
      ["config", join(folder, slug, "deno.jsonc")],
      ["import-map", join(folder, slug, "import_map.json")],
      ["import-map", join(folder, "import_map.json")],
    ] as const
  ) {
    if (await isFile(path)) return { kind, path };
  }
  return undefined;
}

/**
 * Reads a project folder. Its functions are those of `[functions.*]` and of every `supabase/functions/<slug>/index.ts`,
 * without the disabled ones, sorted by name.
 *
 * @throws {StackError} when the folder is not a Supabase project, config.toml is invalid, or a configured function or
 *   import map does not exist.
 */
export async function readProject(projectDir: string): Promise<Project> {
  const dir = resolve(projectDir);
  const supabaseDir = join(dir, "supabase");
  const configFile = join(supabaseDir, "config.toml");
  let text: string;
  try {
    text = await Deno.readTextFile(configFile);
  } catch (cause) {
    throw new StackError(
      `${dir} is not a Supabase project: ${configFile} cannot be read.`,
      { cause },
    );
  }
  const isNotValid = (reason: string, cause?: unknown) =>
    new StackError(`${configFile} is not valid: ${reason}`, { cause });
  let given: unknown;
  try {
    given = parseToml(text);
  } catch (error) {
    throw isNotValid(String(error), error);
  }
  const { data: config, wrong = [] } = check(given, configSchema);
  if (config === undefined) {
    throw isNotValid(
      wrong.map(({ path, message }) => `${path.join(".")}: ${message}`)
        .join("; "),
    );
  }

  const slugs = new Set([
    ...Object.keys(config.functions),
    ...await functionFolders(join(supabaseDir, "functions")),
  ]);
  const functions: FunctionDefinition[] = [];
  for (const slug of [...slugs].sort()) {
    const section = config.functions[slug] ?? functionSection.parse({});
    if (!section.enabled) continue;
    const entrypoint = section.entrypoint === ""
      ? join(supabaseDir, "functions", slug, "index.ts")
      : resolve(supabaseDir, section.entrypoint);
    if (!(await isFile(entrypoint))) {
      throw new StackError(
        `Function ${slug} of supabase/config.toml has no file ${entrypoint}.`,
      );
    }
    functions.push({
      slug,
      entrypoint,
      verifyJwt: section.verify_jwt,
      imports: await importsOf(supabaseDir, slug, section.import_map),
    });
  }
  return {
    dir,
    migrationsDir: join(supabaseDir, "migrations"),
    seedFiles: config.db.seed.enabled
      ? config.db.seed.sql_paths.map((path) => resolve(supabaseDir, path))
      : [],
    functions,
    schemas: config.api.schemas,
    extraSearchPath: config.api.extra_search_path,
    maxRows: config.api.max_rows,
    fileSizeLimit: config.storage.file_size_limit,
    auth: {
      siteUrl: config.auth.site_url,
      jwtExpiry: config.auth.jwt_expiry,
      enableSignup: config.auth.enable_signup,
      minimumPasswordLength: config.auth.minimum_password_length,
    },
  };
}
