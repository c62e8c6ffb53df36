/** Uploads of the client when Storage does not answer, with fetch and with XMLHttpRequest. */
import { assert, assertEquals } from "@std/assert";
import { sendFile, type SendOptions } from "../../../client/upload.ts";
import { heldTimers } from "../../_support/held-timers.ts";

const TARGET = {
  upload_url: "http://project.test/storage/v1/object/upload/sign/uploads/a",
  token: "t",
  bucket: "uploads",
  path: "a",
};

/** The part of XMLHttpRequest that the client uses. Ends only when a test ends it. */
class FakeXhr {
  static last: FakeXhr | undefined;
  readonly upload: {
    onprogress: ((event: { loaded: number; total: number }) => void) | null;
  } = { onprogress: null };
  onloadend = () => {};
  status = 0;
  responseText = "";
  readonly headers: string[] = [];
  constructor() {
    FakeXhr.last = this;
  }
  open() {}
  setRequestHeader(name: string, value: string) {
    this.headers.push(`${name}: ${value}`);
  }
  send() {}
  abort() {
    this.onloadend();
  }
  end(status: number, text: string) {
    Object.assign(this, { status, responseText: text });
    this.onloadend();
  }
}

/** Runs `work` in a page with XMLHttpRequest. */
async function withXhr(work: () => Promise<void>): Promise<void> {
  Object.assign(globalThis, { XMLHttpRequest: FakeXhr });
  try {
    await work();
  } finally {
    Reflect.deleteProperty(globalThis, "XMLHttpRequest");
  }
}

/** Sends a file, and resolves with the error. */
function failure(
  bytes: number,
  options: Omit<SendOptions, "contentType"> = {},
): Promise<{ name: string; message: string }> {
  return sendFile(TARGET, new Blob([new Uint8Array(bytes)]), {
    contentType: "audio/mpeg",
    ...options,
  }).then(
    () => ({ name: "none", message: "" }),
    (error) => ({ name: error.name, message: error.message }),
  );
}

/** A fetch that ends only when it is aborted. */
function endless(_input: unknown, init?: RequestInit): Promise<Response> {
  return new Promise((_, reject) => {
    init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
  });
}

function replaceFetch(by: typeof fetch): Disposable {
  const real = globalThis.fetch;
  globalThis.fetch = by;
  return { [Symbol.dispose]: () => void (globalThis.fetch = real) };
}

Deno.test("client: an upload without an answer ends with a NetworkError, later for a larger file", async () => {
  using time = heldTimers();
  using _fetch = replaceFetch(endless);
  for (const [bytes, seconds] of [[1000, 60], [1_000_000, 310]] as const) {
    let error: { name: string } | undefined;
    const sending = failure(bytes).then((result) => error = result);
    await time.pass((seconds - 1) * 1000);
    assertEquals(error, undefined);
    await time.pass(2000);
    await sending;
    assertEquals(error?.name, "NetworkError");
  }
});

Deno.test("client: an answer that stalls ends like none; an outage of Storage is no refusal of the file", async () => {
  using time = heldTimers();
  const stalled = (_input: unknown, init?: RequestInit) =>
    Promise.resolve(
      new Response(
        new ReadableStream({
          start(controller) {
            init?.signal?.addEventListener(
              "abort",
              () => controller.error(new Error("aborted")),
            );
          },
        }),
      ),
    );
  using _fetch = replaceFetch(stalled);
  const sending = failure(1000);
  await time.pass(61_000);
  assertEquals((await sending).name, "NetworkError");
  for (
    const [status, name] of [
      [413, "RequestInvalid"],
      [429, "ServiceUnavailable"],
      [503, "ServiceUnavailable"],
    ] as const
  ) {
    using _refusal = replaceFetch(() =>
      Promise.resolve(new Response("no", { status }))
    );
    assertEquals(await failure(1000), {
      name,
      message: `Storage refused the file: ${status}.`,
    });
  }
});

