import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import { storeOutput } from "../../../../supabase/functions/_shared/storage/outputs.ts";

const speech = await Deno.readFile(
  new URL("../../../fixtures/recordings/speech-24s.mp3", import.meta.url),
);
const USER = "00000000-0000-4000-8000-0000000000aa";
const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";

/** The real client against a real HTTP server that stores complete uploads. */
async function withStorage(
  run: (storage: {
    store: (
      values: Partial<Parameters<typeof storeOutput>[1]>,
    ) => ReturnType<typeof storeOutput>;
    stored: Map<string, Uint8Array>;
    headers: Headers[];
    answerWith(answer: () => Response): void;
  }) => Promise<void>,
) {
  const stored = new Map<string, Uint8Array>();
  const headers: Headers[] = [];
  let answer: (() => Response) | undefined;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      headers.push(request.headers);
      try {
        const bytes = await request.bytes();
        if (answer) return answer();
        stored.set(new URL(request.url).pathname, bytes);
      } catch {
        // An incomplete body is not stored, as in the real Storage.
        return new Response("aborted", { status: 400 });
      }
      return Response.json({ Id: "1", Key: "k" });
    },
  );
  const supabase = createClient<Database>(
    `http://127.0.0.1:${server.addr.port}`,
    "sb_secret_0123456789",
    { auth: { persistSession: false, autoRefreshToken: false } },
  );
  try {
    await run({
      store: (values) =>
        storeOutput(supabase, {
          userId: USER,
          jobId: JOB,
          fileName: "speech.mp3",
          contentType: "audio/mpeg",
          body: speech,
          maxBytes: 1_000_000,
          signal: new AbortController().signal,
          ...values,
        }),
      stored,
      headers,
      answerWith: (given) => answer = given,
    });
  } finally {
    await server.shutdown();
  }
}

function pieces(
  bytes: Uint8Array,
  size: number,
  end: "whole" | Error = "whole",
) {
  const state = { isCancelled: false };
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at < bytes.length) {
        controller.enqueue(bytes.slice(at, at += size));
      } else if (end === "whole") controller.close();
      else controller.error(end);
    },
    cancel() {
      state.isCancelled = true;
    },
  }, { highWaterMark: 0 });
  return { stream, state };
}

const PATH = `/storage/v1/object/outputs/${USER}/${JOB}/speech.mp3`;

Deno.test("storeOutput: bytes and streams arrive complete in the owner's folder, replacing earlier files", async () => {
  await withStorage(async ({ store, stored, headers }) => {
    for (const body of [speech, pieces(speech, 999).stream]) {
      stored.clear();
      assertEquals(await store({ body }), {
        outputUrl: `outputs/${USER}/${JOB}/speech.mp3`,
        bytes: speech.length,
      });
      assertEquals([...stored.keys()], [PATH]);
      assertEquals(stored.get(PATH), speech);
    }
    assertEquals(headers[0]?.get("x-upsert"), "true");
    assertEquals(headers[0]?.get("content-type"), "audio/mpeg");
  });
});

Deno.test("storeOutput: another bucket can be named", async () => {
  await withStorage(async ({ store, stored }) => {
    const { outputUrl } = await store({
      bucket: "pdfs",
      fileName: "keepsake.pdf",
      contentType: "application/pdf",
      body: new TextEncoder().encode("%PDF-1.7 %%EOF"),
    });
    assertEquals(outputUrl, `pdfs/${USER}/${JOB}/keepsake.pdf`);
    assertEquals(stored.size, 1);
  });
});

for (
  const [what, body] of [
    ["an empty file", new Uint8Array()],
    ["an empty stream", pieces(new Uint8Array(), 1).stream],
    ["an error page", new TextEncoder().encode("<html>502</html>")],
    ["a truncated file", speech.subarray(0, speech.length - 10)],
    [
      "a stream that fails",
      pieces(speech, 5000, new TypeError("reset")).stream,
    ],
  ] as const
) {
  Deno.test(`storeOutput: ${what} is output_invalid and retryable, and nothing is stored`, async () => {
    await withStorage(async ({ store, stored }) => {
      const failure = await assertRejects(() => store({ body }), JobFailure);
      assertEquals([failure.code, failure.isRetryable], [
        "output_invalid",
        true,
      ]);
      assertEquals(stored.size, 0);
    });
  });
}

