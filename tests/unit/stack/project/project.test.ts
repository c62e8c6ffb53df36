import { assert, assertEquals, assertRejects } from "@std/assert";
import { dirname, join } from "@std/path";
import { readProject } from "../../../../dev/stack/project/project.ts";
import { readProjectEnv } from "../../../../dev/stack/project/project-env.ts";
import { chooseProviders } from "../../../../dev/stack/project/providers.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

async function folder(
  files: Record<string, string>,
): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir();
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
    await Deno.writeTextFile(join(dir, path), text);
  }
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

const entry = "export default {};\n";

Deno.test("readProject: functions are those in the config and those with an index.ts, except disabled ones", async () => {
  await using project = await folder({
    "supabase/config.toml":
      '[functions.b]\nverify_jwt = false\n[functions.c]\nenabled = false\n[functions.d]\nentrypoint = "../src/d.ts"\n',
    "supabase/functions/a/index.ts": entry,
    "supabase/functions/b/index.ts": entry,
    "supabase/functions/c/index.ts": entry,
    "supabase/functions/_shared/index.ts": entry,
    "supabase/functions/empty/other.ts": entry,
    "src/d.ts": entry,
  });
  const { functions } = await readProject(project.dir);
  assertEquals(
    functions.map(({ slug, verifyJwt, entrypoint }) => [
      slug,
      verifyJwt,
      entrypoint,
    ]),
    [
      ["a", true, join(project.dir, "supabase/functions/a/index.ts")],
      ["b", false, join(project.dir, "supabase/functions/b/index.ts")],
      ["d", true, join(project.dir, "src/d.ts")],
    ],
  );
});

Deno.test("readProject: the import map of the config takes precedence over files next to the function", async () => {
  await using project = await folder({
    "supabase/config.toml": '[functions.a]\nimport_map = "../map.json"\n',
    "map.json": "{}",
    "supabase/functions/import_map.json": "{}",
    "supabase/functions/a/index.ts": entry,
    "supabase/functions/a/deno.json": "{}",
    "supabase/functions/b/index.ts": entry,
    "supabase/functions/b/deno.json": "{}",
    "supabase/functions/b/import_map.json": "{}",
    "supabase/functions/c/index.ts": entry,
  });
  const { functions } = await readProject(project.dir);
  assertEquals(functions.map(({ imports }) => imports), [
    { kind: "import-map", path: join(project.dir, "map.json") },
    {
      kind: "config",
      path: join(project.dir, "supabase/functions/b/deno.json"),
    },
    {
      kind: "import-map",
      path: join(project.dir, "supabase/functions/import_map.json"),
    },
  ]);
});

Deno.test("readProject: an empty config has the defaults of the CLI", async () => {
  await using project = await folder({ "supabase/config.toml": "" });
  const { functions, schemas, maxRows, fileSizeLimit, auth } =
    await readProject(project.dir);
  assertEquals(
    { functions, schemas, maxRows, fileSizeLimit, auth },
    {
      functions: [],
      schemas: ["public", "graphql_public"],
      maxRows: 1000,
      fileSizeLimit: 52_428_800,
      auth: {
        siteUrl: "http://127.0.0.1:3000",
        jwtExpiry: 3600,
        enableSignup: true,
        minimumPasswordLength: 6,
      },
    },
  );
});

Deno.test("readProject: an invalid value is named", async () => {
  const cases: [string, string][] = [
    ['[storage]\nfile_size_limit = "much"\n', "not a size"],
    ["[functions.a]\nverify_jwt = 1\n", "functions.a.verify_jwt"],
    ["[functions.a]\n", "has no file"],
    ["[functions]\n", ""],
    ["nonsense", "is not valid"],
  ];
  for (const [text, message] of cases) {
    await using project = await folder({ "supabase/config.toml": text });
    if (message === "") await readProject(project.dir);
    else {
      await assertRejects(
        () => readProject(project.dir),
        StackError,
        message,
      );
    }
  }
});

Deno.test("readProjectEnv: listed variables of the process override the file's; none of the platform's", async () => {
  await using project = await folder({
    ".env.example": "# STACK_TEST_LISTED=\nFROM_FILE=\n",
    "supabase/functions/.env":
      "FROM_FILE='a b'\nSTACK_TEST_LISTED=file\nSUPABASE_URL=x\nEMPTY=\n",
  });
  Deno.env.set("STACK_TEST_LISTED", "process");
  Deno.env.set("STACK_TEST_OTHER", "process");
  try {
    assertEquals(await readProjectEnv(project.dir), {
      FROM_FILE: "a b",
      STACK_TEST_LISTED: "process",
    });
  } finally {
    Deno.env.delete("STACK_TEST_LISTED");
    Deno.env.delete("STACK_TEST_OTHER");
  }
});

Deno.test("chooseProviders: real with a key, simulated without one, off without a simulator", () => {
  const modes = (
    given: Record<string, string>,
    url: string | undefined,
    upstash: "simulated" | "none",
  ) =>
    chooseProviders(given, url, upstash).choices.map(({ keyVariable, mode }) =>
      [keyVariable, mode] as const
    );
  const url = "http://127.0.0.1:1";
  const names = modes({}, url, "none").map(([name]) => name);
  for (
    const [given, simulator, upstash, expected] of [
      [[], url, "none", "simulated"],
      [["ELEVENLABS_API_KEY"], url, "simulated", "simulated"],
      [["DID_API_KEY", "HEYGEN_API_KEY"], undefined, "simulated", "off"],
    ] as const
  ) {
    const keys = Object.fromEntries(given.map((name) => [name, "k"]));
    assertEquals(
      modes(keys, simulator, upstash),
      names.map((name) =>
        [
          name,
          name in keys
            ? "real"
            : name === "UPSTASH_REDIS_REST_URL"
            ? simulator === undefined || upstash === "none"
              ? "off"
              : "simulated"
            : expected,
        ] as const
      ),
    );
    for (const name of given) assert(names.includes(name), name);
  }
  assertEquals(
    chooseProviders({}, url, "none", "http://127.0.0.1:2")
      .env["PROVIDER_WEBHOOK_URL"],
    "http://127.0.0.1:2/functions/v1/provider-webhook",
  );
  assertEquals(
    chooseProviders({ DID_API_KEY: "k" }, url, "none", "http://127.0.0.1:2")
      .env["PROVIDER_WEBHOOK_URL"],
    undefined,
    "a real D-ID is not given an address that it cannot reach",
  );
  assertEquals(
    [{}, { ELEVENLABS_API_KEY: "k" }].map((keys) =>
      chooseProviders(keys, url, "none", "http://127.0.0.1:2")
        .env["PROVIDER_STORAGE_URL"]
    ),
    ["http://127.0.0.1:2", undefined],
    "nor is a real ElevenLabs",
  );
  assertEquals(
    chooseProviders({ ELEVENLABS_API_KEY: "k" }, url, "none").env[
      "ELEVENLABS_BASE_URL"
    ],
    undefined,
    "a real key is not sent to a simulator",
  );
  assertEquals(
    chooseProviders({}, url, "none").env["ELEVENLABS_BASE_URL"],
    `${url}/elevenlabs`,
  );
});
