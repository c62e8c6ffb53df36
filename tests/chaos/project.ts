/** A project folder with the worker functions only, because starting the others takes most of a stack's start. */
import { fromFileUrl, join } from "@std/path";

/** This repository. */
export const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** The worker of most job types. */
export const SLUG = "process-ai-job";
/** The worker of `pdf_render`. */
export const RENDER_SLUG = "render-ai-job";
/** The worker functions. */
export type WorkerSlug = typeof SLUG | typeof RENDER_SLUG;

/** Creates the folder in the system's temporary directory. Disposing removes it. */
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
