/** The steps of a release that concern the database, in a clone. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import {
  cloneRepository,
  hasNpx,
  runAsWritten,
} from "../_support/as-written.ts";

const RELEASED = "dev/tools/released-migrations.json";
const CORE = "supabase/migrations/20261122000100_core.sql";

Deno.test({
  name: "release: the baselines can be written until their release is recorded",
  ignore: !hasNpx,
  async fn() {
    await using clone = await cloneRepository();
    const run = (command: string) => runAsWritten(command, { cwd: clone.dir });
    const before = join(clone.dir, RELEASED);
    await Deno.writeTextFile(before, '{ "version": null, "migrations": {} }');
    const written = await run("deno task db:baseline");
    assertEquals(written.code, 0, written.stderr);
    const baseline = await Deno.readTextFile(join(clone.dir, CORE));

    const released = await run("deno task db:release");
    assertEquals(released.code, 0, released.stderr);
    const refused = await run("deno task db:baseline");
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "write a small\nmigration");
    assertEquals(await Deno.readTextFile(join(clone.dir, CORE)), baseline);

    await Deno.writeTextFile(join(clone.dir, CORE), `${baseline}\n-- changed`);
    const changed = await run("deno task db:release");
    assertEquals(changed.code, 1);
    assertStringIncludes(changed.stderr, "was released and must not change");
  },
});
