import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { Buffer } from "node:buffer";
import { parse } from "dotenv";
import {
  mergeEnv,
  openEnvFile,
} from "../../../../dev/stack/project/env-file.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";
import fc from "../../../_support/fast-check.ts";

const values = { API_URL: "http://new", SECRET_KEY: "sb_secret_new" };

const cases: [name: string, before: string, after: string][] = [
  ["an empty file", "", "API_URL=http://new\nSECRET_KEY=sb_secret_new\n"],
  [
    "other variables and comments",
    "# keep\nSTRIPE_KEY=sk_live_1\n\n  # API_URL=http://comment\nMY_API_URL=x\n",
    "# keep\nSTRIPE_KEY=sk_live_1\n\n  # API_URL=http://comment\nMY_API_URL=x\nAPI_URL=http://new\nSECRET_KEY=sb_secret_new\n",
  ],
  [
    "both exist, in another order and between others",
    "SECRET_KEY=old\nA=1\nAPI_URL=http://old\nB=2\n",
    "SECRET_KEY=sb_secret_new\nA=1\nAPI_URL=http://new\nB=2\n",
  ],
  [
    "CRLF",
    "A=1\r\nAPI_URL=http://old\r\nB=\r\n",
    "A=1\r\nAPI_URL=http://new\r\nB=\r\nSECRET_KEY=sb_secret_new\r\n",
  ],
  [
    "no final newline, where nothing is appended",
    "SECRET_KEY=old\nAPI_URL=old",
    "SECRET_KEY=sb_secret_new\nAPI_URL=http://new",
  ],
  [
    "no final newline, where something is appended",
    "API_URL=old\nA=1",
    "API_URL=http://new\nA=1\nSECRET_KEY=sb_secret_new\n",
  ],
  [
    "quotes, each kind",
    "API_URL=\"http://old\"\nSECRET_KEY='old'\nA=`a`\nAPI_URL=`old`\n",
    "API_URL=\"http://new\"\nSECRET_KEY='sb_secret_new'\nA=`a`\nAPI_URL=`http://new`\n",
  ],
  [
    "export, and spaces around the equals sign",
    "export API_URL=old\n  export  SECRET_KEY = old  \n",
    "export API_URL=http://new\n  export  SECRET_KEY = sb_secret_new  \n",
  ],
  [
    "duplicates",
    "API_URL=one\nSECRET_KEY=old\nAPI_URL=two\n",
    "API_URL=http://new\nSECRET_KEY=sb_secret_new\nAPI_URL=http://new\n",
  ],
  [
    "comments after a value",
    'API_URL=http://old # local\nSECRET_KEY="old" # mine\nAPI_URL=a#b\nAPI_URL= # none\nAPI_URL=#none\n',
    'API_URL=http://new # local\nSECRET_KEY="sb_secret_new" # mine\nAPI_URL=http://new\nAPI_URL= http://new # none\nAPI_URL=http://new #none\n',
  ],
  [
    "empty values",
    'API_URL=\nSECRET_KEY=""\n',
    'API_URL=http://new\nSECRET_KEY="sb_secret_new"\n',
  ],
  [
    "a value over several lines that looks like one of the names",
    'KEY="-----BEGIN\nAPI_URL=not mine\n\\"SECRET_KEY=nor this\n-----END"\nAPI_URL=old\n',
    'KEY="-----BEGIN\nAPI_URL=not mine\n\\"SECRET_KEY=nor this\n-----END"\nAPI_URL=http://new\nSECRET_KEY=sb_secret_new\n',
  ],
  [
    "an unclosed quote does not include further lines",
    'API_URL="old\nSTRIPE_KEY="sk"\nSECRET_KEY=\'old\n',
    'API_URL=http://new\nSTRIPE_KEY="sk"\nSECRET_KEY=sb_secret_new\n',
  ],
  [
    "a quote of our variable that closes lines below does not include them",
    'API_URL="old\nSTRIPE_KEY=sk\n"\nSECRET_KEY=old\n',
    'API_URL=http://new\nSTRIPE_KEY=sk\n"\nSECRET_KEY=sb_secret_new\n',
  ],
  [
    "a path that ends with a backslash",
    'DIR="C:\\data\\"\nAPI_URL="old"\nSECRET_KEY=old\n',
    'DIR="C:\\data\\"\nAPI_URL="http://new"\nSECRET_KEY=sb_secret_new\n',
  ],
  [
    "a byte order mark",
    "\u00ef\u00bb\u00bfAPI_URL=old\nSECRET_KEY=old\n",
    "\u00ef\u00bb\u00bfAPI_URL=http://new\nSECRET_KEY=sb_secret_new\n",
  ],
  [
    "names of every object",
    "constructor=1\ntoString=2\nAPI_URL=old\nSECRET_KEY=old",
    "constructor=1\ntoString=2\nAPI_URL=http://new\nSECRET_KEY=sb_secret_new",
  ],
];
for (const [name, before, after] of cases) {
  Deno.test(`env file: merges into ${name}, and merging again changes nothing`, () => {
    assertEquals(mergeEnv(before, values), after);
    assertEquals(mergeEnv(after, values), after);
  });
}

