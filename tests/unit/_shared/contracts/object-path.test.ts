import { assert, assertEquals } from "@std/assert";
import fc, { anyCharacter } from "../../../_support/fast-check.ts";
import {
  normalizeInputUrl,
  objectPathSchema,
  parseObjectPath,
} from "../../../../supabase/functions/_shared/contracts/object-path.ts";

const PROJECT = "https://abcdefghijklmnopqrst.supabase.co";
const LOCAL = "http://127.0.0.1:54321";
const USER = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const OBJECT = `voice-samples/${USER}/7/grandma.mp3`;
const ROUTE = "/storage/v1/object";

const normalize = (input: string) => normalizeInputUrl(input, [PROJECT, LOCAL]);

Deno.test("parseObjectPath: splits at the first slash", () => {
  assertEquals(parseObjectPath(OBJECT), {
    bucket: "voice-samples",
    path: `${USER}/7/grandma.mp3`,
  });
});

for (
  const name of [
    "b/u/f",
    "0_b-c/u/f",
    "b/u/Großmutter & ich (2).mp3",
    "b/u/..mp3",
    "b/u/.hidden",
    "b/u/a..b/…",
    "b/u/😀.mp3",
    `b/u/${"n".repeat(1020)}`,
  ]
) {
  Deno.test(`parseObjectPath: accepts ${name.slice(0, 40)}`, () => {
    assert(parseObjectPath(name));
  });
}

for (
  const [why, name] of [
    ["nothing", ""],
    ["only a bucket", "b"],
    ["a file outside every folder", "b/f"],
    ["a folder", "b/u/"],
    ["an absolute path", "/b/u/f"],
    ["an upper-case bucket", "B/u/f"],
    ["a bucket with a dot", "b.c/u/f"],
    ["a bucket of 64 characters", `${"b".repeat(64)}/u/f`],
    ["an empty folder", "b//f"],
    ["an empty part", "b/u//f"],
    [".. in the first folder", "b/../f"],
    ["a climb", "b/u/../v/f"],
    [".. at the end", "b/u/.."],
    ["a dot part", "b/u/./f"],
    ["a backslash", "b/u\\v/f"],
    [".. with backslashes", "b/u/..\\..\\v"],
    ["a percent sign, which a URL would decode", "b/u/%2e%2e/v/f"],
    ["a question mark, where a URL's path ends", "b/u/f?x"],
    ["a hash, where a URL's path ends", "b/u/f#x"],
    ["a space at the end, which a URL drops", "b/u/f "],
    ["a NUL", "b/u/f\0"],
    ["a line break", "b/u/f\nx"],
    ["a delete character", "b/u/\x7f"],
    ["a C1 control character", "b/u/\x85f"],
    ["half a surrogate pair", "b/u/\ud83df"],
    ["1,025 characters", `b/u/${"n".repeat(1021)}`],
  ] as const
) {
  Deno.test(`parseObjectPath: refuses ${why}`, () => {
    assertEquals(parseObjectPath(name), null);
    assertEquals(normalize(name), null);
  });
}

Deno.test("objectPathSchema: accepts a path without its bucket, refuses .. segments", () => {
  assertEquals(objectPathSchema.parse(`${USER}/f.mp3`), `${USER}/f.mp3`);
  for (const path of [`${USER}/../f`, `/${USER}/f`, `${USER}//f`, "f", ""]) {
    assert(!objectPathSchema.safeParse(path).success, path);
  }
});

