/** What `deno task new` writes into the changelog. */
import { assertEquals, assertThrows } from "@std/assert";
import { CannotAdd, withAddition } from "../../../dev/tools/new/job-type.ts";

const RELEASED = "\n## 1.0.0 - 2026-11-29\n\n### Added\n\n- All of it.\n";

Deno.test("withAddition: a new point is the last under Added of what is not released", () => {
  assertEquals(
    withAddition(
      `# Changelog\n\n## Unreleased\n\n### Added\n\n- One.\n\n### Fixed\n\n- Two.\n${RELEASED}`,
      "Three.",
    ),
    `# Changelog\n\n## Unreleased\n\n### Added\n\n- One.\n- Three.\n\n### Fixed\n\n- Two.\n${RELEASED}`,
  );
});

Deno.test("withAddition: the heading is added where it is missing, also at the end of the file", () => {
  assertEquals(
    withAddition(`## Unreleased\n${RELEASED}`, "Three."),
    `## Unreleased\n\n### Added\n\n- Three.\n${RELEASED}`,
  );
  assertEquals(
    withAddition("## Unreleased\n", "Three."),
    "## Unreleased\n\n### Added\n\n- Three.\n",
  );
});

Deno.test("withAddition: a changelog without a section for it is refused", () => {
  assertThrows(
    () => withAddition(RELEASED, "Three."),
    CannotAdd,
    'CHANGELOG.md has no line "## Unreleased"',
  );
});
