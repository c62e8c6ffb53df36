import { assertEquals, assertRejects } from "@std/assert";
import fc from "../../../../_support/fast-check.ts";
import { findParts } from "../../../../../dev/stack/services/storage/form.ts";
import {
  readUpload,
  StorageRefusal,
  type Upload,
} from "../../../../../dev/stack/services/storage/upload.ts";

const dir = await Deno.makeTempDir({ prefix: "storage-upload-" });
Deno.test.afterAll(() => Deno.remove(dir, { recursive: true }));

/** The received upload: its bytes and its properties. */
async function received(
  request: Request,
  limit: number,
): Promise<
  Pick<Upload, "size" | "contentType" | "cacheControl" | "metadata"> & {
    file: Uint8Array<ArrayBuffer>;
  }
> {
  using upload = await readUpload(request, limit, dir);
  const { size, contentType, cacheControl, metadata } = upload;
  const file = await bytesOf(upload.body);
  return { size, contentType, cacheControl, metadata, file };
}

/** Bytes that can be read in parts, as a form needs them. */
const readable = (bytes: Uint8Array<ArrayBuffer>) => ({
  size: bytes.byteLength,
  read: (from: number, to: number) => Promise.resolve(bytes.slice(from, to)),
});

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

Deno.test("readUpload: reads any file from its form byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
      const file = new Uint8Array(bytes);
      const upload = await received(
        await form(file, "audio/wav", { cacheControl: "60" }),
        10_000,
      );
      assertEquals(upload.file, file);
      assertEquals(
        [upload.size, upload.contentType, upload.cacheControl],
        [file.byteLength, "audio/wav", "max-age=60"],
      );
    }),
    { numRuns: 200 },
  );
});

Deno.test("readUpload: a file of line breaks, dashes and header text is not truncated", async () => {
  const pieces = fc.constantFrom("\r\n", "--", "\r\n--", "\r\n\r\n", "a", ":");
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 60 }), async (parts) => {
      const file = new Uint8Array(
        await new Blob(parts).arrayBuffer(),
      );
      const upload = await received(await form(file, "text/plain"), 10_000);
      assertEquals(upload.file, file);
    }),
    { numRuns: 200 },
  );
});

Deno.test("readUpload: metadata in a form and in a header give the same text", async () => {
  const text = JSON.stringify({ title: "Über Töne" });
  const fromForm = await received(
    await form(new Uint8Array(1), "audio/wav", { metadata: text }),
    100,
  );
  const base64 = btoa(
    String.fromCharCode(...new TextEncoder().encode(text)),
  );
  const fromHeader = await received(
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
  assertEquals((await received(raw(100), 100)).size, 100);
  assertEquals((await received(raw(100, "100"), 100)).size, 100);
  const atLimit = await form(new Uint8Array(100), "audio/wav");
  assertEquals((await received(atLimit, 100)).size, 100);
  for (
    const request of [
      raw(101),
      raw(101, "101"),
      await form(new Uint8Array(101), "audio/wav"),
    ]
  ) {
    const refusal = await assertRejects(
      () => readUpload(request, 100, dir),
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
        dir,
      ),
    StorageRefusal,
    "The form has no file",
  );
});

Deno.test("readUpload: a field that is not a file is held in memory, and refused when it is too large", async () => {
  const field = (bytes: number) =>
    form(new Uint8Array(1), "audio/wav", { metadata: "x".repeat(bytes) });
  const limit = 1_000_000;
  assertEquals((await received(await field(65_536), limit)).size, 1);
  const request = await field(65_537);
  await assertRejects(() => readUpload(request, limit, dir), StorageRefusal);
});

Deno.test("readUpload: the folder never has a visible file, not even while one is being received", async () => {
  const left = () => [...Deno.readDirSync(dir)].map(({ name }) => name);
  const { readable: body, writable } = new TransformStream<
    Uint8Array<ArrayBuffer>,
    Uint8Array<ArrayBuffer>
  >();
  const writer = writable.getWriter();
  const receiving = received(
    new Request("http://stack.invalid/", { method: "POST", body }),
    100,
  );
  await writer.write(new Uint8Array(3));
  assertEquals(left(), []);
  await writer.close();
  assertEquals((await receiving).file, new Uint8Array(3));
  assertEquals(left(), []);
});

Deno.test("findParts: a file that ends near a step of the search is complete", async () => {
  const step = 262_144;
  for (const difference of [-80, -40, -20, -5, -1, 0, 1, 5, 20, 40]) {
    const file = new Uint8Array(step + difference).fill(13);
    const upload = await received(await form(file, "text/plain"), step * 2);
    assertEquals(upload.file, file);
  }
});

Deno.test("findParts: damaged forms have fewer parts and never throw", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.string(),
      async (body, type) => {
        await findParts(
          readable(new Uint8Array(body)),
          `multipart/form-data; boundary=${type}`,
        );
      },
    ),
  );
  const parts = (text: string, type: string) =>
    findParts(readable(new TextEncoder().encode(text)), type);
  assertEquals(await parts("--x\r\nno end", "boundary=x"), []);
  assertEquals(await parts("", "multipart/form-data"), []);
  // The search for the end of headers does not read the whole file.
  const endless = `--x\r\n${"a".repeat(20_000)}\r\n\r\nb\r\n--x--`;
  assertEquals(await parts(endless, "boundary=x"), []);
});
