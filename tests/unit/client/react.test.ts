/// <reference path="../../../dev/types/react.d.ts" />
/** The hooks with React itself: what a component shows for each response, and when it stops polling. */
import { assert, assertEquals } from "@std/assert";
import { createElement, type ReactNode } from "react";
import {
  isAiJobsError,
  type Job,
  type JobType,
  NetworkError,
  NotSignedIn,
} from "../../../client/mod.ts";
import {
  type AiJobState,
  type ListedJobs,
  type UseAiJob,
  useAiJob,
  type UseAiJobs,
  useAiJobs,
  type UseCreateAiJob,
  useCreateAiJob,
} from "../../../client/react.ts";
import { jobStores } from "../../../client/job-store.ts";
import { FakeProject, tokenOf } from "../../_support/fake-project.ts";
import { becomeVisible, showPage } from "../../_support/react-page.ts";

/** React's scheduler keeps a port open, and a store stays for a second after its last component: no leak sanitizers. */
function pageTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

/** A component with one job, and the state that it showed last. */
function jobView<T extends JobType = "voice_clone">(project: FakeProject) {
  const renders: AiJobState[] = [];
  let last: UseAiJob<T> | undefined;
  function View({ id }: { id: string | null }): ReactNode {
    last = useAiJob<T>(project.jobs, id);
    renders.push(last);
    return `${last.job?.status} ${last.job?.progress_percentage}`;
  }
  return {
    of: (id: string | null) => createElement(View, { id }),
    renders,
    now(): UseAiJob<T> {
      if (last === undefined) throw new Error("not rendered");
      return last;
    },
  };
}

pageTest(
  "useAiJob: shows the job, its progress and its typed result",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    assertEquals(view.renders[0]?.job, null);
    await page.until("the job", () => view.now().job?.status === "pending");
    project.write(id, "progress", {
      status: "processing",
      progress_percentage: 40,
      stage: "cloning",
    });
    await page.until(
      "its progress",
      () => view.now().job?.progress_percentage === 40,
    );
    assertEquals([view.now().job?.stage, view.now().connection], [
      "cloning",
      "polling",
    ]);
    project.complete(id);
    await page.until("the result", () => view.now().job?.result !== null);
    assertEquals(view.now().job?.result?.voice_name, "Grandma");
    assertEquals(view.now().events.map(({ seq }) => seq), [1, 2, 3]);
    assertEquals(view.now().error, null);
  },
);

pageTest(
  "useAiJob: progress never decreases to the value of an older event",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    for (const progress_percentage of [10, 20, 90]) {
      project.write(id, "progress", {
        status: "processing",
        progress_percentage,
      });
    }
    // The first events arrive alone, and the others long after them.
    const rest = Promise.withResolvers<Response>();
    const all: unknown[] = await (await project.send(
      `/rest/v1/ai_job_events?job_id=eq.${id}`,
    )).json();
    project.intercept = (path) =>
      path.includes("seq=gt.0")
        ? Response.json(all.slice(0, 2))
        : path.includes("seq=gt.2")
        ? rest.promise
        : undefined;
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    await page.until("the first events", () => view.now().events.length === 2);
    await page.until("the job", () => view.now().job !== null);
    rest.resolve(Response.json(all.slice(2)));
    await page.until("all events", () => view.now().events.length === 4);
    const shown = view.renders.flatMap(({ job }) =>
      job?.progress_percentage ?? []
    );
    assertEquals([...new Set(shown)], [90]);
  },
);

pageTest(
  "useAiJob: StrictMode and two components follow a job once",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    const one = jobView(project);
    const two = jobView(project);
    await using page = await showPage(
      createElement("div", null, one.of(id), two.of(id)),
      { strict: true },
    );
    await page.until(
      "both",
      () => one.now().job !== null && two.now().job !== null,
    );
    assertEquals(project.count("get-ai-job"), 1);
    assertEquals(project.count("seq=gt.0"), 1);
    assertEquals(one.now().job, two.now().job);
  },
);

