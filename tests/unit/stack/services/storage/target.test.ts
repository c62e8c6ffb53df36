import { assertEquals, assertThrows } from "@std/assert";
import fc from "../../../../_support/fast-check.ts";
import { join } from "@std/path";
import {
  refuseBadName,
  targetOf,
} from "../../../../../dev/stack/services/storage/target.ts";
import { StorageRefusal } from "../../../../../dev/stack/services/storage/upload.ts";

Deno.test("targetOf: the path segment before the bucket depends on the method", () => {
  const path = "/storage/v1/object/public/folder/file.wav";
  assertEquals(targetOf("GET", path), {
    kind: "public",
    bucket: "folder",
    name: "file.wav",
  });
  assertEquals(targetOf("POST", path), {
    kind: "",
    bucket: "public",
    name: "folder/file.wav",
  });
  assertEquals(
    targetOf("PUT", "/storage/v1/object/upload/sign/b/a/x%20y.wav"),
    { kind: "upload/sign", bucket: "b", name: "a/x y.wav" },
  );
  assertEquals(targetOf("GET", "/storage/v1/bucket/x"), undefined);
  assertEquals(targetOf("GET", "/storage/v1/object/b/%E0%A4%A"), undefined);
});

Deno.test("refuseBadName: names that hosted Storage accepts pass", () => {
  for (const name of ["a/b.wav", "it's (1) @ 2+2=4,ok?.txt", "a..b/c", "_-*"]) {
    refuseBadName(name);
  }
});

Deno.test("refuseBadName: no accepted name leaves its folder", () => {
  const piece = fc.constantFrom("..", ".", "/", "a", "%2e", "\\", "é", " ");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const name = pieces.join("");
      try {
        refuseBadName(name);
      } catch (error) {
        if (error instanceof StorageRefusal) return;
        throw error;
      }
      assertEquals(
        join("/srv/bucket", name).startsWith("/srv/bucket/"),
        true,
      );
    }),
    { numRuns: 2000 },
  );
  for (const name of ["", "..", "a/../b", "/a", "./a", "é", "a\\b", "a#b"]) {
    assertThrows(() => refuseBadName(name), StorageRefusal, "Invalid key");
  }
});
