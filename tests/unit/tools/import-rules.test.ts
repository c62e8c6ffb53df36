import { assertEquals } from "@std/assert";
import {
  checkImportMap,
  checkImports,
} from "../../../dev/tools/import-rules.ts";

const shared = "supabase/functions/_shared";

const imports = {
  "zod": "npm:zod@4.6.7",
  "postgres": "npm:postgres@3.4.9",
  "@supabase/server": "npm:@supabase/server@1.8.1",
  "@supabase/cli-linux-x64/": "npm:/@supabase/cli-linux-x64@3.1.0/",
};

function rulesBroken(path: string, text: string): string[] {
  return checkImports([{ path, text }], imports).map(({ rule }) => rule);
}

/** Each offence, and a correct version: the rule must report only the first. */
const cases: {
  rule: string;
  why: string;
  bad: [path: string, text: string];
  good: [path: string, text: string];
}[] = [
  {
    rule: "layer",
    why: "contracts are independent of the jobs",
    bad: [
      `${shared}/contracts/jobs.ts`,
      `import { a } from "../jobs/job-run.ts";`,
    ],
    good: [
      `${shared}/jobs/job-run.ts`,
      `import { a } from "../contracts/jobs.ts";`,
    ],
  },
  {
    rule: "layer",
    why: "contracts do not import errors: apps use contracts too",
    bad: [
      `${shared}/contracts/jobs.ts`,
      `import type { ErrorCode } from "../failures/catalogue.ts";`,
    ],
    good: [
      `${shared}/contracts/jobs.ts`,
      `import { a } from "./object-path.ts";`,
    ],
  },
  {
    rule: "layer",
    why: "jobs import nothing from providers, not even a type",
    bad: [
      `${shared}/jobs/job-run.ts`,
      `type A = import("../providers/elevenlabs.ts").A;`,
    ],
    good: [
      `${shared}/jobs/runner.ts`,
      `type A = import("../failures/provider-failure.ts").A;`,
    ],
  },
  {
    rule: "layer",
    why:
      "providers do not import the queue: they throw the errors of failures/",
    bad: [
      `${shared}/providers/a.ts`,
      `import { a } from "../jobs/outcome.ts";`,
    ],
    good: [
      `${shared}/providers/a.ts`,
      `import { a } from "../failures/job-failure.ts";`,
    ],
  },
  {
    rule: "layer",
    why: "storage does not import the queue: it throws the errors of failures/",
    bad: [
      `${shared}/storage/a.ts`,
      `import { a } from "../jobs/outcome.ts";`,
    ],
    good: [
      `${shared}/storage/a.ts`,
      `import { a } from "../failures/job-failure.ts";`,
    ],
  },
  {
    rule: "layer",
    why: "a re-export is an import",
    bad: [
      `${shared}/failures/catalogue.ts`,
      `export * from "../contracts/jobs.ts";`,
    ],
    good: [
      `${shared}/http/problem.ts`,
      `export { AppError } from "../failures/app-error.ts";`,
    ],
  },
  {
    rule: "layer",
    why: "providers and storage do not import each other",
    bad: [
      `${shared}/providers/did.ts`,
      `const a = await import("../storage/a.ts");`,
    ],
    good: [
      `${shared}/providers/did.ts`,
      `const a = await import("../config/env.ts");`,
    ],
  },
  {
    rule: "layer",
    why: "_shared imports no function",
    bad: [
      `${shared}/http/a.ts`,
      `import { a } from "../../get-ai-job/handler.ts";`,
    ],
    good: [`${shared}/http/a.ts`, `import { a } from "../config/env.ts";`],
  },
  {
    rule: "layer",
    why: "a new part of _shared needs a place in the order",
    bad: [
      `${shared}/misc/a.ts`,
      `import { a } from "../platform/log.ts";`,
    ],
    good: [`${shared}/cache/a.ts`, `import { a } from "../platform/log.ts";`],
  },
  {
    rule: "function",
    why: "functions are deployed one by one",
    bad: [
      "supabase/functions/get-ai-job/handler.ts",
      `import { a } from "../create-ai-job/handler.ts";`,
    ],
    good: [
      "supabase/functions/get-ai-job/handler.ts",
      `import { a } from "./answer.ts";`,
    ],
  },
  ...["dev", "tests", "client", "web", "bench"].map((area) => ({
    rule: "area",
    why: `nothing deployed imports ${area}/`,
    bad: [
      `${shared}/jobs/job-run.ts`,
      `import { a } from "../../../../${area}/a.ts";`,
    ] satisfies [string, string],
    good: [
      `tests/unit/a.test.ts`,
      `import { a } from "../../${area}/a.ts";`,
    ] satisfies [string, string],
  })),
  {
    rule: "area",
    why: "end-to-end tests are black boxes",
    bad: [
      "tests/e2e/a.test.ts",
      `import { a } from "../../supabase/functions/_shared/failures/catalogue.ts";`,
    ],
    good: ["tests/e2e/a.test.ts", `import { a } from "../_support/a.ts";`],
  },
  {
    rule: "area",
    why: "dev programs do not need the tests",
    bad: ["dev/stack/a.ts", `import { a } from "../../tests/_support/a.ts";`],
    good: ["dev/stack/a.ts", `import { a } from "../simulators/a.ts";`],
  },
  {
    rule: "stack-folder",
    why: "the folders of the stack depend on one another in one direction",
    bad: [
      "dev/stack/functions/process.ts",
      `import { a } from "../gateway/gateway.ts";`,
    ],
    good: [
      "dev/stack/gateway/gateway.ts",
      `import { a } from "../functions/process.ts";`,
    ],
  },
  {
    rule: "stack-folder",
    why: "only tests and other programs import the files next to the folders",
    bad: ["dev/stack/console/a.ts", `import { a } from "../stack.ts";`],
    good: ["dev/demo/a.ts", `import { a } from "../stack/stack.ts";`],
  },
  {
    rule: "stack-folder",
    why: "a new folder needs a place in the order",
    bad: ["dev/stack/attic/a.ts", `import { a } from "../keys/keys.ts";`],
    good: ["dev/stack/stack.ts", `import { a } from "./attic/a.ts";`],
  },
  {
    rule: "platform",
    why: "only platform/deps.ts touches Deno",
    bad: [`${shared}/config/env.ts`, `const a = Deno.env.get("A");`],
    good: [`${shared}/platform/deps.ts`, `const a = Deno.env.get("A");`],
  },
  {
    rule: "platform",
    why: "only platform/deps.ts uses EdgeRuntime",
    bad: [
      "supabase/functions/process-ai-job/index.ts",
      `globalThis.EdgeRuntime.waitUntil(a);`,
    ],
    good: [
      "supabase/functions/process-ai-job/index.ts",
      `/* EdgeRuntime.waitUntil */ platform.waitUntil("Deno", a);`,
    ],
  },
  {
    rule: "privilege",
    why: "an endpoint for users has no admin client",
    bad: [
      "supabase/functions/get-ai-job/index.ts",
      `const a = createAdminClient({});`,
    ],
    good: [
      "supabase/functions/process-ai-job/index.ts",
      `const a = createAdminClient({});`,
    ],
  },
  {
    rule: "privilege",
    why: "neither through the context nor its own client",
    bad: [
      `${shared}/http/caller.ts`,
      `const a = context.supabaseAdmin;`,
    ],
    good: [`${shared}/http/caller.ts`, `const a = context.supabase;`],
  },
  {
    rule: "address",
    why: "versions are only in import_map.json",
    bad: ["dev/a.ts", `import { z } from "npm:zod@4.6.7";`],
    good: ["dev/a.ts", `import { z } from "zod";`],
  },
  {
    rule: "address",
    why: "nothing is imported from a URL",
    bad: ["dev/a.ts", `const a = import("https://example.com/a.ts");`],
    good: ["dev/a.ts", `const a = fetch("https://example.com/a.ts");`],
  },
  {
    rule: "unmapped",
    why: "a package must be in the import map",
    bad: ["dev/a.ts", `import a from "left-pad";`],
    good: ["dev/a.ts", `import a from "@supabase/cli-linux-x64/package.json";`],
  },
  {
    rule: "product-package",
    why: "deployed code uses no development package",
    bad: [`${shared}/jobs/job-run.ts`, `import postgres from "postgres";`],
    good: ["dev/a.ts", `import postgres from "postgres";`],
  },
  {
    rule: "computed",
    why: "the bundler cannot follow a computed import",
    bad: [`${shared}/providers/a.ts`, `await import(\`./\${name}.ts\`);`],
    good: ["dev/a.ts", `await import(\`./\${name}.ts\`);`],
  },
];