pageTest(
  "useAiJob: another job replaces the first, which is no longer read",
  async () => {
    const project = new FakeProject();
    const [first, second] = [project.add(), project.add()];
    const view = jobView(project);
    await using page = await showPage(view.of(first));
    await page.until("the first", () => view.now().job?.id === first);
    await page.show(view.of(second));
    assertEquals(view.now().job?.id, undefined);
    await page.until("the second", () => view.now().job?.id === second);
    const stops = async (id: string) => {
      let before = -1;
      await page.until("quiet", () => {
        const now = project.count(id);
        const polls = project.count(second);
        if (now !== before || polls < quietFrom + 20) {
          if (now !== before) quietFrom = polls;
          before = now;
          return false;
        }
        return true;
      });
    };
    let quietFrom = 0;
    await stops(first);
    await page.show(view.of(null));
    assertEquals(view.now().job, null);
  },
);

pageTest(
  "useAiJob: without an id and on a server nothing is requested; a hydrated page loads the job",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    const view = jobView(project);
    await using idle = await showPage(view.of(null));
    const { renderToString } = await import("react-dom/server");
    const html = renderToString(view.of(id));
    assertEquals(html, "undefined undefined");
    assertEquals(project.requests, []);
    await idle.unmount();
    await using page = await showPage(view.of(id), { html });
    assertEquals(page.problems, []);
    await page.until("the job", () => view.now().job?.id === id);
  },
);

pageTest("useAiJob: an unmounted job is no longer read", async () => {
  const project = new FakeProject();
  const id = project.add();
  const view = jobView(project);
  const page = await showPage(view.of(id));
  await page.until("the job", () => view.now().job !== null);
  await page.unmount();
  // The second for which a store stays, and another one without a request.
  let seen = -1;
  let since = Date.now();
  await page.until("no more requests", () => {
    if (project.requests.length !== seen) {
      seen = project.requests.length;
      since = Date.now();
    }
    return Date.now() - since > 500;
  });
});

pageTest(
  "useAiJob: a job that does not exist is an error, and refresh reads again",
  async () => {
    const project = new FakeProject();
    const id = crypto.randomUUID();
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    await page.until("the error", () => view.now().error !== null);
    const { error } = view.now();
    assert(isAiJobsError(error) && error.code === "not_found");
    project.add(id);
    view.now().refresh();
    await page.until("the job", () => view.now().job?.id === id);
    assertEquals(view.now().error, null);
  },
);

pageTest(
  "useAiJob: reports when the service is unreachable, and continues afterwards",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    await page.until("the job", () => view.now().job !== null);
    project.intercept = (path) =>
      path.includes("ai_job_events")
        ? new Response("{}", { status: 503 })
        : undefined;
    await page.until("offline", () => view.now().connection === "offline");
    project.intercept = () => undefined;
    project.complete(id);
    await page.until("the result", () => view.now().job?.result !== null);
    assertEquals([view.now().connection, view.now().error], ["polling", null]);
  },
);

pageTest(
  "useAiJob: retry follows a failed job again; its refusal is an error in the state, not a rejection",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.write(id, "failed", {
      status: "failed",
      error_code: "provider_unauthorized",
    });
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    await page.until("the failure", () => view.now().job?.status === "failed");
    assertEquals(view.now().error, null);
    project.intercept = (path) =>
      path.includes("retry-ai-job")
        ? Response.json({ code: "conflict" }, { status: 409 })
        : undefined;
    await view.now().retry();
    await page.until("the refusal", () => view.now().error !== null);
    project.intercept = () => undefined;
    await view.now().retry();
    await page.until("pending", () => view.now().job?.status === "pending");
    assertEquals(view.now().error, null);
    await view.now().cancel();
    await page.until("cancelled", () => view.now().job?.status === "cancelled");
  },
);

pageTest(
  "useAiJob: a retry whose response is lost, or that is refused because the job runs, shows that it runs",
  async () => {
    const lost = () => new Response("{}", { status: 503 });
    const conflict = () => Response.json({ code: "conflict" }, { status: 409 });
    for (const answer of [lost, conflict]) {
      const project = new FakeProject();
      const id = project.add();
      project.write(id, "failed", { status: "failed" });
      const view = jobView(project);
      await using page = await showPage(view.of(id));
      await page.until(
        "the failure",
        () => view.now().job?.status === "failed",
      );
      project.intercept = (path) => {
        if (!path.includes("retry-ai-job")) return undefined;
        project.write(id, "retry_requested", { status: "pending" });
        return answer();
      };
      await view.now().retry();
      await page.until("pending", () => view.now().job?.status === "pending");
      assert(view.now().error !== null);
    }
  },
);

