/** The command line and the environment of a function's process. */
import { fromFileUrl, join } from "@std/path";
import type { FunctionSettings } from "./process.ts";
import type { DenoCommand } from "./deno.ts";
import type { FunctionDefinition } from "../project/project.ts";

const runtime = fromFileUrl(new URL("./edge-runtime.ts", import.meta.url));

/** What Deno needs to find its cache; hidden from the function itself. */
const cacheEnv = [
  "HOME",
  "PATH",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "NPM_CONFIG_REGISTRY",
  "npm_config_registry",
  "NPM_CONFIG_USERCONFIG",
  "npm_config_userconfig",
];

/** How this machine reaches the internet, where that takes more than a connection. */
const networkEnv = [
  "HTTP_PROXY",
  "http_proxy",
  "HTTPS_PROXY",
  "https_proxy",
  "ALL_PROXY",
  "all_proxy",
  "NO_PROXY",
  "no_proxy",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
];

/** How Deno resolves what a function imports: its import map or configuration, and the project's lock file. */
export async function denoArguments(
  definition: FunctionDefinition,
  projectDir: string,
  deno: DenoCommand,
): Promise<string[]> {
  const lock = join(projectDir, "deno.lock");
  const hasLock = deno.readsLock &&
    await Deno.stat(lock).then(() => true, () => false);
  return [
    "--node-modules-dir=none",
    hasLock ? `--lock=${lock}` : "--no-lock",
    ...(definition.imports?.kind === "config"
      ? [`--config=${definition.imports.path}`]
      : ["--no-config"]),
    ...(definition.imports?.kind === "import-map"
      ? [`--import-map=${definition.imports.path}`]
      : []),
  ];
}

/**
 * How a function is started: with the permissions of an edge function, the project's variables, and what Deno itself
 * needs. `settings` are for `edge-runtime.ts`, which hides from the function what is not its own.
 */
export async function functionCommand(
  definition: FunctionDefinition,
  { projectDir, deno, env, limits: { memoryBytes } }: FunctionSettings,
  settings: { orderToken: string; graceMs: number },
): Promise<{ command: [string, ...string[]]; env: Record<string, string> }> {
  const inherited = Object.fromEntries(
    [...cacheEnv, ...networkEnv].flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  return {
    command: [
      deno.program,
      "run",
      "--quiet",
      "--no-prompt",
      "--cached-only",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      // So that V8 collects garbage as where it has no more; what else there is in memory, the supervisor counts.
      ...(memoryBytes === 0
        ? []
        : [`--v8-flags=--max-old-space-size=${memoryBytes / 1_048_576}`]),
      ...await denoArguments(definition, projectDir, deno),
      runtime,
      JSON.stringify({
        ...settings,
        entry: new URL(`file://${definition.entrypoint}`).href,
        slug: definition.slug,
        hiddenEnv: [...cacheEnv, "NO_COLOR", "PWD", "OLDPWD", "SHLVL", "_"],
      }),
    ],
    env: { ...inherited, ...deno.env, ...env, NO_COLOR: "1" },
  };
}
