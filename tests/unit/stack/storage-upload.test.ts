import { assertEquals, assertRejects } from "@std/assert";
import fc from "../../helpers/fast-check.ts";
import {
  readUpload,
  splitForm,
  StorageRefusal,
} from "../../../dev/stack/storage-upload.ts";

/** A form as supabase-js sends it: small fields first, the file last and without a name. */
async function form(
  file: Uint8Array<ArrayBuffer>,
  type: string,
  fields: Record<string, string> = {},
): Promise<Request> {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("", new Blob([file], { type }));
  const request = new Request("http://stack.invalid/", {
    method: "POST",
    body: data,
  });
  const body = new Uint8Array(await request.arrayBuffer());
  return new Request("http://stack.invalid/", {
    method: "POST",
    headers: {
      "content-type": request.headers.get("content-type") ?? "",
      "content-length": String(body.byteLength),
    },
    body,
  });
}

async function bytesOf(
  body: BodyInit,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(body).arrayBuffer());
}

Deno.test("readUpload: any file comes out of its form byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
      const file = new Uint8Array(bytes);
      const upload = await readUpload(
        await form(file, "audio/wav", { cacheControl: "60" }),
        10_000,
      );
      assertEquals(await bytesOf(upload.body), file);
      assertEquals(
        [upload.size, upload.contentType, upload.cacheControl],
        [file.byteLength, "audio/wav", "max-age=60"],
      );
    }),
    { numRuns: 200 },
  );
});

Deno.test("readUpload: a file made of line breaks, dashes and header text is not cut", async () => {
  const pieces = fc.constantFrom("\r\n", "--", "\r\n--", "\r\n\r\n", "a", ":");
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 60 }), async (parts) => {
      const file = new Uint8Array(
        await new Blob(parts).arrayBuffer(),
      );
      const upload = await readUpload(await form(file, "text/plain"), 10_000);
      assertEquals(await bytesOf(upload.body), file);
    }),
    { numRuns: 200 },
  );
});

Deno.test("readUpload: the metadata of a form and of a header are the same text", async () => {
  const text = JSON.stringify({ title: "Über Töne" });
  const fromForm = await readUpload(
    await form(new Uint8Array(1), "audio/wav", { metadata: text }),
    100,
  );
  const base64 = btoa(
    String.fromCharCode(...new TextEncoder().encode(text)),
  );
  const fromHeader = await readUpload(
    new Request("http://stack.invalid/", {
      method: "POST",
      headers: { "x-metadata": base64, "content-type": "audio/wav" },
      body: "x",
    }),
    100,
  );
  assertEquals([fromForm.metadata, fromHeader.metadata], [text, text]);
});

Deno.test("readUpload: a file above the limit is refused in every form, one at the limit is not", async () => {
  const raw = (size: number, length?: string) =>
    new Request("http://stack.invalid/", {
      method: "POST",
      headers: length === undefined ? {} : { "content-length": length },
      body: new Blob([new Uint8Array(size)]).stream(),
    });
  assertEquals((await readUpload(raw(100), 100)).size, 100);
  assertEquals((await readUpload(raw(100, "100"), 100)).size, 100);
  const atLimit = await form(new Uint8Array(100), "audio/wav");
  assertEquals((await readUpload(atLimit, 100)).size, 100);
  for (
    const request of [
      raw(101),
      raw(101, "101"),
      await form(new Uint8Array(101), "audio/wav"),
    ]
  ) {
    const refusal = await assertRejects(
      () => readUpload(request, 100),
      StorageRefusal,
    );
    assertEquals(refusal.statusCode, "413");
  }
});

Deno.test("readUpload: a form without a file is refused", async () => {
  const data = new FormData();
  data.append("cacheControl", "60");
  await assertRejects(
    () =>
      readUpload(
        new Request("http://stack.invalid/", { method: "POST", body: data }),
        100,
      ),
    StorageRefusal,
    "The form has no file",
  );
});

Deno.test("splitForm: damaged forms give fewer parts and never throw", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.string(),
      (body, type) => {
        splitForm(
          new Uint8Array(body),
          `multipart/form-data; boundary=${type}`,
        );
      },
    ),
  );
  const encoder = new TextEncoder();
  assertEquals(splitForm(encoder.encode("--x\r\nno end"), "boundary=x"), []);
  assertEquals(splitForm(encoder.encode(""), "multipart/form-data"), []);
});
