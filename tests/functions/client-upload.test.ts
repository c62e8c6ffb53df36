/** Large files of the client: sent in pieces to the stack's TUS server, through lost connections, pauses and aborts. */
import { assert, assertEquals } from "@std/assert";
import { createAiJobs } from "../../client/mod.ts";
import { signUp } from "../_support/as-user.ts";
import { useStack } from "../_support/stack.ts";

const running = useStack();
const MIB = 1024 * 1024;

/** A file whose pieces all differ. */
function largeFile(bytes: number): File {
  const numbers = new Uint32Array(Math.ceil(bytes / 4));
  for (let index = 0; index < numbers.length; index++) {
    numbers[index] = index * 2654435761;
  }
  return new File([numbers.buffer.slice(0, bytes)], "call.mp3", {
    type: "audio/mpeg",
  });
}

async function digest(data: Blob): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await data.arrayBuffer());
  return new Uint8Array(hash).toHex();
}

/** A fault of the network; undefined lets the request through. */
type Fault = (
  method: string,
  url: string,
  init: RequestInit,
) => Promise<Response> | undefined;

/** Replaces `fetch`: records the requests to Storage, as method and offset, and injects faults. */
class Network implements Disposable {
  readonly requests: string[] = [];
  injectFault: Fault = () => undefined;
  readonly #real = globalThis.fetch;

  constructor() {
    const real = this.#real;
    globalThis.fetch = (input, init = {}) => {
      const url = String(input instanceof Request ? input.url : input);
      const method = init.method ?? "GET";
      if (url.includes("/storage/v1/") && !init.signal?.aborted) {
        const offset = new Headers(init.headers).get("upload-offset");
        const kind = url.includes("/upload/resumable/") ? "" : " whole";
        this.requests.push(
          `${method}${kind}${offset === null ? "" : ` ${offset}`}`,
        );
      }
      return this.injectFault(method, url, init) ?? real(input, init);
    };
  }

  /** Sends a request unchanged. */
  send(url: string, init: RequestInit): Promise<Response> {
    return this.#real(url, init);
  }

  [Symbol.dispose](): void {
    globalThis.fetch = this.#real;
  }
}

async function setUp() {
  const user = await signUp(running());
  const jobs = createAiJobs(user.client, { live: false });
  return {
    jobs,
    async stored(path: string): Promise<Blob> {
      const { data, error } = await user.client.storage.from("recordings")
        .download(path);
      if (error) throw error;
      return data;
    },
    async paths(): Promise<string[]> {
      const rows = await running().sql<{ name: string }>`
        select name from storage.objects where bucket_id = 'recordings' and name like ${
        user.id + "/%"
      }`;
      return rows.map(({ name }) => name);
    },
  };
}

Deno.test("client upload: a file above 6 MB is sent in pieces, with progress, and arrives unchanged", async () => {
  const { jobs, stored } = await setUp();
  using network = new Network();
  const file = largeFile(13 * MIB);
  const seen: number[] = [];
  const { path, input_url } = await jobs.upload(file, {
    bucket: "recordings",
    onProgress: ({ progress }) => seen.push(progress),
  });
  assertEquals(network.requests, [
    "POST",
    "PATCH 0",
    `PATCH ${6 * MIB}`,
    `PATCH ${12 * MIB}`,
  ]);
  assertEquals(seen, [46, 92, 100]);
  assertEquals(input_url, `recordings/${path}`);
  assertEquals(await digest(await stored(path)), await digest(file));
});

Deno.test("client upload: after a broken connection it continues at the server's offset", async () => {
  const { jobs, stored } = await setUp();
  using network = new Network();
  let isBroken = false;
  network.injectFault = (method, url, init) => {
    const isSecond = method === "PATCH" &&
      new Headers(init.headers).get("upload-offset") === String(6 * MIB);
    if (!isSecond || isBroken) return undefined;
    isBroken = true;
    assert(init.body instanceof Blob);
    // Half of the piece arrives, and the response is lost.
    return network.send(url, { ...init, body: init.body.slice(0, 3 * MIB) })
      .then(async (response) => {
        await response.body?.cancel();
        throw new TypeError("connection reset");
      });
  };
  const file = largeFile(13 * MIB);
  const { path } = await jobs.upload(file, { bucket: "recordings" });
  assertEquals(network.requests, [
    "POST",
    "PATCH 0",
    `PATCH ${6 * MIB}`,
    "HEAD",
    `PATCH ${9 * MIB}`,
  ]);
  assertEquals(await digest(await stored(path)), await digest(file));
});

Deno.test("client upload: a pause delays the next piece; an abort rejects with its reason and leaves no file", async () => {
  const { jobs, paths } = await setUp();
  using network = new Network();
  const stop = new AbortController();
  const paused = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  let pieces = 0;
  const uploading = jobs.upload(largeFile(13 * MIB), {
    bucket: "recordings",
    signal: stop.signal,
    pause() {
      pieces += 1;
      if (pieces !== 2) return undefined;
      reached.resolve();
      return paused.promise;
    },
    // After the pause the second piece is sent, and the third is not.
    onProgress: ({ progress }) => progress > 90 && stop.abort(reason),
  });
  const reason = new Error("the page was left");
  await reached.promise;
  assertEquals(network.requests, ["POST", "PATCH 0"]);
  paused.resolve();
  assertEquals(await uploading.catch((error) => error), reason);
  assertEquals(network.requests, ["POST", "PATCH 0", `PATCH ${6 * MIB}`]);
  assertEquals(await paths(), []);
});

Deno.test("client upload: without resumable uploads the file is one request", async () => {
  const { jobs, stored } = await setUp();
  using network = new Network();
  const file = largeFile(7 * MIB);
  network.injectFault = (_method, url) =>
    url.includes("/upload/resumable/")
      ? Promise.resolve(new Response("{}", { status: 404 }))
      : undefined;
  const { path } = await jobs.upload(file, { bucket: "recordings" });
  assertEquals(network.requests, ["POST", "PUT whole"]);
  assertEquals(await digest(await stored(path)), await digest(file));
});