for (const { rule, why, bad, good } of cases) {
  Deno.test(`checkImports: ${rule}: ${why}`, () => {
    assertEquals(rulesBroken(...bad), [rule]);
    assertEquals(rulesBroken(...good), []);
  });
}

Deno.test("checkImports: comments, strings and generated files are not code", () => {
  const text = `// import a from "npm:a";\nconst b = 'import "left-pad"';`;
  assertEquals(rulesBroken("dev/a.ts", text), []);
  assertEquals(
    rulesBroken("tests/fixtures/a.ts", `import "left-pad";`),
    [],
  );
});

Deno.test("checkImports: a finding has its file and line", () => {
  const [finding] = checkImports([{
    path: "dev/a.ts",
    text: `\n\nimport "left-pad";`,
  }], imports);
  assertEquals([finding?.path, finding?.line], ["dev/a.ts", 3]);
});

Deno.test("checkImports: an example imports the package of this repository by its name, and nothing else does", () => {
  const text = `import { createAiJobs } from "edge-ai-jobs";`;
  assertEquals(rulesBroken("examples/a.ts", text), []);
  assertEquals(rulesBroken("dev/a.ts", text), ["unmapped"]);
});

Deno.test("checkImportMap: accepts exact npm versions and nothing else", () => {
  const good = {
    "zod": "npm:zod@4.6.7",
    "a/b": "npm:@a/b@1.0.0-beta.17/sub/path.js",
    "c/": "npm:/@a/c@3.1.0/",
  };
  assertEquals(checkImportMap(good, ""), []);
  for (
    const bad of [
      "npm:zod",
      "npm:zod@4",
      "npm:zod@^4.6.7",
      "npm:zod@latest",
      "npm:zod@4.6.x",
      "jsr:@other/assert@1.0.0",
      "https://example.com/zod@4.6.7.js",
      "../lib/zod.ts",
      "./client/mod.ts",
    ]
  ) {
    const text = `{\n  "zod": "${bad}"\n}`;
    assertEquals(
      checkImportMap({ zod: bad }, text).map(({ rule, line }) => [rule, line]),
      [["exact-version", 2]],
      bad,
    );
  }
});
