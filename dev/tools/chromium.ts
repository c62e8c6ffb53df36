/**
 * Finds a Chromium for the browser tests: an installed one, else one from an npm package, which needs no root, else the
 * distribution's on Debian or Ubuntu as root.
 */
import { dirname, join } from "@std/path";

/** The variable with the path of a Chromium, which overrides the search. */
const CHROMIUM_VARIABLE = "CHROMIUM_PATH";

/** A browser that can be started. */
export interface Chromium {
  path: string;
  /** Variables that it needs in addition to those of this process. */
  env: Record<string, string>;
}

const INSTALLED = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** 67 MB, downloaded only if no browser is installed, and therefore in no lock file. */
const PACKAGE = "@sparticuz/chromium@153.0.0";

/** Unpacks the browser and its libraries into the temporary folder. */
const UNPACK = `
  const { default: chromium } = await import("npm:${PACKAGE}");
  console.log(await chromium.executablePath());
`;

async function run(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(command, {
      args,
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function fromNpm(): Promise<Chromium | undefined> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return undefined;
  }
  const path = await run(Deno.execPath(), [
    "eval",
    "--no-lock",
    "--no-config",
    UNPACK,
  ], {
    // Makes the package unpack its libraries as well.
    AWS_LAMBDA_JS_RUNTIME: "nodejs22.x",
  });
  if (path === undefined) return undefined;
  // The system's libraries are newer; the package's are for systems without any.
  const libraries = join(dirname(path), "al2023", "lib");
  for (const env of [{}, { LD_LIBRARY_PATH: libraries }]) {
    if (await run(path, ["--version"], env) !== undefined) return { path, env };
  }
  return undefined;
}

/** Finds or downloads a browser. Undefined when there is none for this machine and none may be installed. */
export async function findChromium(): Promise<Chromium | undefined> {
  const named = Deno.env.get(CHROMIUM_VARIABLE);
  if (named !== undefined && named !== "") return { path: named, env: {} };
  const installed = async (): Promise<Chromium | undefined> => {
    for (const path of INSTALLED) {
      if (await exists(path)) return { path, env: {} };
    }
  };
  const found = await installed() ?? await fromNpm();
  if (found !== undefined) return found;
  const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
  if (!isRoot || await run("apt-get", ["update", "-q"]) === undefined) {
    return undefined;
  }
  await run("apt-get", ["install", "-qy", "chromium"], {
    DEBIAN_FRONTEND: "noninteractive",
  });
  return await installed();
}