for (
  const [why, input] of [
    ["a bare object path", OBJECT],
    ["a plain address", `${PROJECT}${ROUTE}/${OBJECT}`],
    ["a public address", `${PROJECT}${ROUTE}/public/${OBJECT}`],
    ["a signed address", `${PROJECT}${ROUTE}/sign/${OBJECT}?token=a.b.c`],
    ["an authenticated address", `${PROJECT}${ROUTE}/authenticated/${OBJECT}`],
    ["the other address of the project", `${LOCAL}${ROUTE}/${OBJECT}`],
    ["a fragment", `${PROJECT}${ROUTE}/${OBJECT}#t=3`],
    ["the default port", `${PROJECT}:443${ROUTE}/${OBJECT}`],
    [
      "scheme and host in capitals",
      `${PROJECT.toUpperCase()}${ROUTE}/${OBJECT}`,
    ],
    [
      "encoded slashes",
      `${PROJECT}${ROUTE}/${OBJECT.replaceAll("/", "%2F")}`,
    ],
    [
      "the other address as a decimal number",
      `http://2130706433:54321${ROUTE}/${OBJECT}`,
    ],
    [
      ".. that ends at the object",
      `${PROJECT}${ROUTE}/x/y/../%2e%2e/${OBJECT}`,
    ],
    ["spaces around it", ` ${PROJECT}${ROUTE}/${OBJECT}\n`],
  ] as const
) {
  Deno.test(`normalizeInputUrl: names the object for ${why}`, () => {
    assertEquals(normalize(input), OBJECT);
  });
}

Deno.test("normalizeInputUrl: decodes the name once", () => {
  assertEquals(
    normalize(`${PROJECT}${ROUTE}/b/u/Gro%C3%9Fmutter%20%26%20ich.mp3`),
    "b/u/Großmutter & ich.mp3",
  );
});

const HOST = new URL(PROJECT).host;
for (
  const [why, input] of [
    ["another host", `https://evil.test${ROUTE}/${OBJECT}`],
    [
      "another project",
      `https://zyxwvutsrqponmlkjihg.supabase.co${ROUTE}/${OBJECT}`,
    ],
    ["our host as a subdomain", `https://${HOST}.evil.test${ROUTE}/${OBJECT}`],
    ["our host as a suffix", `https://evil-${HOST}${ROUTE}/${OBJECT}`],
    ["our host as user", `https://${HOST}@evil.test${ROUTE}/${OBJECT}`],
    [
      "our host as user and password",
      `https://${HOST}:443@evil.test${ROUTE}/${OBJECT}`,
    ],
    ["a user at our host", `https://me@${HOST}${ROUTE}/${OBJECT}`],
    ["a password at our host", `https://:pw@${HOST}${ROUTE}/${OBJECT}`],
    ["a trailing dot", `https://${HOST}.${ROUTE}/${OBJECT}`],
    ["another port", `https://${HOST}:8443${ROUTE}/${OBJECT}`],
    ["another scheme", `http://${HOST}${ROUTE}/${OBJECT}`],
    [
      "the local address without its port",
      `http://127.0.0.1${ROUTE}/${OBJECT}`,
    ],
    [
      "a name for the local address",
      `http://localhost:54321${ROUTE}/${OBJECT}`,
    ],
    [
      "a backslash in the host",
      `https://evil.test\\@${HOST}${ROUTE}/${OBJECT}`,
    ],
    ["backslashes for slashes", `https:\\\\${HOST}${ROUTE}/${OBJECT}`],
    ["a host after a backslash", `${PROJECT}\\@evil.test${ROUTE}/${OBJECT}`],
    ["a scheme with one slash", `https:/${HOST}${ROUTE}/${OBJECT}`],
    ["a protocol-relative address", `//${HOST}${ROUTE}/${OBJECT}`],
    [
      "a protocol-relative address of another host",
      `//evil.test${ROUTE}/${OBJECT}`,
    ],
    ["the metadata service", "http://169.254.169.254/latest/meta-data/"],
    [
      "the metadata service as a decimal number",
      "http://2852039166/latest/meta-data/",
    ],
    [
      "the metadata service in octal",
      "http://0251.0376.0251.0376/latest/meta-data/",
    ],
    [
      "the metadata service in hexadecimal",
      "http://0xA9FEA9FE/latest/meta-data/",
    ],
    [
      "the metadata service as mapped IPv6",
      "http://[::ffff:169.254.169.254]/latest/",
    ],
    ["loopback in IPv6", `http://[::1]:54321${ROUTE}/${OBJECT}`],
    ["loopback, any address", `http://0.0.0.0:54321${ROUTE}/${OBJECT}`],
    ["data:", "data:audio/mpeg;base64,AAAA"],
    ["data: with slashes", `data://${HOST}${ROUTE}/${OBJECT}`],
    ["file:", "file:///etc/passwd"],
    ["file: at our host", `file://${HOST}${ROUTE}/${OBJECT}`],
    ["blob:", `blob:${PROJECT}${ROUTE}/${OBJECT}`],
    ["javascript:", "javascript://%0aalert(1)"],
    ["ftp:", `ftp://${HOST}${ROUTE}/${OBJECT}`],
    ["a host only", PROJECT],
    ["another route", `${PROJECT}/rest/v1/voices/${USER}/f`],
    ["a route with a longer name", `${PROJECT}${ROUTE}s/${OBJECT}`],
    [".. out of the route", `${PROJECT}${ROUTE}/../../../auth/v1/user/x`],
    [
      ".. with encoded slashes",
      `${PROJECT}${ROUTE}/voice-samples/${USER}%2f..%2fother%2ff`,
    ],
    [
      ".. encoded twice",
      `${PROJECT}${ROUTE}/voice-samples/${USER}/%252e%252e/other/f`,
    ],
    [
      "an encoded backslash",
      `${PROJECT}${ROUTE}/voice-samples/${USER}/..%5cother/f`,
    ],
    ["an encoded NUL", `${PROJECT}${ROUTE}/${OBJECT}%00.png`],
    ["an encoded line break", `${PROJECT}${ROUTE}/${OBJECT}%0d%0a`],
    ["an encoded question mark", `${PROJECT}${ROUTE}/${OBJECT}%3Fx`],
    ["a broken encoding", `${PROJECT}${ROUTE}/${OBJECT}%zz`],
    ["broken UTF-8", `${PROJECT}${ROUTE}/${OBJECT}%ff`],
    ["no host at all", "https://"],
  ] as const
) {
  Deno.test(`normalizeInputUrl: refuses ${why}`, () => {
    assertEquals(normalize(input), null);
  });
}

