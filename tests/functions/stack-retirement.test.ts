/** One isolate after another: no request is lost between two of them, and none is given to both. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import type { FunctionProcess } from "../../dev/stack/functions/process.ts";
import { isStopped } from "../_support/processes.ts";
import { makeProject, until } from "../_support/stack-fixture.ts";

const url = (stack: Stack, path = "") =>
  `${stack.apiUrl}/functions/v1/hook${path}`;

const soon = () => AbortSignal.timeout(120_000);

/** Stops a process. A signal has no effect yet when it is sent, and the process could answer a request before. */
async function stop(process: FunctionProcess): Promise<void> {
  await process.signal("STOP");
  await until("the process is stopped", () => isStopped(process.pid));
}

/** How often the function got a request with this body. */
function startsOf(stack: Stack, body: string): number {
  return stack.logs.records("function:hook").filter(({ line }) =>
    line === `echo ${body}`
  ).length;
}

/** A body that reports when its second part is read, and then waits for `finish`. */
function slowBody(first: string | Uint8Array<ArrayBuffer>) {
  const reached = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const parts = [
    typeof first === "string" ? new TextEncoder().encode(first) : first,
  ];
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const part = parts.shift();
      if (part !== undefined) return controller.enqueue(part);
      reached.resolve();
      await finish.promise;
      controller.close();
    },
  }, { highWaterMark: 0 });
  return { body, reached: reached.promise, finish: finish.resolve };
}

/** The fixture's project with a function that reports each request and the isolate that got it. */
const project = () =>
  makeProject({
    "supabase/functions/hook/index.ts": `
      export default {
        async fetch(request: Request) {
          const body = await request.text() || new URL(request.url).pathname;
          console.log("echo " + body);
          if (body === "/hook/never") await new Promise(() => {});
          // So that some requests are always running.
          await new Promise((resolve) => setTimeout(resolve, 5));
          return Response.json({ body, isolate: Deno.env.get("SB_EXECUTION_ID") });
        },
      };
    `,
  });

/** Requests in flight at any time of the test under load. */
const IN_FLIGHT = 8;
/** Answers of an isolate after which its clock is moved to half of its life. */
const ANSWERS_EACH = 30;

Deno.test("retirement under load: over a dozen isolates, each request is answered once", async () => {
  await using fixture = await project();
  await using stack = await startStack({
    projectDir: fixture.dir,
    ephemeral: true,
    simulators: false,
  });
  /** The number of answers, by isolate. */
  const answered = new Map<string, number>();
  const failures: string[] = [];
  const wanted = { isolates: 12, requests: 400 };
  let sent = 0, isAging = false;
  const isDone = () =>
    failures.length > 0 ||
    answered.size >= wanted.isolates && sent >= wanted.requests;
  const send = async (number: number) => {
    const response = await fetch(url(stack), {
      method: "POST",
      body: `number ${number}`,
    });
    const text = await response.text();
    if (response.status !== 200) {
      failures.push(`${number}: ${response.status} ${text}`);
      return;
    }
    const { body, isolate } = JSON.parse(text);
    assertEquals(body, `number ${number}`);
    const answers = (answered.get(isolate) ?? 0) + 1;
    answered.set(isolate, answers);
    if (isAging || answers < ANSWERS_EACH) return;
    // Half a life more would kill one that has retired and still works.
    const alive = stack.functions.processes("hook");
    if (alive.some(({ isRetired }) => isRetired)) return;
    isAging = true;
    await stack.functions.advance(75_000);
    isAging = false;
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    while (!isDone()) await send(sent++);
  }));
  assertEquals(failures, []);
  assert(answered.size >= wanted.isolates, `${answered.size} isolates`);
  const times = Array.from(
    { length: sent },
    (_, number) => startsOf(stack, `number ${number}`),
  );
  assertEquals(times.filter((count) => count !== 1), []);
});

Deno.test("retirement: requests that reach a process at its end", async (t) => {
  await using fixture = await project();
  await using stack = await startStack({
    projectDir: fixture.dir,
    ephemeral: true,
    simulators: false,
  });
  const isolate = async () =>
    (await (await fetch(url(stack))).json()).isolate as string;

  await t.step(
    "a request on its way to a process that retires is answered by it; others go elsewhere meanwhile",
    async () => {
      const old = await stack.functions.process("hook");
      const before = await isolate();
      await stop(old);
      const { body, reached, finish } = slowBody("on its way");
      const answer = old.send("/hook", {
        method: "POST",
        body,
        signal: soon(),
      });
      await reached;
      // The stopped process cannot notice that time has passed, but its supervisor can.
      const passing = stack.functions.advance(75_000);
      assertNotEquals(await isolate(), before);
      finish();
      await old.signal("CONT");
      assertEquals(await (await answer).json(), {
        body: "on its way",
        isolate: before,
      });
      await passing;
      assertEquals((await old.exited).code, 0);
    },
  );

  await t.step(
    "a request whose process dies before starting it goes to the next one, complete",
    async () => {
      const old = await stack.functions.process("hook");
      const before = await isolate();
      await stop(old);
      const answer = fetch(url(stack), { method: "POST", body: "not started" });
      await until(
        "the request is with the process",
        () => old.unanswered === 1,
      );
      await old.signal("KILL");
      const { body, isolate: after } = await (await answer).json();
      assertEquals(body, "not started");
      assertNotEquals(after, before);
      assertEquals(startsOf(stack, "not started"), 1);
    },
  );

  await t.step(
    "a request that was started goes to no other process",
    async () => {
      const answer = fetch(url(stack, "/never"), { signal: soon() });
      await stack.logs.find(({ line }) => line === "echo /hook/never", soon());
      await stack.functions.kill("hook", "SIGKILL");
      const { status, headers, body } = await answer;
      await body?.cancel();
      assertEquals([status, headers.get("sb-error-code")], [
        502,
        "EDGE_FUNCTION_ERROR",
      ]);
      await isolate();
      assertEquals(startsOf(stack, "/hook/never"), 1);
    },
  );

  await t.step(
    "a process that must end gets no more requests, and finishes those it has",
    async () => {
      const [old] = stack.functions.processes("hook");
      assert(old !== undefined);
      const before = await isolate();
      await stack.functions.kill("hook", "SIGTERM");
      assertNotEquals(await isolate(), before);
      assertEquals((await old.exited).code, 0);
    },
  );
});
