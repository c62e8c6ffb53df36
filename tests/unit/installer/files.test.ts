/** Files of a project are written whole or not at all. */
import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { addFile } from "../../../installer/files.ts";

/** What file systems without hard links answer. */
const refuseLink = () =>
  Promise.reject(
    Object.assign(new Error("EPERM: operation not permitted, link"), {
      code: "EPERM",
      syscall: "link",
    }),
  );

for (
  const [kind, makeLink] of [["", undefined], ["out", refuseLink]] as const
) {
  Deno.test(`addFile: a file is new with${kind} hard links, and one that exists is not replaced`, async () => {
    const dir = await Deno.makeTempDir();
    try {
      const path = join(dir, "new.ts");
      // A killed run has left it.
      await Deno.writeTextFile(`${path}.edge-ai-jobs.tmp`, "ha");
      await addFile(path, "whole\n", makeLink);
      assertEquals(await Deno.readTextFile(path), "whole\n");
      await Deno.symlink(join(dir, "nothing"), join(dir, "link.ts"));
      for (const name of ["new.ts", "link.ts"]) {
        await assertRejects(
          () => addFile(join(dir, name), "other\n", makeLink),
          Error,
          "EEXIST",
        );
      }
      assertEquals(await Deno.readTextFile(path), "whole\n");
      const names = await Array.fromAsync(
        Deno.readDir(dir),
        ({ name }) => name,
      );
      assertEquals(names.sort(), ["link.ts", "new.ts"]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
