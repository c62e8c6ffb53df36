import { assertEquals, assertNotEquals } from "@std/assert";
import fc from "../../../_support/fast-check.ts";
import {
  CHECKED_TYPES,
  type CheckedType,
  createFileCheck,
} from "../../../../supabase/functions/_shared/media/file-check.ts";

const recordings = new URL("../../../fixtures/recordings/", import.meta.url);
const text = (value: string) => new TextEncoder().encode(value);

function box(name: string, content: Uint8Array, wide = false): Uint8Array {
  const header = wide ? 16 : 8;
  const bytes = new Uint8Array(header + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, wide ? 1 : bytes.length);
  bytes.set(text(name), 4);
  if (wide) view.setBigUint64(8, BigInt(bytes.length));
  bytes.set(content, header);
  return bytes;
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

const mp4 = concat(
  box("ftyp", text("isom0000isom")),
  box("moov", new Uint8Array(300)),
  box("mdat", new Uint8Array(5000), true),
);

const whole: Record<CheckedType, Uint8Array> = {
  "audio/mpeg": await Deno.readFile(new URL("speech-24s.mp3", recordings)),
  "audio/wav": await Deno.readFile(new URL("speech-12s.wav", recordings)),
  "video/mp4": mp4,
  "application/pdf": text(`%PDF-1.7\n${"x".repeat(3000)}\n%%EOF\n`),
  "application/json": text(JSON.stringify({ text: "y".repeat(3000) })),
  "text/plain": text(
    `1\n00:00:00,000 --> 00:00:01,000\n${"Grüße ".repeat(300)}`,
  ),
};

/** The first problem, with the file in chunks of this size. */
function verdict(type: CheckedType, bytes: Uint8Array, size = 1000) {
  const check = createFileCheck(type);
  for (let at = 0; at < bytes.length; at += size) {
    const problem = check.add(bytes.subarray(at, at + size));
    if (problem !== null) return problem;
  }
  return check.end();
}

for (const type of CHECKED_TYPES) {
  Deno.test(`createFileCheck: a complete ${type} passes, in chunks of any size`, () => {
    for (const size of [1, 7, 511, 512, 513, 4096, 1_000_000]) {
      assertEquals(
        verdict(type, whole[type].subarray(0), size),
        null,
        `${size}`,
      );
    }
  });

  Deno.test(`createFileCheck: an error page is not ${type}`, () => {
    const page = text(
      `<!DOCTYPE html><html>${"bad gateway ".repeat(100)}</html>`,
    );
    for (const size of [1, 100, 5000]) {
      assertNotEquals(verdict(type, page, size), null);
    }
  });

  Deno.test(`createFileCheck: no other type of file passes as ${type}`, () => {
    for (const other of CHECKED_TYPES) {
      // A text file may contain any text.
      if (other === type || type === "text/plain") continue;
      assertNotEquals(verdict(type, whole[other]), null, other);
    }
  });

  Deno.test(`createFileCheck: an empty file is not ${type}`, () => {
    if (type !== "text/plain") {
      assertNotEquals(verdict(type, new Uint8Array()), null);
    }
  });
}

for (
  const type of [
    "audio/mpeg",
    "audio/wav",
    "video/mp4",
    "application/pdf",
    "application/json",
  ] as const
) {
  Deno.test(`createFileCheck: a truncated ${type} is refused at its end`, () => {
    for (const part of [0.5, 0.9]) {
      const bytes = whole[type];
      const cut = bytes.subarray(0, Math.floor(bytes.length * part) + 1);
      assertNotEquals(verdict(type, cut), null, String(part));
    }
    assertNotEquals(verdict(type, whole[type].subarray(0, 5)), null);
  });
}

Deno.test("createFileCheck: an mp4 may end with a box without a size, and needs its moov", () => {
  const open = concat(mp4.subarray(0, 328), box("mdat", new Uint8Array(50)));
  new DataView(open.buffer).setUint32(328, 0);
  assertEquals(verdict("video/mp4", open), null);
  assertNotEquals(
    verdict(
      "video/mp4",
      concat(mp4.subarray(0, 20), box("mdat", new Uint8Array(9))),
    ),
    null,
  );
});

Deno.test("createFileCheck: never throws, and the result does not depend on the chunks", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...CHECKED_TYPES),
      fc.uint8Array({ maxLength: 1500 }),
      fc.integer({ min: 1, max: 600 }),
      (type, bytes, size) => {
        assertEquals(
          verdict(type, bytes, size) === null,
          verdict(type, bytes, 10_000) === null,
        );
      },
    ),
    { numRuns: 2000 },
  );
});