pageTest(
  "useAiJob: a retry that ends after the job was unmounted does not follow it again",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.write(id, "failed", { status: "failed" });
    const view = jobView(project);
    const page = await showPage(view.of(id));
    await page.until("the failure", () => view.now().job?.status === "failed");
    const store = jobStores.source(project.jobs, id);
    assert(store.find() !== undefined);
    const answered = Promise.withResolvers<Response>();
    project.intercept = (path) =>
      path.includes("retry-ai-job") ? answered.promise : undefined;
    const retried = view.now().retry();
    await page.unmount();
    await page.until("stopped", () => store.find() === undefined);
    const { length } = project.requests;
    answered.resolve(Response.json({ status: "pending", spend: "none" }));
    await retried;
    // A request would be sent in one of the next turns of the event loop.
    for (let turn = 0; turn < 5; turn++) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    assertEquals(project.requests.length, length);
  },
);

pageTest(
  "useAiJob, useAiJobs: what a job may cost, and that it is stopping, is shown without another read",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    const [list, job] = [listView(project), jobView(project)];
    await using listPage = await showPage(list.of({}));
    await using jobPage = await showPage(job.of(id));
    const both = () => [list.now().jobs[0], job.now().job];
    const all = (holds: (job: Job) => boolean) =>
      both().every((one) => !!one && holds(one));
    await listPage.until("the list", () => all(({ status }) => !!status));
    const reads = project.count("get-ai-job");
    const now = (event: string) =>
      project.write(id, event, { status: "processing" });
    now("submitted");
    await jobPage.until("spend", () => all(({ spend }) => spend === "unknown"));
    now("cancel_requested");
    await jobPage.until(
      "stopping",
      () => all((one) => one.cancel_requested_at !== null),
    );
    assertEquals(project.count("get-ai-job"), reads);
    // Whether another call was paid for is only in the row.
    project.settle(id, "rejected");
    await jobPage.until("none", () => all(({ spend }) => spend === "none"));
  },
);

pageTest(
  "useAiJob: a page that becomes visible again reads what it has missed",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.write(id, "failed", { status: "failed" });
    const view = jobView(project);
    await using page = await showPage(view.of(id));
    await page.until("the failure", () => view.now().job?.status === "failed");
    // The job is retried elsewhere, after its end has ended the watch.
    project.write(id, "retry_requested", { status: "pending" });
    becomeVisible();
    await page.until("pending", () => view.now().job?.status === "pending");
  },
);

/** A component that creates jobs. */
function createView(project: FakeProject) {
  let last: UseCreateAiJob<"voice_clone"> | undefined;
  const creating: boolean[] = [];
  function View(): ReactNode {
    last = useCreateAiJob(project.jobs, "voice_clone");
    creating.push(last.isCreating);
    return last.jobId;
  }
  return {
    node: createElement(View, {}),
    creating,
    now() {
      if (last === undefined) throw new Error("not rendered");
      return last;
    },
  };
}

/** The token of a session whose refresh has failed. */
const API_KEY = "sb_publishable_x";

const input = { input_url: "uploads/a", metadata: { voice_name: "Grandma" } };

pageTest(
  "useCreateAiJob: two clicks create one job, which is followed to its result",
  async () => {
    const project = new FakeProject();
    const view = createView(project);
    await using page = await showPage(view.node, { strict: true });
    const { create } = view.now();
    const clicks = [create(input), create(input)];
    const [one, two] = await Promise.all(clicks);
    assert(one !== undefined && one === two);
    assertEquals(project.count("create-ai-job"), 1);
    await page.until("the job", () => view.now().job?.id === one.id);
    assert(view.creating.includes(true) && view.creating.at(-1) === false);
    project.complete(one.id);
    await page.until("the result", () => view.now().job?.result !== null);
    assertEquals(view.now().job?.result?.voice_name, "Grandma");
    view.now().reset();
    await page.until("reset", () => view.now().jobId === null);
    assertEquals(view.now().create, create);
  },
);

