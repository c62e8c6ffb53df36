import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import {
  downloadInput,
  inputInPieces,
} from "../../../../supabase/functions/_shared/storage/object-store.ts";

const OBJECT = "voice-samples/3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11/a b.mp3";
const never = new AbortController().signal;
const AS_RECORDING = { name: "recording", consumer: "d-id" } as const;

/** The real client on a Storage with the test's responses. */
function storage(
  answer: (
    signal: AbortSignal | undefined,
    range: string | null,
  ) => Response | Promise<Response>,
) {
  const requested: string[] = [];
  const supabase: SupabaseClient<Database> = createClient<Database>(
    "https://project.test",
    "sb_secret_0123456789",
    {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: async (input, init) => {
          requested.push(new URL(String(input)).pathname);
          return await answer(
            init?.signal ?? undefined,
            new Headers(init?.headers).get("range"),
          );
        },
      },
    },
  );
  return { supabase, requested };
}

/** A body of these pieces, which does not end unless `isWhole`. */
function body(
  pieces: string[],
  end: "whole" | "broken" | "endless" = "whole",
) {
  const state = { isCancelled: false };
  const left = [...pieces];
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const piece = left.shift();
      if (piece !== undefined) {
        controller.enqueue(new TextEncoder().encode(piece));
      } else if (end === "whole") controller.close();
      else if (end === "broken") controller.error(new TypeError("reset"));
      else return Promise.withResolvers<void>().promise;
    },
    cancel() {
      state.isCancelled = true;
    },
  });
  return { stream, state };
}

const bytes = (text: string) => new Response(body([text]).stream);

async function failureOf(work: () => Promise<unknown>): Promise<JobFailure> {
  return await assertRejects(work, JobFailure);
}

Deno.test("downloadInput: returns the object's bytes", async () => {
  const { supabase, requested } = storage(() =>
    new Response(body(["one ", "two"]).stream)
  );
  const blob = await downloadInput(supabase, OBJECT, {
    ...AS_RECORDING,
    maxBytes: 7,
    signal: never,
  });
  assertEquals(await blob.text(), "one two");
  assertEquals(requested.map(decodeURIComponent), [
    `/storage/v1/object/${OBJECT}`,
  ]);
});

Deno.test("downloadInput: accepts exactly the limit; one byte more ends the transfer", async () => {
  const options = { ...AS_RECORDING, maxBytes: 4, signal: never };
  const { supabase } = storage(() => bytes("four"));
  assertEquals((await downloadInput(supabase, OBJECT, options)).size, 4);

  const { stream, state } = body(["four", "!"], "endless");
  const large = storage(() => new Response(stream));
  const failure = await failureOf(() =>
    downloadInput(large.supabase, OBJECT, options)
  );
  assertEquals(
    [failure.code, failure.isRetryable, state.isCancelled],
    ["input_size_not_allowed", false, true],
  );
});

Deno.test("downloadInput: the error has the input, its size in Storage, and the limit", async () => {
  const options = { ...AS_RECORDING, maxBytes: 4, signal: never };
  const info = {
    id: "1",
    name: "a b.mp3",
    bucket_id: "voice-samples",
    version: "1",
    created_at: "2026-01-01T00:00:00Z",
    size: 7_000_000,
  };
  const answers: [object | null, string][] = [
    [info, "The recording has 7000000 bytes; d-id accepts 1 to 4."],
    [null, "The recording has more than 4 bytes; d-id accepts 1 to 4."],
  ];
  for (const [answer, message] of answers) {
    let reads = 0;
    const { supabase } = storage(() => {
      if (reads++ === 0) return bytes("five!");
      return answer === null
        ? Response.json({ message: "x" }, { status: 503 })
        : Response.json(answer);
    });
    const failure = await failureOf(() =>
      downloadInput(supabase, OBJECT, options)
    );
    assertEquals(failure.message, message);
  }
  const gone = storage(() =>
    Response.json({ statusCode: "404", message: "x" }, { status: 400 })
  );
  const failure = await failureOf(() =>
    downloadInput(gone.supabase, OBJECT, options)
  );
  assertEquals(failure.message, "The recording no longer exists.");
});

Deno.test("downloadInput: an empty object is refused finally", async () => {
  const { supabase } = storage(() => new Response(body([]).stream));
  const failure = await failureOf(() =>
    downloadInput(supabase, OBJECT, {
      ...AS_RECORDING,
      maxBytes: 4,
      signal: never,
    })
  );
  assertEquals([failure.code, failure.isRetryable], [
    "input_size_not_allowed",
    false,
  ]);
});

