/** The examples of README.md, docs/api.md, docs/client.md and AGENTS.md, run exactly as they are written. */
import { createElement } from "react";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { createAiJobs } from "../../client/mod.ts";
import {
  exampleWith,
  loadComponent,
  runExample,
} from "../_support/documented-examples.ts";
import { clickOn, showPage } from "../_support/react-page.ts";
import { readRecording, signUp, useProject } from "./_support/as-an-app.ts";
import { liveTest } from "../_support/live-test.ts";

const RECORDING = "speech-24s.mp3";

const project = useProject();

async function recording(): Promise<File> {
  return new File([await readRecording(RECORDING)], RECORDING, {
    type: "audio/mpeg",
  });
}

async function withClient(
  run: (
    client: Awaited<ReturnType<typeof signUp>>["client"],
  ) => Promise<unknown>,
): Promise<void> {
  const { client } = await signUp(project());
  try {
    await run(client);
  } finally {
    await client.auth.signOut();
    await client.removeAllChannels();
  }
}

function voiceIdOf(result: unknown): unknown {
  assert(typeof result === "object" && result !== null);
  return Reflect.get(result, "voice_id");
}

liveTest(
  "README: its example clones a voice and shows the progress",
  async () => {
    await withClient(async (supabase) => {
      const shown: unknown[] = [];
      const { result, jobs } = await runExample(
        `import { createAiJobs } from "edge-ai-jobs";\n${await exampleWith(
          "README.md",
          "ts",
          "createAiJobs",
        )}`,
        {
          supabase,
          file: await recording(),
          show: (progress: unknown) => shown.push(progress),
        },
        ["result", "jobs"],
      );
      assertEquals(typeof voiceIdOf(result), "string");
      assertEquals(shown.at(-1), 100);
      assert(jobs instanceof Object);
      await Reflect.get(jobs, "close").call(jobs);
    });
  },
);

liveTest("AGENTS.md: its example clones a voice", async () => {
  await withClient(async (supabase) => {
    const { result, jobs } = await runExample(
      `import { createAiJobs } from "edge-ai-jobs";\n${await exampleWith(
        "AGENTS.md",
        "ts",
        "createAiJobs",
      )}`,
      { supabase, file: await recording() },
      ["result", "jobs"],
    );
    assertEquals(typeof voiceIdOf(result), "string");
    assert(jobs instanceof Object);
    await Reflect.get(jobs, "close").call(jobs);
  });
});

liveTest(
  "docs/api.md: the example with only supabase-js clones a voice and reads its timeline",
  async () => {
    const { API_URL, PUBLISHABLE_KEY } = project();
    const { job, voices, timeline, supabase } = await runExample(
      await exampleWith("docs/api.md", "ts", "signUp"),
      {
        url: API_URL,
        publishableKey: PUBLISHABLE_KEY,
        email: `${crypto.randomUUID()}@example.com`,
        password: crypto.randomUUID(),
        file: await recording(),
      },
      ["job", "voices", "timeline", "supabase"],
    );
    assert(job instanceof Object && supabase instanceof Object);
    assertEquals(typeof voiceIdOf(Reflect.get(job, "result_data")), "string");
    assert(Array.isArray(voices) && Array.isArray(timeline));
    assertEquals(voices.length, 1);
    assertEquals(timeline.at(0).event, "created");
    assertEquals(timeline.at(-1).event, "completed");
    await Reflect.get(supabase, "auth").signOut();
  },
);

liveTest("docs/api.md: the example with curl clones a voice", async () => {
  const dir = await Deno.makeTempDir({ prefix: "curl-" });
  const { API_URL, PUBLISHABLE_KEY } = project();
  // An ephemeral stack has no seed data.
  await withClient(async ({ auth }) => {
    const anna = { email: "anna@example.com", password: "family-album" };
    const { error } = await auth.signUp(anna);
    assertEquals(error, null);
  });
  await Deno.writeTextFile(
    join(dir, ".env.local"),
    `API_URL=${API_URL}\nPUBLISHABLE_KEY=${PUBLISHABLE_KEY}\n`,
  );
  await Deno.writeFile(
    join(dir, "grandma.mp3"),
    await readRecording(RECORDING),
  );
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-e", "-c", await exampleWith("docs/api.md", "sh", "grandma.mp3")],
    cwd: dir,
    stdin: "null",
  }).output();
  const printed = new TextDecoder().decode(stdout);
  assertEquals(code, 0, printed + new TextDecoder().decode(stderr));
  assertMatch(printed.trimEnd(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  await Deno.remove(dir, { recursive: true });
});

liveTest(
  "docs/client.md: the React example clones a voice on a click and shows its name",
  async () => {
    await withClient(async (supabase) => {
      const jobs = createAiJobs(supabase);
      const { input_url } = await jobs.upload(await recording(), {
        bucket: "voice-samples",
      });
      const CloneButton = await loadComponent(
        await exampleWith("docs/client.md", "tsx", "function CloneButton"),
        "CloneButton",
        { jobs },
      );
      await using page = await showPage(
        createElement(CloneButton, { input_url }),
      );
      await clickOn("button");
      await page.until(
        "the voice's name",
        () => page.text().includes("Cloned Voice"),
      ).catch(async (cause) => {
        // Whether the job or the page is late.
        const page = await jobs.list();
        const states = page.jobs.map(({ status, stage }) => [status, stage]);
        throw new Error(`the jobs are ${JSON.stringify(states)}`, { cause });
      });
      await page.unmount();
      await jobs.close();
    });
  },
);
