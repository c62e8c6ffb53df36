import { assert, assertEquals } from "@std/assert";
import { parse } from "@std/toml";
import { parseEnv } from "node:util";
import {
  envSchema,
  readEnv,
} from "../../supabase/functions/_shared/config/env.ts";
import { COMPLETE_ENV } from "../_support/fake-platform.ts";

const ROOT = new URL("../../", import.meta.url);
const example = await Deno.readTextFile(new URL(".env.example", ROOT));

interface Listed {
  /** The comment lines right above it, without their marks. */
  comment: string[];
  /** Its value, also when the line is commented out. */
  value: string;
  isActive: boolean;
}

/** The variables of the example by name; a line such as `# NAME=value` is one, too. */
const listed = new Map<string, Listed>();
let comment: string[] = [];
for (const line of example.split("\n")) {
  const variable = /^(# )?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
  if (variable) {
    const [, mark, name = "", value = ""] = variable;
    assert(!listed.has(name), `${name} is listed twice`);
    listed.set(name, { comment, value, isActive: mark === undefined });
  }
  comment = line.startsWith("# ") && !variable
    ? [...comment, line.slice(2)]
    : [];
}

const isFromPlatform = (description = "") =>
  description.endsWith(" Set by the platform.");
const variables = Object.entries(envSchema.shape).map(([name, schema]) => ({
  name,
  description: schema.description,
  fallback: schema.safeParse(undefined).data,
}));
const own = variables.filter(({ description }) => !isFromPlatform(description));

Deno.test(".env.example: lists every variable that a developer sets, and no unused one", async () => {
  const config = await Deno.readTextFile(new URL("supabase/config.toml", ROOT));
  const readByCli = [...JSON.stringify(parse(config)).matchAll(/env\((\w+)\)/g)]
    .map(([, name]) => name ?? "");
  assertEquals(
    [...listed.keys()].sort(),
    [...new Set([...own.map(({ name }) => name), ...readByCli])].sort(),
  );
});

for (const { name, description, fallback } of own) {
  Deno.test(`.env.example: explains ${name} and has its default`, () => {
    assert(description);
    assertEquals(listed.get(name)?.comment[0], description);
    assertEquals(
      listed.get(name)?.value,
      fallback === undefined ? "" : String(fallback),
    );
  });
}

Deno.test(".env.example: explains the platform's variables and sets none", () => {
  const named = example.split("\n").flatMap((line) => {
    const match = /^# (SUPABASE_\w+): (.+)$/.exec(line);
    return match ? [[match[1], `${match[2]} Set by the platform.`]] : [];
  });
  assertEquals(
    named,
    variables.filter(({ description }) => isFromPlatform(description))
      .map(({ name, description }) => [name, description]),
  );
  assertEquals(
    [...listed.keys()].filter((name) => name.startsWith("SUPABASE_")),
    [],
  );
});

Deno.test(".env.example: with only the required secret filled in, it changes no setting", () => {
  const copied = Object.fromEntries(
    Object.entries(parseEnv(example)).map((
      [name, value],
    ) => [name, value ?? ""]),
  );
  assertEquals(
    readEnv({ env: () => ({ ...copied, ...COMPLETE_ENV }) }),
    readEnv({ env: () => COMPLETE_ENV }),
  );
});

Deno.test(".env.example: provider addresses are commented out, so that the embedded stack simulates them", () => {
  const addresses = [...listed].filter(([name]) => name.endsWith("_BASE_URL"));
  assertEquals(addresses.map(([, { isActive }]) => isActive), [
    false,
    false,
    false,
  ]);
});