pageTest(
  "useCreateAiJob: a refusal is an error; a lost request is repeated with its key, another has a new key",
  async () => {
    const project = new FakeProject();
    const view = createView(project);
    await using page = await showPage(view.node);
    const answers = [
      Response.json({
        code: "invalid_request",
        errors: [{ field: "input_url", message: "is not yours" }],
      }, { status: 400 }),
    ];
    project.intercept = () => answers.pop();
    assertEquals(await view.now().create(input), undefined);
    await page.until("the error", () => view.now().error !== null);
    const { error } = view.now();
    assert(isAiJobsError(error) && error.name === "RequestInvalid");
    project.intercept = () => undefined;

    let losses = 2;
    const original = project.jobs.create.bind(project.jobs);
    const keys: (string | undefined)[] = [];
    project.jobs.create = async (request, options) => {
      keys.push(options?.idempotencyKey);
      const job = await original(request, options);
      if (losses-- <= 0) return job;
      // The response is lost, then the session has expired.
      throw losses === 1
        ? new NetworkError("lost", { code: "network_error" })
        : new NotSignedIn("expired", { code: "unauthenticated" });
    };
    assertEquals(await view.now().create(input), undefined);
    assertEquals(await view.now().create(input), undefined);
    assert(await view.now().create(input) !== undefined);
    assert(await view.now().create({ ...input, metadata: {} }) !== undefined);
    assertEquals(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 3]);
    await page.until("the job", () => view.now().jobId !== null);
    assertEquals(view.now().error, null);
  },
);

/** A component with a list. */
function listView(project: FakeProject) {
  let first: UseAiJobs | undefined;
  let last: UseAiJobs | undefined;
  function View(wanted: ListedJobs): ReactNode {
    last = useAiJobs(project.jobs, wanted);
    first ??= last;
    return last.jobs.map(({ status }) => status).join();
  }
  return {
    of: (wanted: ListedJobs) => createElement(View, wanted),
    now() {
      if (last === undefined) throw new Error("not rendered");
      return last;
    },
    /** Whether the first render was before the first page. */
    beganLoading: () => first?.isLoading ?? false,
    ids: () => last?.jobs.map(({ id }) => id) ?? [],
  };
}

pageTest(
  "useAiJob, useAiJobs: a refresh of the session that fails changes nothing of what is shown",
  async () => {
    const project = new FakeProject();
    const ids = [project.add(), project.add()].reverse();
    // Too long ago to be reported as a change.
    project.set(ids[1] ?? "", { updated_at: "2026-01-01T00:00:00Z" });
    const [list, job] = [listView(project), jobView(project)];
    const both = (limit: number) =>
      createElement("div", null, list.of({ limit }), job.of(ids[0] ?? ""));
    await using page = await showPage(both(1));
    await page.until("the job", () => job.now().job !== null);
    await page.until("the first page", () => list.ids().length === 1);
    await list.now().loadMore();
    await page.until("both pages", () => list.ids().length === 2);
    for (const token of [API_KEY, tokenOf("ann")]) {
      await project.refresh(token);
      assertEquals(project.jobs.userId, token === API_KEY ? undefined : "ann");
      await page.show(both(1));
      assertEquals([list.ids(), list.now().isLoading], [ids, false]);
      assertEquals(job.now().job?.id, ids[0]);
    }
    assertEquals(project.count("list-ai-jobs"), 2);
  },
);

