import { assert, assertEquals } from "@std/assert";
import {
  createDownloadUrlRequestSchema,
  createUploadUrlRequestSchema,
  MAX_DOWNLOAD_SECONDS,
} from "../../../../supabase/functions/_shared/contracts/storage.ts";

const upload = {
  bucket: "voice-samples",
  file_name: "grandma.mp3",
  content_type: "audio/mpeg",
  size_bytes: 1,
};
const download = { bucket: "voice-samples", path: "u/grandma.mp3" };

Deno.test("createUploadUrlRequestSchema: a content type may be in capitals", () => {
  assertEquals(
    createUploadUrlRequestSchema.parse({
      ...upload,
      content_type: "Audio/MPEG",
    })
      .content_type,
    "audio/mpeg",
  );
});

for (
  const [field, right, wrong] of [
    ["bucket", "uploads", "Uploads"],
    ["bucket", "0", "../x"],
    ["file_name", "Oma & ich (2).mp3", "a/b.mp3"],
    ["file_name", "..mp3", "a\\b.mp3"],
    ["file_name", "n".repeat(200), "n".repeat(201)],
    ["file_name", "a b", "a\nb"],
    ["file_name", "x", "  "],
    ["content_type", "audio/x-m4a", "audio"],
    ["content_type", "image/svg+xml", "audio mpeg; codecs=opus"],
    ["content_type", "audio/webm;codecs=opus", "audio/webm codecs=opus"],
    ["content_type", "", "nothing"],
    ["size_bytes", 1, 0],
    ["size_bytes", 10_485_760, 1.5],
    ["size_bytes", 1, "1"],
  ] as const
) {
  Deno.test(`createUploadUrlRequestSchema: ${field} may be ${JSON.stringify(right).slice(0, 30)} and not ${JSON.stringify(wrong).slice(0, 30)}`, () => {
    assert(
      createUploadUrlRequestSchema.safeParse({ ...upload, [field]: right })
        .success,
    );
    const refused = createUploadUrlRequestSchema.safeParse({
      ...upload,
      [field]: wrong,
    });
    assertEquals(
      refused.error?.issues.map((issue) => issue.path.join(".")),
      [field],
    );
  });
}

Deno.test("createDownloadUrlRequestSchema: a URL is valid for an hour by default, and for seven days at most", () => {
  assertEquals(createDownloadUrlRequestSchema.parse(download).expires_in, 3600);
  assertEquals(MAX_DOWNLOAD_SECONDS, 604_800);
  for (const expires_in of [1, MAX_DOWNLOAD_SECONDS]) {
    assertEquals(
      createDownloadUrlRequestSchema.parse({ ...download, expires_in })
        .expires_in,
      expires_in,
    );
  }
  for (const expires_in of [0, -1, MAX_DOWNLOAD_SECONDS + 1, 1.5, "60", null]) {
    assert(
      !createDownloadUrlRequestSchema.safeParse({ ...download, expires_in })
        .success,
      String(expires_in),
    );
  }
});

Deno.test("createDownloadUrlRequestSchema: refuses a path with .. and an unknown member", () => {
  assert(createDownloadUrlRequestSchema.safeParse(download).success);
  for (const change of [{ path: "u/../v/f" }, { path: "" }, { upsert: true }]) {
    assert(
      !createDownloadUrlRequestSchema.safeParse({ ...download, ...change })
        .success,
    );
  }
});