/** Parts of disguised URLs, so that the generator finds the edge cases. */
const piece = fc.oneof(
  fc.constantFrom(
    ...["/", "//", "\\", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "%252e"],
    ...["%00", "%0a", "%", "?", "#", "@", ":", ";", " ", "\0", "\t", "\x85"],
    ...["voice-samples", USER, "public", "sign", "ü", "%C3%BC", "\ud800"],
  ),
  fc.string({ unit: anyCharacter, maxLength: 4 }),
);
const tail = fc.array(piece, { maxLength: 12 }).map((parts) => parts.join(""));
const anyInput = fc.oneof(
  tail,
  tail.map((text) => `voice-samples/${USER}/${text}`),
  tail.map((text) => `${PROJECT}${ROUTE}/${text}`),
  tail.map((text) => `${PROJECT}${ROUTE}/public/voice-samples/u/${text}`),
  tail.map((text) => `https://${text}${ROUTE}/${OBJECT}`),
  fc.webUrl().map((url) => `${url}${ROUTE}/${OBJECT}`),
);

function property(check: (result: string) => void, accepted: Set<string>) {
  return fc.property(anyInput, (input) => {
    const result = normalize(input);
    if (result === null) return;
    accepted.add(result);
    check(result);
  });
}

Deno.test("normalizeInputUrl: for any input the result is null or the path of one object", () => {
  const accepted = new Set<string>();
  fc.assert(
    property((result) => {
      const { bucket, path } = parseObjectPath(result) ?? {};
      assertEquals(`${bucket}/${path}`, result);
      assert(!result.split("/").includes(".."));
      // deno-lint-ignore no-control-regex -- the test is that none is left
      assert(!/[\u0000-\u001f\u007f-\u009f]/.test(result));
      assertEquals(normalize(result), result);
    }, accepted),
    { numRuns: 5_000 },
  );
  assert(accepted.size > 100, `only ${accepted.size} inputs were accepted`);
});

Deno.test("normalizeInputUrl: the result names the same object when it is inserted into a URL unencoded", () => {
  // The Storage client does this when it downloads and signs: it joins bucket and path into the URL without encoding.
  fc.assert(
    property((result) => {
      const { pathname, search, hash } = new URL(
        `${PROJECT}${ROUTE}/${result}`,
      );
      assertEquals(decodeURIComponent(pathname), `${ROUTE}/${result}`);
      assertEquals(search + hash, "");
    }, new Set()),
    { numRuns: 5_000 },
  );
});
