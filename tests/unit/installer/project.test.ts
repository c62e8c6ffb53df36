import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { checksum, MANIFEST_PATH } from "../../../installer/manifest.ts";
import { planUpgrade } from "../../../installer/plan.ts";
import { applyPlan, readProject } from "../../../installer/project.ts";

const OLD = "supabase/functions/old/index.ts";
const CHANGED = "supabase/functions/changed/index.ts";
const TEXT = "export {};\n";
const TEMPLATE = { version: "1.1.0", files: [], sections: [] };

Deno.test("upgrade: a file that the new version does not have is removed, unless it was changed", async () => {
  const dir = await Deno.makeTempDir();
  try {
    for (
      const [path, text] of [
        ["supabase/config.toml", ""],
        [OLD, TEXT],
        [CHANGED, "export const mine = 1;\n"],
        [
          MANIFEST_PATH,
          JSON.stringify({
            version: "1.0.0",
            modules: ["core"],
            files: { [OLD]: checksum(TEXT), [CHANGED]: checksum(TEXT) },
            sections: {},
          }),
        ],
      ] as const
    ) {
      await Deno.mkdir(join(dir, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(dir, path), text);
    }
    const plan = planUpgrade(TEMPLATE, await readProject(dir, []));
    assertEquals(plan.steps, [{ action: "remove", path: OLD }]);
    assertEquals(plan.notes, [
      `${CHANGED} is no longer part of edge-ai-jobs and was not changed.`,
    ]);
    await applyPlan(dir, plan);
    assertEquals(
      await Array.fromAsync(
        Deno.readDir(join(dir, OLD, "..")),
        ({ name }) => name,
      ),
      [],
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