pageTest(
  "useAiJobs: the next user's list begins empty, also when neither user is known at first",
  async () => {
    for (
      const [anns, bobs] of [
        [tokenOf("ann"), tokenOf("bob")],
        [API_KEY, API_KEY],
      ] as const
    ) {
      const project = new FakeProject();
      await project.refresh(anns);
      assertEquals(project.jobs.userId, anns === API_KEY ? undefined : "ann");
      project.add();
      const seen: string[] = [];
      let list: UseAiJobs | undefined;
      const View = ({ user }: { user: string }): ReactNode => {
        list = useAiJobs(project.jobs);
        seen.push(`${user} ${list.jobs.length}`);
        return null;
      };
      const pageOf = (user: string) =>
        createElement(View, { user, ...{ key: user } });
      await using page = await showPage(pageOf("ann"));
      await page.until("Ann's job", () => seen.includes("ann 1"));
      await project.refresh(bobs);
      project.intercept = (path) =>
        path.includes("list-ai-jobs")
          ? Response.json({ jobs: [], next_cursor: null })
          : path.includes("/rest/v1/")
          ? Response.json([])
          : undefined;
      await page.show(pageOf("bob"));
      await page.until("Bob's list", () => list?.isLoading === false);
      assertEquals(seen.filter((one) => /^bob [^0]/.test(one)), []);
    }
  },
);

pageTest(
  "useAiJobs: new jobs appear at the top, and each shows its progress and result",
  async () => {
    const project = new FakeProject();
    const first = project.add();
    const view = listView(project);
    await using page = await showPage(view.of({}), { strict: true });
    assert(view.beganLoading());
    await page.until("the list", () => view.ids().join() === first);
    const second = project.add();
    await page.until("the new one", () => view.ids().length === 2);
    assertEquals(view.ids(), [second, first]);
    project.write(first, "progress", {
      status: "processing",
      progress_percentage: 30,
    });
    await page.until(
      "progress",
      () => view.now().jobs[1]?.progress_percentage === 30,
    );
    project.complete(second);
    await page.until("the result", () => view.now().jobs[0]?.result !== null);
    assertEquals(project.count("list-ai-jobs"), 1);
  },
);

pageTest(
  "useAiJobs and useAiJob: the place in the queue is updated while the job waits, and removed once it runs",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.set(id, { jobs_ahead: 7 });
    const list = listView(project);
    const job = jobView(project);
    await using listPage = await showPage(list.of({}));
    await using jobPage = await showPage(job.of(id));
    const places = () =>
      [list.now().jobs[0], job.now().job].map((one) => one?.jobs_ahead).join();
    await listPage.until("the place", () => places() === "7,7");
    project.set(id, { jobs_ahead: 3 });
    await jobPage.until("the next place", () => places() === "3,3");
    project.write(id, "claimed", { status: "processing" });
    await listPage.until("none", () => places() === ",");
    assertEquals(job.now().job?.jobs_ahead, null);
  },
);

pageTest(
  "useAiJobs: a new job that is reported before it can be read still appears",
  async () => {
    const project = new FakeProject();
    let isUnseen = true;
    project.intercept = (path) => {
      if (!isUnseen || !path.includes("get-ai-job")) return undefined;
      isUnseen = false;
      return Response.json({ code: "not_found" }, { status: 404 });
    };
    const view = listView(project);
    await using page = await showPage(view.of({}));
    await page.until("the list", () => !view.now().isLoading);
    const id = project.add();
    await page.until("the new one", () => view.ids().join() === id);
    assert(!isUnseen);
  },
);

pageTest(
  "useAiJobs: an action that succeeds does not remove the reason why the list is not followed",
  async () => {
    const project = new FakeProject();
    project.set(project.add(), { updated_at: "2026-01-01T00:00:00Z" });
    project.add();
    const view = listView(project);
    await using page = await showPage(view.of({ limit: 1 }));
    await page.until("the first page", () => view.now().hasMore);
    project.intercept = (path) =>
      path.includes("list-ai-jobs")
        ? Response.json({ code: "unauthenticated" }, { status: 401 })
        : undefined;
    becomeVisible();
    await page.until("the refusal", () => view.now().error !== null);
    project.intercept = () => undefined;
    const { error } = view.now();
    await view.now().loadMore();
    await page.until("the next page", () => !view.now().hasMore);
    assertEquals(view.now().error, error);
  },
);