Deno.test("storeOutput: exactly the maximum passes; one byte more is final, ends the source, stores nothing", async () => {
  await withStorage(async ({ store, stored }) => {
    await store({ maxBytes: speech.length });
    assertEquals(stored.size, 1);
    stored.clear();
    const { stream, state } = pieces(speech, 1000);
    const failure = await assertRejects(
      () => store({ body: stream, maxBytes: speech.length - 1 }),
      JobFailure,
    );
    assertEquals([failure.code, failure.isRetryable], [
      "output_too_large",
      false,
    ]);
    assertEquals([state.isCancelled, stored.size], [true, 0]);
  });
});

Deno.test("storeOutput: throws the job and provider failures of a source unchanged", async () => {
  await withStorage(async ({ store, stored }) => {
    for (
      const thrown of [
        ProviderFailure.unknown("provider_timeout"),
        JobFailure.retryable("provider_unavailable"),
      ]
    ) {
      const error = await assertRejects(() =>
        store({ body: pieces(speech, 1000, thrown).stream })
      );
      assertStrictEquals(error, thrown);
    }
    assertEquals(stored.size, 0);
  });
});

Deno.test("storeOutput: a refusal of Storage is retryable", async () => {
  await withStorage(async ({ store, answerWith }) => {
    answerWith(() => Response.json({ message: "no" }, { status: 503 }));
    const failure = await assertRejects(() => store({}), JobFailure);
    assertEquals([failure.code, failure.isRetryable], [
      "storage_unavailable",
      true,
    ]);
  });
});

Deno.test("storeOutput: ends with the caller's signal, and ends the source", async () => {
  await withStorage(async ({ store, stored }) => {
    const stop = new AbortController();
    const state = { isCancelled: false };
    let pulls = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(1000).fill(97));
        if (++pulls === 3) stop.abort(new Error("the lease is lost"));
        if (pulls >= 3) return Promise.withResolvers<void>().promise;
      },
      cancel() {
        state.isCancelled = true;
      },
    }, { highWaterMark: 0 });
    await assertRejects(
      () =>
        store({
          contentType: "text/plain",
          body: endless,
          signal: stop.signal,
        }),
      Error,
      "the lease is lost",
    );
    assertEquals([state.isCancelled, stored.size], [true, 0]);
    await assertRejects(() => store({ signal: stop.signal }), Error, "lease");
  });
});

Deno.test("storeOutput: a large file is streamed in bounded memory", async () => {
  const chunk = new Uint8Array(65_536);
  const total = 256 * 1024 * 1024;
  let made = 0;
  let taken = 0;
  let ahead = 0;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      for await (const part of request.body ?? []) {
        taken += part.byteLength;
        ahead = Math.max(ahead, made - taken);
      }
      return Response.json({ Id: "1", Key: "k" });
    },
  );
  try {
    chunk.fill(32);
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (made >= total) return controller.close();
        made += chunk.length;
        controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
    const { bytes } = await storeOutput(
      createClient<Database>(
        `http://127.0.0.1:${server.addr.port}`,
        "sb_secret_0123456789",
        { auth: { persistSession: false, autoRefreshToken: false } },
      ),
      {
        userId: USER,
        jobId: JOB,
        fileName: "a.srt",
        contentType: "text/plain",
        body,
        maxBytes: total,
        signal: new AbortController().signal,
      },
    );
    assertEquals([bytes, taken], [total, total]);
    // Bytes that the server has not received: those in the kernel's buffers, on some machines tens of megabytes.
    assert(ahead < total / 2, `${ahead} bytes were ahead`);
  } finally {
    await server.shutdown();
  }
});
