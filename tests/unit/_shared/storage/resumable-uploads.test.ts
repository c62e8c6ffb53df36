import { assertEquals, assertRejects } from "@std/assert";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { createResumableUploads } from "../../../../supabase/functions/_shared/storage/resumable-uploads.ts";

const never = new AbortController().signal;
const FILE = {
  bucket: "pdfs",
  path: "me/job/keepsake.pdf",
  size: 12,
  contentType: "application/pdf",
};

/** The uploads of a Storage with the test's responses. */
function storage(answer: (request: Request) => Response | Promise<Response>) {
  const requests: Request[] = [];
  const uploads = createResumableUploads({
    url: "https://project.test/",
    secretKey: "sb_secret_0",
    fetch: async (input, init) => {
      const request = new Request(input, init);
      requests.push(request);
      return await answer(request);
    },
  });
  return { uploads, requests };
}

const bytesOf = (count: number) => ReadableStream.from([new Uint8Array(count)]);

Deno.test("begin: declares the file, and the upload's id is the last part of its URL", async () => {
  const { uploads, requests } = storage(() =>
    new Response(null, {
      status: 201,
      headers: {
        location: "https://elsewhere.test/storage/v1/upload/resumable/abc",
      },
    })
  );
  assertEquals(await uploads.begin(FILE, never), "abc");
  const [request] = requests;
  assertEquals(
    request?.url,
    "https://project.test/storage/v1/upload/resumable",
  );
  const { headers } = request ?? {};
  assertEquals(
    ["apikey", "authorization", "tus-resumable", "upload-length", "x-upsert"]
      .map((name) => headers?.get(name)),
    ["sb_secret_0", "Bearer sb_secret_0", "1.0.0", "12", "true"],
  );
  assertEquals(
    headers?.get("upload-metadata")?.split(",").map((pair) => {
      const [name, value] = pair.split(" ");
      return `${name}: ${atob(value ?? "")}`;
    }),
    [
      "bucketName: pdfs",
      "objectName: me/job/keepsake.pdf",
      "contentType: application/pdf",
      "cacheControl: 3600",
    ],
  );
});

Deno.test("append: sends the bytes after an offset, and returns the next offset", async () => {
  const { uploads, requests } = storage(async (request) => {
    const { byteLength } = await request.arrayBuffer();
    return new Response(null, {
      status: 204,
      headers: { "upload-offset": String(6 + byteLength) },
    });
  });
  assertEquals(await uploads.append("abc", 6, bytesOf(4), never), 10);
  assertEquals(
    [requests[0]?.method, requests[0]?.headers.get("upload-offset")],
    ["PATCH", "6"],
  );
});

Deno.test("offset: the received bytes, or null if Storage does not have the upload", async () => {
  const at = (status: number, offset?: string) =>
    storage(() =>
      new Response(null, {
        status,
        headers: offset === undefined ? {} : { "upload-offset": offset },
      })
    ).uploads.offset("abc", never);
  assertEquals(await at(200, "7"), 7);
  assertEquals(await at(404), null);
  assertEquals(await at(410), null);
  for (const [status, offset] of [[500], [200], [200, "x"]] as const) {
    const { code, isRetryable } = await assertRejects(
      () => at(status, offset),
      JobFailure,
    );
    assertEquals([code, isRetryable], ["storage_unavailable", true]);
  }
});

Deno.test("resumable uploads: a too large file is final; a conflict and an outage are retryable", async () => {
  const failure = (answer: () => Response) =>
    assertRejects(
      () => storage(answer).uploads.append("abc", 0, bytesOf(1), never),
      JobFailure,
    );
  const tooLarge = await failure(() => new Response("", { status: 413 }));
  assertEquals([tooLarge.code, tooLarge.isRetryable], [
    "output_too_large",
    false,
  ]);
  for (
    const answer of [
      () => new Response("", { status: 409 }),
      () => new Response("", { status: 502 }),
      () => {
        throw new TypeError("no connection");
      },
    ]
  ) {
    const { code, isRetryable } = await failure(answer);
    assertEquals([code, isRetryable], ["storage_unavailable", true]);
  }
});

Deno.test("end: a finished or missing upload has ended; any other response is a failure", async () => {
  const end = (status: number) =>
    storage(() => new Response(null, { status })).uploads.end("abc", never);
  for (const status of [204, 400, 403, 404, 410]) await end(status);
  await assertRejects(() => end(500), JobFailure);
});

Deno.test("resumable uploads: the reason of the signal is thrown", async () => {
  const reason = new Error("enough");
  const { uploads } = storage(() => {
    throw new DOMException("aborted", "AbortError");
  });
  const error = await assertRejects(() =>
    uploads.offset("abc", AbortSignal.abort(reason))
  );
  assertEquals(error, reason);
});

Deno.test("every call: reads little of an endless body, and still uses the status and headers", async () => {
  let bytes = 0;
  let isCancelled = false;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        bytes += 16_384;
        // Without a limit the read would never stop.
        if (bytes > 4_000_000) controller.error(new Error("read on"));
        else controller.enqueue(new Uint8Array(16_384));
      },
      cancel() {
        isCancelled = true;
      },
    });
  const { uploads } = storage(() =>
    new Response(endless(), { status: 200, headers: { "upload-offset": "6" } })
  );
  assertEquals(await uploads.append("abc", 2, bytesOf(4), never), 6);
  assertEquals([isCancelled, bytes < 200_000], [true, true]);
  const { uploads: full } = storage(() =>
    new Response(endless(), { status: 413 })
  );
  const failure = await assertRejects(
    () => full.begin(FILE, never),
    JobFailure,
  );
  assertEquals(failure.code, "output_too_large");
});