Deno.test("client: a resumable upload without an answer is resumed, and ends with a NetworkError", async () => {
  using time = heldTimers();
  const methods: string[] = [];
  using _fetch = replaceFetch((input, init) => {
    methods.push(init?.method ?? "");
    return init?.method === "POST"
      ? Promise.resolve(
        new Response(null, { status: 201, headers: { location: "/tus/1" } }),
      )
      : endless(input, init);
  });
  let error: { name: string } | undefined;
  const sending = failure(7_000_000).then((result) => error = result);
  while (error === undefined) await time.pass(60_000);
  await sending;
  assertEquals(error.name, "NetworkError");
  assertEquals(methods.filter((one) => one === "PATCH").length, 6);
});

Deno.test("client: a resumable upload is offered again after a passing failure, and ends with a lasting one", async () => {
  using time = heldTimers();
  for (
    const [answers, name, sent] of [
      [[undefined, 503, 429, 201], "none", "POST POST POST POST PATCH PATCH"],
      [[404], "none", "POST PUT"],
      [[429, 429, 429, 429, 429, 429], "ServiceUnavailable", null],
      [Array(6).fill(undefined), "NetworkError", null],
    ] as const
  ) {
    const methods: string[] = [];
    const left = [...answers];
    let offset = 0;
    using _fetch = replaceFetch((_input, init) => {
      const method = init?.method ?? "";
      methods.push(method);
      if (method === "PATCH" && init?.body instanceof Blob) {
        offset += init.body.size;
        return Promise.resolve(
          new Response(null, {
            status: 204,
            headers: { "upload-offset": String(offset) },
          }),
        );
      }
      if (method === "PUT") return Promise.resolve(new Response("{}"));
      const status: number | undefined = left.shift();
      return status === undefined
        ? Promise.reject(new TypeError("connection reset"))
        : Promise.resolve(
          new Response(null, { status, headers: { location: "/tus/1" } }),
        );
    });
    let error: { name: string } | undefined;
    const sending = failure(7_000_000).then((result) => error = result);
    while (error === undefined) await time.pass(1000);
    await sending;
    assertEquals(error.name, name);
    assertEquals(methods.join(" "), sent ?? Array(6).fill("POST").join(" "));
  }
});

Deno.test("client: an abort ends an upload that is paused, and the failure of a pause is the upload's", async () => {
  using _fetch = replaceFetch(() =>
    Promise.resolve(
      new Response(null, { status: 201, headers: { location: "/tus/1" } }),
    )
  );
  const stop = new AbortController();
  const reached = Promise.withResolvers<void>();
  const sending = failure(7_000_000, {
    signal: stop.signal,
    pause() {
      reached.resolve();
      return new Promise(() => {});
    },
  });
  await reached.promise;
  stop.abort(new Error("left"));
  assertEquals((await sending).message, "left");
  const failed = await failure(7_000_000, {
    signal: new AbortController().signal,
    pause: () => Promise.reject(new Error("no battery")),
  });
  assertEquals(failed.message, "no battery");
});

Deno.test("client: an upload by XMLHttpRequest reports progress, a refusal, an abort and a missing answer", async () => {
  using time = heldTimers();
  await withXhr(async () => {
    const seen: number[] = [];
    const onProgress = (fraction: number) => seen.push(fraction);
    const sent = failure(1000, { onProgress });
    FakeXhr.last?.upload.onprogress?.({ loaded: 500, total: 1000 });
    FakeXhr.last?.end(200, '{"Key":"uploads/a"}');
    assertEquals((await sent).name, "none");
    assertEquals(seen, [0.5, 1]);
    assertEquals(FakeXhr.last?.headers, [
      "content-type: audio/mpeg",
      "cache-control: max-age=3600",
    ]);

    const refused = failure(1000, { onProgress });
    FakeXhr.last?.end(413, '{"message":"The object is too large"}');
    assertEquals(await refused, {
      name: "RequestInvalid",
      message: "The object is too large",
    });

    const stop = new AbortController();
    const stopped = failure(1000, { onProgress, signal: stop.signal });
    stop.abort(new Error("left"));
    assertEquals((await stopped).message, "left");

    const before = FakeXhr.last;
    const tooLate = failure(1000, { onProgress, signal: stop.signal });
    assertEquals((await tooLate).message, "left");
    assert(FakeXhr.last === before, "nothing is sent");

    const lost = failure(1000, { onProgress });
    await time.pass(61_000);
    assertEquals((await lost).name, "NetworkError");
  });
});