Deno.test("env file: among any other lines, only our values change, and they read as given", () => {
  const other = fc.oneof(
    fc.constantFrom("", "# a comment", "#API_URL=old", "not one of them"),
    fc.tuple(
      fc.constantFrom("", "export ", "  "),
      fc.constantFrom("A", "b.c", "API_URLS", "MY_API_URL"),
      fc.oneof(
        fc.stringMatching(/^[a-z0-9:/.=\\ -]{0,12}$/),
        fc.tuple(
          fc.constantFrom('"', "'", "`"),
          // No escaped quotes, because parsers do not agree on them.
          fc.stringMatching(/^(\nAPI_URL=|\r\n|[a-z#=: ]){0,8}$/),
        ).map(([quote, text]) => quote + text + quote),
      ),
      fc.constantFrom("", "  ", " # why"),
    ).map(([before, name, value, after]) =>
      `${before}${name}=${value}${after}`
    ),
  ).map((text) => ({ before: text, after: text }));
  const ours = fc.tuple(
    fc.constantFrom("", "export ", "  "),
    fc.constantFrom("API_URL", "SECRET_KEY"),
    fc.constantFrom("=", " = ", "= "),
    fc.constantFrom("", '"', "'", "`"),
    fc.stringMatching(/^[a-z0-9:/.=_-]{1,12}$/),
    fc.constantFrom("", "  ", " # why", '\t#"'),
  ).map(([before, name, sign, quote, old, rest]) => {
    const line = (value: string) =>
      before + name + sign + quote + value + quote + rest;
    return {
      name,
      before: line(old),
      after: line(name === "API_URL" ? values.API_URL : values.SECRET_KEY),
    };
  });
  fc.assert(
    fc.property(
      fc.array(fc.oneof(other, ours), { maxLength: 8 }),
      fc.constantFrom("\n", "\r\n"),
      (lines, newline) => {
        const text = (of: (line: typeof lines[number]) => string) =>
          lines.map((line) => of(line) + newline).join("");
        const merged = mergeEnv(text(({ before }) => before), values);
        const kept = text(({ after }) => after);
        assertEquals(merged.slice(0, kept.length), kept);
        const missing = Object.entries(values).filter(([name]) =>
          !lines.some((line) => "name" in line && line.name === name)
        );
        assertEquals(
          merged.slice(kept.length).trimEnd().split(/\r?\n/).join(),
          missing.map(([name, value]) => `${name}=${value}`).join(),
        );
        const { API_URL, SECRET_KEY } = parse(merged);
        assertEquals({ API_URL, SECRET_KEY }, values);
      },
    ),
    { numRuns: 2000 },
  );
});

/** A temporary folder that is removed at the end. */
async function folder(): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir({ prefix: "env-file-" });
  return {
    dir,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

async function names(dir: string): Promise<string[]> {
  const found = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
  return found.sort();
}

async function modeOf(path: string): Promise<number> {
  return ((await Deno.stat(path)).mode ?? 0) & 0o7777;
}

Deno.test("env file: opening writes nothing; a new file has mode 600 and is complete", async () => {
  await using made = await folder();
  const path = join(made.dir, ".env.local");
  const file = await openEnvFile(path);
  assertEquals(await names(made.dir), []);
  await file.write(values);
  assertEquals(await names(made.dir), [".env.local"]);
  assertEquals(
    await Deno.readTextFile(path),
    "API_URL=http://new\nSECRET_KEY=sb_secret_new\n",
  );
  assertEquals(await modeOf(path), 0o600);
});

Deno.test("env file: an existing one keeps its mode, bytes that are not UTF-8, and concurrent additions", async () => {
  for (const mode of [0o644, 0o640, 0o600]) {
    await using made = await folder();
    const path = join(made.dir, ".env.local");
    await Deno.writeFile(path, Buffer.from("NAME=Gr\u00fc\u00dfe\n", "latin1"));
    await Deno.chmod(path, mode);
    const file = await openEnvFile(path);
    await Deno.writeFile(path, new TextEncoder().encode("LATER=ü\n"), {
      append: true,
    });
    await file.write(values);
    assertEquals(
      Buffer.from(await Deno.readFile(path)).toString("latin1"),
      "NAME=Gr\u00fc\u00dfe\nLATER=\u00c3\u00bc\nAPI_URL=http://new\nSECRET_KEY=sb_secret_new\n",
    );
    assertEquals(await modeOf(path), mode);
    assertEquals(await names(made.dir), [".env.local"]);
  }
});

Deno.test("env file: a file that already has the values is not written, so that no server restarts", async () => {
  await using made = await folder();
  const path = join(made.dir, ".env");
  await (await openEnvFile(path)).write(values);
  const before = await Deno.stat(path);
  await (await openEnvFile(path)).write(values);
  const after = await Deno.stat(path);
  assertEquals([after.ino, after.mtime], [before.ino, before.mtime]);
});

Deno.test("env file: a link stays a link, and its target is written", async () => {
  await using made = await folder();
  const target = join(made.dir, "shared.env"), path = join(made.dir, ".env");
  await Deno.writeTextFile(target, "A=1\n");
  await Deno.symlink(target, path);
  await (await openEnvFile(path)).write({ API_URL: "http://new" });
  assertEquals((await Deno.lstat(path)).isSymlink, true);
  assertEquals(await Deno.readTextFile(target), "A=1\nAPI_URL=http://new\n");
});

Deno.test("env file: an unwritable file is refused with the path and the reason, and is unchanged", async () => {
  await using made = await folder();
  const at = (name: string) => join(made.dir, name);
  await Deno.writeTextFile(at("file"), "A=1\n");
  await Deno.writeFile(at("utf-16"), new Uint8Array([255, 254, 65, 0, 61, 0]));
  await Deno.symlink(at("nothing"), at("dangling"));
  const before = await names(made.dir);
  const refused: [path: string, reason: string][] = [
    [made.dir, "it is a directory"],
    [at("none/.env"), "its folder does not exist"],
    [at("file/.env"), "its folder does not exist"],
    [at("dangling"), "it is a dangling link"],
    [at("utf-16"), "it is not UTF-8 text"],
    ["/dev/null", "it is not a regular file"],
  ];
  if (Deno.build.os === "linux") refused.push(["/proc/.env", ""]);
  // Root may write files without a write permission.
  if (Deno.uid() !== 0) {
    await Deno.mkdir(at("closed"), { mode: 0o500 });
    await Deno.writeTextFile(at("kept"), "A=1\n", { mode: 0o400 });
    before.push("closed", "kept");
    refused.push(
      [at("closed/.env"), "this user may not write there"],
      [at("kept"), "this user may not write there"],
    );
  }
  for (const [path, reason] of refused) {
    const error = await assertRejects(() => openEnvFile(path), StackError);
    assertStringIncludes(
      error.message,
      `The env file ${path} cannot be written: ${reason}`,
    );
  }
  assertEquals(await names(made.dir), before.sort());
});
