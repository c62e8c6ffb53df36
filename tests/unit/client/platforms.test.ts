/** The bundled client with only the globals of React Native. */
import { assertEquals } from "@std/assert";
import vm from "node:vm";
import { bundleEntry } from "../../../dev/tools/build-client.ts";

/**
 * A program that uses `client` and `supabase` and returns a text. Its first signal has no reason, as in React Native.
 */
const PROGRAM = `(async () => {
  const seen = [];
  const jobs = client.createAiJobs(supabase, { live: false, pollMs: 1 });
  const aborted = { aborted: true, addEventListener() {}, removeEventListener() {} };
  await jobs.get("1", { signal: aborted }).catch((error) => seen.push(error.name));
  const job = await jobs.create({ job_type: "voice_clone", input_url: "uploads/a" });
  const done = await job.wait({ onProgress: ({ progress }) => seen.push(progress) });
  seen.push(done.result.voice_name);
  const stop = new AbortController();
  const endless = jobs.job("endless").wait({ signal: stop.signal });
  stop.abort(new Error("left"));
  await endless.catch((error) => seen.push(error.message));
  await jobs.job("endless").wait({ timeoutMs: 5 }).catch((error) => seen.push(error.name));
  const page = await jobs.list({ status: "failed" });
  seen.push(page.jobs.length);
  jobs.close();
  return JSON.stringify(seen);
})()`;

/** Responses of functions and tables, as objects of this process. */
const supabase = {
  functions: {
    invoke: (name: string) => {
      const job = {
        id: "1",
        job_type: "voice_clone",
        status: name.includes("endless") ? "pending" : "completed",
        result_data: { voice_id: "v", voice_name: "Grandma" },
      };
      const data = name.startsWith("create-ai-job")
        ? { job_id: "1", status: "pending" }
        : name.startsWith("list-ai-jobs?status=failed")
        ? { jobs: [job], next_cursor: null }
        : job;
      return Promise.resolve({ data, error: null });
    },
  },
  from: () => {
    let rows: unknown[] = [];
    const query = {
      select: () => query,
      eq: (_column: string, id: string) => {
        rows = id === "endless" ? [] : [{
          job_id: "1",
          seq: 1,
          event: "completed",
          attempt: 1,
          data: { status: "completed", progress: 100 },
          created_at: "2026-01-01T00:00:00Z",
        }];
        return query;
      },
      gt: () => query,
      gte: () => query,
      order: () => query,
      limit: () => query,
      abortSignal: () =>
        Promise.resolve({ data: rows, error: null, status: 200 }),
    };
    return query;
  },
  realtime: { channels: [], isConnected: () => false },
};

Deno.test("client: a minified bundle recognizes the errors by their names", async () => {
  const code = await bundleEntry("store.ts");
  const { isGone } = await import(
    `data:text/javascript,${encodeURIComponent(code)}`
  );
  const named = (name: string) =>
    Object.assign(new Error(), { isAiJobsError: true, name });
  assertEquals(["NotFound", "Conflict"].map(named).map(isGone), [true, false]);
});

Deno.test("client: the bundle runs with the globals of React Native, without those of Node, Deno and the DOM", async () => {
  const code = (await bundleEntry("mod.ts")).replace(
    /export\{([^}]*)\};?\s*$/,
    (_, names: string) =>
      `globalThis.client={${
        names.replace(/([\w$]+) as (\w+)/g, (_, local, name) =>
          `${name}:${local}`)
      }};`,
  );
  const context = vm.createContext({
    supabase,
    AbortController,
    Blob,
    File,
    Response,
    URL,
    atob,
    btoa,
    clearTimeout,
    fetch,
    setTimeout,
  });
  vm.runInContext(code, context);
  const seen: unknown = await vm.runInContext(PROGRAM, context);
  assertEquals(
    seen,
    JSON.stringify([
      "AbortError",
      100,
      "Grandma",
      "left",
      "WaitTimeout",
      1,
    ]),
  );
});
