/** The version is in one place, client/package.json; everything else must agree with it. */
import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import {
  digestMigrations,
  findMigrationFaults,
  readReleased,
} from "../../dev/tools/released-migrations.ts";

const read = (path: string) =>
  Deno.readTextFile(new URL(`../../${path}`, import.meta.url));
const { version } = z.object({ version: z.string() }).parse(
  JSON.parse(await read("client/package.json")),
);

Deno.test("version: client/package.json has a version by Semantic Versioning", () => {
  assertMatch(version, /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/);
});

Deno.test("version: the changelog's newest entry has the version of the package", async () => {
  const headings = [...(await read("CHANGELOG.md")).matchAll(/^## (.+)$/gm)]
    .map(([, heading = ""]) => heading);
  assertEquals(headings[0], "Unreleased");
  const [, next, released] =
    /^(?:Next: (\S+)|(\S+) - \d{4}-\d{2}-\d{2})$/.exec(headings[1] ?? "") ?? [];
  assertEquals(next ?? released, version);
});

Deno.test("version: the newest release has recorded its migrations, and none has changed since", async () => {
  const root = fromFileUrl(new URL("../../", import.meta.url));
  const [, newest = null] = /^## (\d\S*) - \d{4}-\d{2}-\d{2}$/m.exec(
    await read("CHANGELOG.md"),
  ) ?? [];
  const released = await readReleased(root);
  assertEquals(released.version, newest, "deno task db:release");
  assertEquals(
    findMigrationFaults(released, await digestMigrations(root)),
    [],
  );
});

Deno.test("version: docs/openapi.json describes the version of the package", async () => {
  const { info } = z.object({ info: z.object({ version: z.string() }) }).parse(
    JSON.parse(await read("docs/openapi.json")),
  );
  assertEquals(info.version, version);
});

Deno.test("version: no other file of the project names a version of edge-ai-jobs", async () => {
  // A pinned `edge-ai-jobs@x.y.z` in a page would go stale with the next release.
  for (
    const page of ["README.md", "docs/client.md", "docs/existing-project.md"]
  ) {
    assertEquals((await read(page)).match(/edge-ai-jobs@\d/), null, page);
  }
});
