/** The command line and the environment of a function's process. */
import { fromFileUrl, join } from "@std/path";
import type { DenoCommand } from "./functions-deno.ts";
import type { FunctionDefinition } from "./project.ts";

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
  project: {
    projectDir: string;
    deno: DenoCommand;
    env: Record<string, string>;
  },
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
      project.deno.program,
      "run",
      "--quiet",
      "--no-prompt",
      "--cached-only",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      // The memory of an edge function is 256 MB; V8's heap is the part of it that can be limited here.
      "--v8-flags=--max-old-space-size=256",
      ...await denoArguments(definition, project.projectDir, project.deno),
      runtime,
      JSON.stringify({
        ...settings,
        entry: new URL(`file://${definition.entrypoint}`).href,
        slug: definition.slug,
        hiddenEnv: [...cacheEnv, "NO_COLOR", "PWD", "OLDPWD", "SHLVL", "_"],
      }),
    ],
    env: {
      ...inherited,
      ...project.deno.env,
      ...project.env,
      NO_COLOR: "1",
    },
  };
}
