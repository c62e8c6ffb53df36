/** Every file and name in the worked examples of CONTRIBUTING.md exists. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { addJobType } from "../../dev/tools/new/job-type.ts";
import {
  listSourcePaths,
  readSourceTree,
} from "../../dev/tools/source-tree.ts";

const root = fromFileUrl(new URL("../../", import.meta.url)).replace(/\/$/, "");
const examples = (await Deno.readTextFile(`${root}/CONTRIBUTING.md`))
  .split("### Add a job type")[1] ?? "";
/** The invented names of the worked examples. */
const INVENTED = /sound_?effect|lumen/i;
const prose = examples.replaceAll(/^ *```[^]*?^ *```/gm, "");
const code = [...examples.matchAll(/^ *```(?:ts|sql)\n([^]*?)^ *```/gm)].map((
  [, text = ""],
) => text);
const quoted = [...prose.matchAll(/`([^`]+)`/g)].map(([, text = ""]) =>
  text.replaceAll(/\s+/g, " ")
).filter((text) => !INVENTED.test(text) && !text.includes("<"));

const paths = await listSourcePaths(root);
const sources = (await readSourceTree(root)).filter(({ path }) =>
  /^(supabase|dev)\/.*\.(ts|sql)$/.test(path)
);

Deno.test("CONTRIBUTING: every file and folder that the worked examples name exists", () => {
  const named = quoted.filter((text) => /\.ts$|\/$|^\.env/.test(text));
  assert(named.length > 15, `${named.length} are named`);
  const lost = named.filter((name) =>
    ![
      name,
      `supabase/functions/${name}`,
      `supabase/functions/process-ai-job/processors/${name}`,
    ].some((path) =>
      paths.includes(path) ||
      paths.some((one) => path.endsWith("/") && one.startsWith(path))
    )
  );
  assertEquals(lost, []);
});

Deno.test("CONTRIBUTING: every name that the worked examples use is in the code", () => {
  const text = sources.map(({ text }) => text).join("\n");
  const named = new Set([
    ...quoted.filter((one) =>
      /^[A-Za-z_.]+$/.test(one) && !/\.(ts|md)$|^\.env|…/.test(one)
    ).flatMap((one) => one.split(".").at(-1) ?? []),
    // Every name that an example calls or fills in, except the invented ones.
    ...code.flatMap((one) =>
      [
        ...one.replaceAll(/\/\/.*|"[^"]*"|'[^']*'/g, "")
          .matchAll(/[A-Za-z_]\w{4,}/g),
      ].map(([word]) => word)
    ),
  ]);
  assert(named.size > 50, `${named.size} are named`);
  const lost = [...named].filter((name) =>
    !INVENTED.test(name) && !new RegExp(`\\b${name}\\b`).test(text)
  );
  assertEquals(lost, []);
});

const generated = await addJobType({
  async read(path) {
    return paths.includes(path)
      ? await Deno.readTextFile(`${root}/${path}`)
      : undefined;
  },
  list: (folder) =>
    Promise.resolve(
      paths.filter((path) => path.startsWith(`${folder}/`))
        .map((path) => path.slice(folder.length + 1)),
    ),
}, "sound_effect");

Deno.test("CONTRIBUTING: the processor of the example is the one that the command generates", () => {
  // Line breaks differ with the indentation.
  const compact = (text: string) => text.replaceAll(/\s+/g, "");
  const example = code.find((one) =>
    one.includes("createSoundEffectProcessor")
  );
  const processor = generated[
    "supabase/functions/process-ai-job/processors/sound-effect.ts"
  ];
  assert(example !== undefined && processor !== undefined);
  assertStringIncludes(compact(processor), compact(example));
});

Deno.test("CONTRIBUTING: every list that the command adds a job type to is named", () => {
  const changed = [...Object.keys(generated), "docs/openapi.json"]
    .filter((path) => paths.includes(path));
  assert(changed.length > 5, `${changed.length} are changed`);
  const lost = changed.filter((path) =>
    !prose.includes(`\`${path.replace("supabase/functions/", "")}\``)
  );
  assertEquals(lost, []);
});
