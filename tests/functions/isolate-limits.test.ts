/** The limits of an isolate: processor time and memory, as in a hosted project, which are on by default. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import {
  readResourceUsage,
  type ResourceUsage,
} from "../../dev/stack/process/resource-usage.ts";
import { makeProject } from "../_support/stack-fixture.ts";

const hook = (stack: Stack, path = "") =>
  fetch(`${stack.apiUrl}/functions/v1/hook${path}`);

/** The isolate that currently responds. */
async function isolate(stack: Stack, path = ""): Promise<string> {
  const { id } = await (await hook(stack, path)).json();
  return id;
}

/** Waits for a line of the function's log that has this text. */
async function logged(stack: Stack, text: string): Promise<string> {
  const { line } = await stack.logs.find(
    ({ source, line }) => source === "function:hook" && line.includes(text),
    AbortSignal.timeout(120_000),
  );
  return line;
}

async function assertResourceLimit(answer: Promise<Response>): Promise<void> {
  const response = await answer;
  assertEquals([response.status, response.headers.get("sb-error-code")], [
    546,
    "WORKER_RESOURCE_LIMIT",
  ]);
  assertEquals(await response.json(), {
    code: "WORKER_RESOURCE_LIMIT",
    message:
      "Function failed due to not having enough compute resources (please check logs)",
  });
}

const MEBIBYTE = 1_048_576;
/** Longer than the longest pause between two measurements, whose timer is in this process and is due first. */
const MEASURED_MS = 1100;

/** What an isolate asks before each part of its work. */
function gate(
  pid: number,
  isNearItsEnd: (used: ResourceUsage) => boolean = () => false,
): Deno.HttpServer<Deno.NetAddr> {
  const cpuAtStart = readResourceUsage(pid)?.cpuMs ?? 0;
  return Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
  }, async () => {
    const used = readResourceUsage(pid);
    if (used && isNearItsEnd({ ...used, cpuMs: used.cpuMs - cpuAtStart })) {
      await new Promise((resolve) => setTimeout(resolve, MEASURED_MS));
    }
    return new Response(null, { status: 204 });
  });
}

const cases: {
  name: string;
  path: string;
  /** Texts that the log must contain, in any order. */
  log: string[];
  /** A limit of processor time other than that of a hosted project. */
  cpuMs?: number;
  /**
   * Whether what an isolate has used since its start is near the announcement of its end. From there on it takes the
   * next part only after its supervisor has measured this one; a busy machine could otherwise let it pass from there to
   * its end between two measurements.
   */
  isNearItsEnd?: (used: ResourceUsage) => boolean;
}[] = [
  {
    name: "an endless loop",
    path: "/load/endless",
    log: ["CPU time soft limit reached", "CPU time hard limit reached"],
  },
  {
    name: "much work in small parts is notified before its end",
    path: "/load/in-parts",
    cpuMs: 4000,
    isNearItsEnd: ({ cpuMs }) => cpuMs > 4000 * 0.85,
    log: [
      "CPU time soft limit reached",
      'leaving {"reason":"cpu"}',
      "CPU time hard limit reached",
    ],
  },
  {
    name: "400 MB in one allocation, outside the heap",
    path: "/memory/at-once?kept",
    log: ["memory limit reached"],
  },
  {
    name: "memory that grows in small parts is notified of its end",
    path: "/memory/in-parts",
    isNearItsEnd: ({ memoryBytes }) => memoryBytes > 256 * MEBIBYTE * 0.88,
    log: [
      "half of the memory limit reached",
      'leaving {"reason":"memory"}',
      "memory limit reached: this isolate had 2",
    ],
  },
  {
    name: "a heap that grows faster than it is measured",
    path: "/memory/of-objects",
    log: ["memory limit reached"],
  },
];

for (const { name, path, log, cpuMs, isNearItsEnd } of cases) {
  Deno.test({
    name: `limits: ${name}: 546, and the log says why`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      await using project = await makeProject();
      await using stack = await startStack({
        projectDir: project.dir,
        ephemeral: true,
        simulators: false,
        ...(cpuMs === undefined ? {} : { cpuMs }),
      });
      const before = await isolate(stack);
      const [process] = stack.functions.processes("hook");
      assert(process !== undefined);
      await using server = gate(process.pid, isNearItsEnd);
      const query = isNearItsEnd &&
        `?gate=http://127.0.0.1:${server.addr.port}`;
      await assertResourceLimit(hook(stack, `${path}${query ?? ""}`));
      for (const text of log) await logged(stack, text);
      assertNotEquals(await isolate(stack), before);
    },
  });
}

Deno.test({
  name:
    "limits: what an isolate uses adds up over its requests and background work",
  ignore: Deno.build.os !== "linux",
  async fn(t) {
    await using project = await makeProject();
    await using stack = await startStack({
      projectDir: project.dir,
      ephemeral: true,
      simulators: false,
    });

    await t.step(
      "after a second in all, another isolate serves requests, and the first ends without an error",
      async () => {
        const first = await isolate(stack);
        let requests = 0;
        while (await isolate(stack, "/work") === first) {
          requests++;
          assert(requests < 2000, "the isolate never ends");
        }
        assert(requests > 3, `${requests} requests`);
        await logged(stack, "CPU time soft limit reached");
        await logged(stack, "shutdown: EarlyDrop");
        assertEquals(
          stack.logs.records("function:hook").filter(({ line }) =>
            line.includes("hard limit")
          ),
          [],
        );
      },
    );

    await t.step(
      "work after the response counts and is ended; another isolate serves requests meanwhile",
      async () => {
        const before = await isolate(stack);
        const answer = await hook(stack, "/load/in-background");
        await answer.body?.cancel();
        assertEquals(answer.status, 202);
        await logged(stack, "CPU time hard limit reached");
        assertNotEquals(await isolate(stack), before);
      },
    );

    await t.step("half of the memory retires an isolate", async () => {
      const before = await isolate(stack);
      assertEquals(await isolate(stack, "/memory/half"), before);
      await logged(stack, "half of the memory limit reached");
      assertNotEquals(await isolate(stack), before);
    });
  },
});

Deno.test("limits: 0 is no limit", async () => {
  await using project = await makeProject();
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
    cpuMs: 0,
    memoryMb: 0,
  });
  const before = await isolate(stack);
  const answer = await hook(stack, "/memory/at-once");
  assertEquals([answer.status, await answer.json()], [200, 40]);
  assertEquals(await isolate(stack), before);
});
