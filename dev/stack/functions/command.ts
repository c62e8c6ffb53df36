/** The command line and the environment of a function's process. */
import { fromFileUrl, join } from "@std/path";
import type { DenoCommand } from "./deno.ts";
import type { FunctionDefinition } from "../project/project.ts";
import type { FunctionSettings } from "./settings.ts";

const runtime = fromFileUrl(new URL("./edge-runtime.ts", import.meta.url));

/** Variables with which Deno finds its cache; hidden from the function. */
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

/** Variables of proxies and certificates. */
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

/** How Deno resolves the imports of a function: its import map or configuration, and the project's lock file. */
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
 * The command and environment of a function: the permissions of an Edge Function, the project's variables, and what
 * Deno itself needs. `settings` are for `edge-runtime.ts`, which hides the other variables from the function.
 */
export async function functionCommand(
  definition: FunctionDefinition,
  { projectDir, deno, env, limits: { memoryBytes } }: FunctionSettings,
  settings: { commandToken: string; graceMs: number },
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
      // Limits the heap, so that V8 collects garbage as on the hosted runtime. The supervisor counts other memory.
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