pageTest(
  "useAiJobs: a list that cannot be read yet has an error until it is read",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.intercept = (path) =>
      path.includes("list-ai-jobs")
        ? Response.json({ code: "service_unavailable" }, { status: 503 })
        : undefined;
    const view = listView(project);
    await using page = await showPage(view.of({}));
    await page.until("the error", () => view.now().error !== null);
    // Its event has come meanwhile.
    await page.until("the job", () => view.ids().join() === id);
    assert(view.now().isLoading);
    project.intercept = () => undefined;
    await page.until("the list", () => !view.now().isLoading);
    assertEquals([view.ids(), view.now().error], [[id], null]);
  },
);

/** Holds the next response of a function. It has the state of the moment at which it was read. */
function hold(project: FakeProject, name: string) {
  const read = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  project.intercept = (path) => {
    if (!path.includes(name)) return undefined;
    project.intercept = () => undefined;
    return (async () => {
      const response = await project.send(path);
      read.resolve();
      await released.promise;
      return response;
    })();
  };
  return { read: read.promise, release: released.resolve };
}

pageTest(
  "useAiJobs: what happens while the list is read again is newer than the list",
  async () => {
    const project = new FakeProject();
    const running = project.add();
    project.write(running, "claimed", { status: "processing" });
    const ending = project.add();
    const view = listView(project);
    await using page = await showPage(view.of({}));
    await page.until("the list", () => view.ids().length === 2);
    const { read, release } = hold(project, "list-ai-jobs");
    becomeVisible();
    await read;
    project.complete(ending);
    project.write(running, "progress", {
      status: "processing",
      progress_percentage: 60,
    });
    const added = project.add();
    const isNewest = () =>
      view.ids().join() === [added, ending, running].join() &&
      view.now().jobs[1]?.result !== null &&
      view.now().jobs[2]?.progress_percentage === 60;
    await page.until("the newest state", isNewest);
    const before = view.now().jobs;
    release();
    await page.until("the list again", () => view.now().jobs !== before);
    assert(isNewest(), JSON.stringify(view.now().jobs));
  },
);

pageTest(
  "useAiJobs: what happens while the next page is read is newer than the page",
  async () => {
    const project = new FakeProject();
    const [old, newest] = [project.add(), project.add()];
    // Too long ago to be reported as a change.
    project.set(old, { updated_at: "2026-01-01T00:00:00Z" });
    const view = listView(project);
    await using page = await showPage(view.of({ limit: 1 }));
    await page.until("the first page", () => view.ids().join() === newest);
    const { read, release } = hold(project, "list-ai-jobs");
    const loading = view.now().loadMore();
    await read;
    project.complete(old);
    await page.until(
      "the result",
      () => view.now().jobs[1]?.status === "completed",
    );
    release();
    await loading;
    await page.until("the end", () => !view.now().hasMore);
    assertEquals(view.now().jobs[1]?.status, "completed");
  },
);

pageTest(
  "useAiJobs: pages are added to the end, and a filter loses what no longer fits",
  async () => {
    const project = new FakeProject();
    const ids = Array.from({ length: 5 }, () => project.add()).reverse();
    const view = listView(project);
    await using page = await showPage(view.of({ status: "pending", limit: 2 }));
    await page.until("the first page", () => view.ids().length >= 2);
    await view.now().loadMore();
    await view.now().loadMore();
    await page.until("all", () => view.ids().length === 5);
    assertEquals(view.ids(), ids);
    await page.until("the end", () => !view.now().hasMore);
    project.complete(ids[1] ?? "");
    await page.until("one less", () => view.ids().length === 4);
    assertEquals(view.ids(), ids.filter((_, index) => index !== 1));
  },
);

pageTest(
  "useAiJobs: a row that changes while it is read is read again, also when the job has not ended",
  async () => {
    const project = new FakeProject();
    const id = project.add();
    project.set(id, { spend: "unknown" });
    const view = listView(project);
    await using page = await showPage(view.of({}));
    await page.until("the list", () => view.ids().join() === id);
    const { read, release } = hold(project, "get-ai-job");
    project.write(id, "unblocked", { status: "pending" });
    await read;
    // That it was not paid for is only in the row.
    project.settle(id, "rejected");
    const job = () => view.now().jobs[0];
    await page.until("the event", () => job()?.status === "processing");
    release();
    await page.until("the row", () => job()?.spend === "none");
  },
);