for (
  const [status, said, code, isRetryable] of [
    [400, { statusCode: "404", error: "not_found" }, "input_not_found", false],
    [400, { statusCode: "400", code: "NoSuchKey" }, "input_not_found", false],
    [404, { statusCode: "404" }, "input_not_found", false],
    [400, { statusCode: "400" }, "storage_unavailable", true],
    [400, { statusCode: "544" }, "storage_unavailable", true],
    [
      400,
      { statusCode: "403", code: "InvalidJWT" },
      "storage_unavailable",
      true,
    ],
    [401, { statusCode: "401" }, "storage_unavailable", true],
    [403, { statusCode: "403" }, "storage_unavailable", true],
    [429, { statusCode: "429" }, "storage_unavailable", true],
    [500, { statusCode: "500" }, "storage_unavailable", true],
    [503, { statusCode: "503" }, "storage_unavailable", true],
  ] as const
) {
  Deno.test(`downloadInput: ${status} with ${JSON.stringify(said)} is ${code}`, async () => {
    const { supabase } = storage(() =>
      Response.json({ ...said, message: "x" }, { status })
    );
    const failure = await failureOf(() =>
      downloadInput(supabase, OBJECT, {
        ...AS_RECORDING,
        maxBytes: 4,
        signal: never,
      })
    );
    assertEquals([failure.code, failure.isRetryable], [code, isRetryable]);
  });
}

Deno.test("downloadInput: without a complete response from Storage the failure is retryable", async () => {
  for (
    const answer of [
      () => Promise.reject(new TypeError("connection refused")),
      () => new Response(body(["one "], "broken").stream),
    ]
  ) {
    const failure = await failureOf(() =>
      downloadInput(storage(answer).supabase, OBJECT, {
        ...AS_RECORDING,
        maxBytes: 100,
        signal: never,
      })
    );
    assertEquals([failure.code, failure.isRetryable], [
      "storage_unavailable",
      true,
    ]);
  }
});

Deno.test("downloadInput: ends with the caller's signal", async () => {
  const caller = new AbortController();
  const { supabase } = storage((signal) => {
    const { promise, reject } = Promise.withResolvers<Response>();
    assert(signal);
    signal.addEventListener("abort", () => reject(signal.reason));
    caller.abort(new Error("the lease is lost"));
    return promise;
  });
  const failure = await failureOf(() =>
    downloadInput(supabase, OBJECT, {
      ...AS_RECORDING,
      maxBytes: 4,
      signal: caller.signal,
    })
  );
  assertEquals(failure.code, "storage_unavailable");
});

for (
  const name of [
    "voice-samples/u/%2e%2e/victim/a.mp3",
    "voice-samples/u/../victim/a.mp3",
    "voice-samples/u/a.mp3?x",
    "voice-samples/u/a.mp3#x",
    "voice-samples//a.mp3",
    "https://evil.test/a.mp3",
    "",
  ]
) {
  Deno.test(`downloadInput: "${name}" is refused finally, and nothing is requested`, async () => {
    const { supabase, requested } = storage(() => bytes("secret"));
    const failure = await failureOf(() =>
      downloadInput(supabase, name, {
        ...AS_RECORDING,
        maxBytes: 100,
        signal: never,
      })
    );
    assertEquals([failure.code, failure.isRetryable], [
      "input_url_invalid",
      false,
    ]);
    assertEquals(requested, []);
  });
}

Deno.test("inputInPieces: reads each piece with a separate request", async () => {
  const ranges: (string | null)[] = [];
  const { supabase } = storage((_signal, range) => {
    ranges.push(range);
    return new Response(body(["thr", "ee"]).stream, { status: 206 });
  });
  const pieces = inputInPieces(supabase, OBJECT, 100, { signal: never });
  assertEquals(pieces.size, 100);
  assertEquals(
    new TextDecoder().decode(await pieces.read(7, 12)),
    "three",
  );
  await pieces.read(95, 100);
  assertEquals(ranges, ["bytes=7-11", "bytes=95-99"]);
});

Deno.test("inputInPieces: a piece ends at the end of the object, even if it has become shorter", async () => {
  const { supabase } = storage(() => bytes("two"));
  const pieces = inputInPieces(supabase, OBJECT, 100, { signal: never });
  assertEquals((await pieces.read(0, 90)).length, 3);
});

Deno.test("inputInPieces: too many bytes, a broken transfer and a missing object are failures", async () => {
  const options = { signal: never, name: "recording" } as const;
  for (
    const [answer, code, isRetryable] of [
      [() => bytes("more than four"), "storage_unavailable", true],
      [
        () => new Response(body(["two"], "broken").stream),
        "storage_unavailable",
        true,
      ],
      [
        () => Response.json({ message: "gone" }, { status: 404 }),
        "input_not_found",
        false,
      ],
    ] as const
  ) {
    const { supabase } = storage(answer);
    const failure = await failureOf(() =>
      inputInPieces(supabase, OBJECT, 100, options).read(50, 54)
    );
    assertEquals([failure.code, failure.isRetryable], [code, isRetryable]);
  }
});
