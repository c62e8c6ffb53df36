/** A project folder with the workers alone: the other functions would take most of the time to start. */
import { fromFileUrl, join } from "@std/path";

/** This repository. */
export const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** The function that the storms are about. */
export const SLUG = "process-ai-job";
/** The function that renders keepsakes. */
export const RENDER_SLUG = "render-ai-job";
/** The functions that work on jobs. */
export type WorkerSlug = typeof SLUG | typeof RENDER_SLUG;

/** Makes the folder in the system's temporary place; it is removed when disposed of. */
export async function makeProject(): Promise<
  AsyncDisposable & { dir: string }
> {
  const dir = await Deno.makeTempDir({ prefix: "chaos-project-" });
  const real = join(ROOT, "supabase");
  const folder = join(dir, "supabase");
  await Deno.mkdir(folder);
  const config = await Deno.readTextFile(join(real, "config.toml"));
  const [settings = ""] = config.split(/^\[functions\./m);
  await Deno.writeTextFile(
    join(folder, "config.toml"),
    settings + [SLUG, RENDER_SLUG].map((slug) => `
[functions.${slug}]
verify_jwt = false
import_map = ${JSON.stringify(join(ROOT, "import_map.json"))}
entrypoint = ${JSON.stringify(join(real, "functions", slug, "index.ts"))}
`).join(""),
  );
  await Deno.symlink(join(real, "migrations"), join(folder, "migrations"));
  await Deno.symlink(join(ROOT, "deno.lock"), join(dir, "deno.lock"));
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}
