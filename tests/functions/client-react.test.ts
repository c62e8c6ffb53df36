/// <reference path="../../dev/types/react.d.ts" />
/** The hooks against the stack: events arrive live, over one channel, only on their owner's page. */
import { assert, assertEquals } from "@std/assert";
import { createElement, type ReactNode } from "react";
import { type AiJobs, createAiJobs } from "../../client/mod.ts";
import {
  type UseAiJob,
  useAiJob,
  type UseAiJobs,
  useAiJobs,
  type UseCreateAiJob,
  useCreateAiJob,
} from "../../client/react.ts";
import { readRecording, signUp } from "../_support/as-user.ts";
import { showPage } from "../_support/react-page.ts";
import { useStack } from "../_support/stack.ts";

const running = useStack();

/** What a page of one user shows: a form, the newest job in full, and all jobs. */
interface Shown {
  form: UseCreateAiJob<"voice_clone">;
  job: UseAiJob<"voice_clone">;
  list: UseAiJobs;
}

function jobsPage(jobs: AiJobs) {
  let shown: Shown | undefined;
  const connections = new Set<string>();
  function View(): ReactNode {
    const form = useCreateAiJob(jobs, "voice_clone");
    const job = useAiJob<"voice_clone">(jobs, form.jobId);
    const list = useAiJobs(jobs);
    shown = { form, job, list };
    connections.add(list.connection);
    return list.jobs.map(({ id, status }) => `${id} ${status}`).join();
  }
  return {
    node: createElement(View, {}),
    connections,
    now(): Shown {
      if (shown === undefined) throw new Error("not rendered");
      return shown;
    },
  };
}

// React's scheduler and supabase-js keep their own ports and timers.
Deno.test({
  name:
    "react: in StrictMode users follow only their jobs, over one channel each, through lost connections",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const stack = running();
    const [ann, bob] = [await signUp(stack), await signUp(stack)];
    const [anns, bobs] = [createAiJobs(ann.client), createAiJobs(bob.client)];
    const [annsPage, bobsPage] = [jobsPage(anns), jobsPage(bobs)];
    await using one = await showPage(annsPage.node, { strict: true });
    await using two = await showPage(bobsPage.node, { strict: true });
    const areLive = () =>
      [annsPage, bobsPage].every((page) =>
        page.now().list.connection === "live"
      );
    await one.until("live", areLive);
    assertEquals(ann.client.getChannels().length, 1);
    assertEquals(bob.client.getChannels().length, 1);

    const { input_url } = await anns.upload(
      new Blob([await readRecording("speech-24s.mp3")], { type: "audio/mpeg" }),
      { bucket: "voice-samples", name: "Grandma.mp3" },
    );
    const created = await annsPage.now().form.create({
      input_url,
      metadata: { voice_name: "Grandma" },
    });
    assert(created !== undefined);
    await one.until(
      "the result",
      () =>
        annsPage.now().job.job?.result !== null &&
        annsPage.now().job.job !== null &&
        annsPage.now().list.jobs[0]?.result !== null,
    );
    const { job, form, list } = annsPage.now();
    assertEquals(job.job?.result?.voice_name, "Grandma");
    assertEquals(form.job, job.job);
    assertEquals(list.jobs.map(({ id }) => id), [created.id]);
    assertEquals(
      job.events.map(({ seq }) => seq),
      job.events.map((_, index) => index + 1),
    );
    assertEquals(bobsPage.now().list.jobs, []);
    assertEquals(ann.client.getChannels().length, 1);

    await stack.ask("/realtime/pause", null);
    await one.until(
      "polling",
      () => annsPage.now().list.connection === "polling",
    );
    await stack.ask("/realtime/resume", null);
    await one.until("live again", areLive);
    assert(!annsPage.connections.has("offline"));

    await one.unmount();
    await two.unmount();
    for (const [jobs, { client }] of [[anns, ann], [bobs, bob]] as const) {
      jobs.close();
      assertEquals(client.getChannels(), []);
      await client.realtime.disconnect();
    }
  },
});

Deno.test({
  name:
    "react: when another user signs in, a new page shows only their jobs, over their own channel",
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const ann = await signUp(running());
    const { client } = ann;
    const jobs = createAiJobs(client);
    const seen: string[] = [];
    let list: UseAiJobs | undefined;
    function View({ user }: { user: string }): ReactNode {
      list = useAiJobs(jobs);
      seen.push(...list.jobs.map(({ id }) => `${user} ${id}`));
      return list.connection;
    }
    const pageOf = (user: string) => createElement(View, { user, key: user });
    const speak = async (text: string) =>
      (await jobs.create({
        job_type: "text_to_speech",
        metadata: { text, voice_id: "21m00Tcm4TlvDq8ikWAM" },
      })).id;
    await using page = await showPage(pageOf("ann"));
    const annsJob = await speak("Only for Ann.");
    await page.until("Ann's job", () => seen.includes(`ann ${annsJob}`));
    await page.until("live", () => list?.connection === "live");

    const { data: { user: bob } } = await client.auth.signUp({
      email: `bob-${crypto.randomUUID()}@example.com`,
      password: crypto.randomUUID(),
    });
    assert(bob !== null);
    assertEquals(jobs.userId, bob.id);
    await page.show(pageOf("bob"));
    await page.until("an empty list", () => list?.isLoading === false);
    await page.until(
      "Bob's channel",
      () =>
        list?.connection === "live" &&
        client.getChannels().map(({ topic }) => topic).join() ===
          `realtime:ai_jobs:${bob.id}`,
    );
    const bobsJob = await speak("Only for Bob.");
    await page.until("Bob's job", () => seen.includes(`bob ${bobsJob}`));
    assertEquals(
      [...new Set(seen)],
      [`ann ${annsJob}`, `bob ${bobsJob}`],
    );
    await page.unmount();
    jobs.close();
    await client.realtime.disconnect();
  },
});
