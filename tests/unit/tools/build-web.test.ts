import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { removeEarlierAssets } from "../../../dev/tools/build-web.ts";

Deno.test("build:web: removes the assets of earlier builds, and no file that is not its own", async () => {
  const dir = await Deno.makeTempDir();
  const bytes = new Uint8Array();
  const files = new Map([
    ["index.html", bytes],
    ["assets/main-0123abcd.js", bytes],
    ["assets/licence.txt", bytes],
  ]);
  const kept = [
    "logo-89abcdef.png",
    "main.js",
    "main-89abcdef.css",
    "notes.txt",
  ];
  try {
    await removeEarlierAssets(dir, files);
    await Deno.mkdir(join(dir, "assets"));
    for (const name of [...kept, "main-89abcdef.js", "main-0123abcd.js"]) {
      await Deno.writeTextFile(join(dir, "assets", name), "");
    }
    await removeEarlierAssets(dir, files);
    const left = await Array.fromAsync(
      Deno.readDir(join(dir, "assets")),
      ({ name }) => name,
    );
    assertEquals(left.sort(), kept.sort());
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
