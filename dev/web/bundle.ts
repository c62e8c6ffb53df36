/** Bundles the page of `web/` with Deno's bundler and the import map; there is no separate build step. */
import { encodeHex } from "@std/encoding";
import { fromFileUrl, join } from "@std/path";
import { pruneMembers } from "./prune.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const source = join(root, "web");

/** Style sheets in order. */
const STYLES = ["tokens", "base", "parts", "shell", "demo", "console"];

/** Routes of the page. A static host has no fallback, so each needs a file. */
const ROUTES = ["", "ops/"];

/** Modules of supabase-js that the page does not use, with their replacement. */
const UNUSED_MODULES = [
  "@supabase/storage-js",
  "./lib/webauthn",
  "./lib/web3/ethereum",
  "./GoTrueAdminApi",
  "./RealtimePostgresFilterBuilder",
  "./RealtimePresence",
];
const STAND_IN = "shell/unused.js";

/**
 * What stands in for WebSocket, which every browser that the page supports has; and what the page does not call, but has
 * the name of something that is called.
 */
const UNUSED_MEMBERS: ReadonlySet<string> = new Set([
  "LongPoll",
  "Ajax.request",
  "GoTrueClient.resend",
]);

/** The page cannot be bundled; the message is the bundler's. */
export class BundleError extends Error {}

/** The files of the page by path, without `config.json`. Names of assets contain a hash. */
export type PageFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

async function runBundler(
  path: string,
  options: readonly string[],
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform=browser", ...options, path],
    cwd: root,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new BundleError(new TextDecoder().decode(stderr).trim());
  return new TextDecoder().decode(stdout);
}

/**
 * One script. It is bundled unminified first, because {@link pruneMembers} needs readable code; the second run drops
 * what only the pruned members used.
 */
async function bundleScript(path: string): Promise<string> {
  const external = UNUSED_MODULES.map((module) => `--external=${module}`);
  const readable = await runBundler(join(source, path), external);
  const pruned = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(pruned, pruneMembers(readable, UNUSED_MEMBERS));
    return await runBundler(pruned, ["--minify", ...external]);
  } finally {
    await Deno.remove(pruned);
  }
}

/** CSS without comments and redundant white space. */
export function minifyCss(css: string): string {
  return css.replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\s+/g, " ")
    .replace(/ ?([{};,]) ?/g, "$1")
    .replace(/: /g, ":")
    .replace(/;}/g, "}")
    .trim();
}

async function named(
  name: string,
  extension: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<[string, Uint8Array<ArrayBuffer>]> {
  const hash = encodeHex(await crypto.subtle.digest("SHA-256", bytes));
  return [`assets/${name}-${hash.slice(0, 8)}.${extension}`, bytes];
}

/**
 * Bundles the page.
 *
 * @throws {BundleError} with the position of the error.
 */
export async function bundlePage(): Promise<PageFiles> {
  const encoder = new TextEncoder();
  const read = (path: string) => Deno.readFile(join(source, path));
  const [
    template,
    code,
    fontBytes,
    iconBytes,
    standInCode,
    licence,
    ...sheets
  ] = await Promise.all([
    Deno.readTextFile(join(source, "index.html")),
    bundleScript("main.tsx"),
    read("fonts/figtree-latin.woff2"),
    read("icon.svg"),
    runBundler(join(source, STAND_IN), ["--minify"]),
    read("fonts/LICENSE"),
    ...STYLES.map((name) =>
      Deno.readTextFile(join(source, "styles", `${name}.css`))
    ),
  ]);
  const font = await named("figtree-latin", "woff2", fontBytes);
  const icon = await named("icon", "svg", iconBytes);
  const standIn = await named("unused", "js", encoder.encode(standInCode));
  const standInPath = `"./${standIn[0].replace("assets/", "")}"`;
  const script = await named(
    "main",
    "js",
    encoder.encode(
      UNUSED_MODULES.reduce(
        (text, module) => text.replaceAll(`"${module}"`, standInPath),
        code,
      ),
    ),
  );
  const fontName = font[0].replace("assets/", "");
  const style = await named(
    "style",
    "css",
    encoder.encode(
      minifyCss(sheets.join("\n")).replaceAll("{{font}}", fontName),
    ),
  );
  const pages = ROUTES.map((route): [string, Uint8Array<ArrayBuffer>] => {
    const base = route === ""
      ? "./"
      : "../".repeat(route.split("/").length - 1);
    const html = Object.entries({
      base,
      font: font[0],
      icon: icon[0],
      script: script[0],
      style: style[0],
    }).reduce(
      (text, [name, value]) => text.replaceAll(`{{${name}}}`, value),
      template,
    );
    return [`${route}index.html`, encoder.encode(html)];
  });
  return new Map([
    ...pages,
    font,
    icon,
    script,
    standIn,
    style,
    ["assets/figtree-LICENSE.txt", licence],
  ]);
}

/** Modification time of the newest source of the page, in milliseconds. */
export async function lastChange(): Promise<number> {
  const newest = async (folder: string): Promise<number> => {
    let last = 0;
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = join(folder, name);
      const time = isDirectory
        ? await newest(path)
        : (await Deno.stat(path)).mtime?.getTime() ?? 0;
      last = Math.max(last, time);
    }
    return last;
  };
  return Math.max(await newest(source), await newest(join(root, "client")));
}
