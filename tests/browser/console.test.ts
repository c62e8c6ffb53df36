/** The console in a real browser: operators, and a user whose jobs they manage. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page, Route } from "playwright-core";
import { walk, walkDialog } from "./_support/keyboard.ts";
import {
  assertAccessibleInAll,
  browserTest,
  cardOf,
  failToSpeak,
  settled,
  signUp,
  speak,
  TIME_LIMIT,
  useSite,
  visit,
  type VisitOptions,
} from "./_support/site.ts";

const site = useSite();

/** Opens a section of the console. */
async function section(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Sections" })
    .getByRole("link", { name }).click();
}

type State = NonNullable<VisitOptions["storageState"]>;
let operator: { grant: string; storageState: State } | undefined;

/**
 * An operator in the console. The first visit gets the role with the statement that the page shows; later visits reuse
 * it.
 */
async function visitAsOperator(options: VisitOptions = {}) {
  if (operator !== undefined) {
    const { grant, storageState } = operator;
    await site().sql(grant);
    const visitor = await visit(site(), {
      path: "/ops",
      ...options,
      storageState,
    });
    await visitor.page.getByText("Stuck: 0").waitFor();
    return visitor;
  }
  const visitor = await visit(site(), options);
  const { page, context } = visitor;
  await signUp(page);
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByText("The console is for operators").waitFor();
  await assertAccessibleInAll(page, "console-gate");
  await walk(page, page.locator("body"));
  const grant = await page.locator(".empty code").textContent() ?? "";
  const refused = page.getByText("This account still has no operator role.");
  await page.getByRole("button", { name: "I have the role now" }).click();
  await refused.waitFor();
  await site().sql(grant);
  await page.getByRole("button", { name: "I have the role now" }).click();
  await page.getByText("Stuck: 0").waitFor();
  assertEquals(await refused.count(), 0);
  operator = { grant, storageState: await context.storageState() };
  return visitor;
}

/** Requests a speech whose response is lost and that no query finds, so that its job is parked. */
async function park(page: Page, text: string): Promise<string> {
  const { simulator, sql } = site();
  await simulator.fail(
    { operation: "speech", fault: { kind: "close_after" } },
    {
      operation: "history.list",
      times: null,
      fault: { kind: "status", error: "needs_authorization" },
    },
  );
  try {
    await speak(page, text);
    await settled(page, text, "Failed");
  } finally {
    await simulator.clearFaults();
  }
  const [job] = await sql(
    `select id from public.ai_jobs where error_code = 'outcome_unknown' and metadata ->> 'text' = '${text}'`,
  );
  return `${job?.["id"]}`;
}

/** Removes the answered jobs from the section of parked ones, which disappears with the last. */
async function hideAnswered(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Hide the answered" }).click();
  await page.getByRole("region", { name: "Needs a person" })
    .waitFor({ state: "detached" });
}

/** Until it is disposed, `handle` decides about the requests of one action; the others reach the project. */
async function onAction(
  page: Page,
  action: string,
  handle: (route: Route) => Promise<unknown>,
): Promise<AsyncDisposable> {
  await page.route(
    "**/functions/v1/ops",
    (route) =>
      route.request().postData()?.includes(`"action":"${action}"`) === true
        ? handle(route)
        : route.fallback(),
  );
  return {
    [Symbol.asyncDispose]: () => page.unrouteAll({ behavior: "ignoreErrors" }),
  };
}

/** The next request of an action. */
function sentOf(page: Page, action: string): Promise<unknown> {
  return page.waitForRequest((request) =>
    request.postData()?.includes(`"action":"${action}"`) === true
  );
}

/** A gate that requests wait at until it is opened. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { isOpen: promise, open: resolve };
}

/** Reads everything in the console again, as when its tab is shown. */
async function readAgain(page: Page): Promise<void> {
  await page.evaluate(() =>
    document.dispatchEvent(new Event("visibilitychange"))
  );
}

/** Resolves when the page has the responses to reads in flight: it sends each of them again only then. */
async function allRead(page: Page, actions: readonly string[]): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const sent = Promise.all(actions.map((action) => sentOf(page, action)));
    await readAgain(page);
    await sent;
  }
}

browserTest(
  "console: a user without the role sees the gate, and no number",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    const email = await signUp(page);
    await page.getByRole("link", { name: "Console" }).click();
    await page.getByText(`${email} does not have the operator role.`)
      .waitFor();
    await page.getByText(`where email = '${email}'`).waitFor();
    assertEquals(await page.getByText("Waiting").count(), 0);
  },
);

browserTest(
  "console: on a stack of this machine, the gate says where its command runs",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await signUp(page);
    await page.route("**/config.json", async (route) => {
      const response = await route.fetch();
      await route.fulfill({
        response,
        json: { ...await response.json(), sqlCommand: "deno task sql" },
      });
    });
    await page.goto(new URL("/ops", site().url).href);
    await page.getByText(
      "Run this in a second terminal, in your clone of edge-ai-jobs:",
    ).waitFor();
    await page.getByText(/^deno task sql "update/).waitFor();
  },
);

browserTest(
  "console: without failures, it says of which range",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await page.route(
      "**/functions/v1/ops",
      (route) =>
        route.request().postData()?.includes('"failures"') === true
          ? route.fulfill({
            headers: { "access-control-allow-origin": "*" },
            json: { failures: [] },
          })
          : route.fallback(),
    );
    for (
      const [range, words] of [
        ["24 hours", "the last 24 hours"],
        ["7 days", "the last 7 days"],
        ["1 hour", "the last hour"],
      ] as const
    ) {
      await page.getByRole("button", { name: range }).click();
      await page.getByText(`No job failed in ${words}.`).waitFor();
    }
  },
);

browserTest(
  "console: the numbers have a verdict, and a revoked role is explained",
  async () => {
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    const tiles = page.getByRole("list", { name: "Numbers" }).getByRole(
      "listitem",
    );
    assertEquals(await tiles.count(), 4);
    const banner = page.locator(".notice", {
      has: page.locator(".verdict"),
    });
    const [icon, line] = await Promise.all(
      [".icon", ".verdict"].map((part) =>
        banner.locator(part).evaluate((element) => {
          const { top, height } = element.getBoundingClientRect();
          const line = parseFloat(getComputedStyle(element).lineHeight);
          return top + (element.matches(".icon") ? height : line) / 2;
        })
      ),
    );
    assertEquals(
      Math.round(icon ?? 0),
      Math.round(line ?? 1),
      "the icon is centred on the first line",
    );
    for (const tile of await tiles.all()) {
      assertMatch(await tile.innerText(), /(Good|Check|Bad)/);
    }
    await site().sql(
      "update auth.users set raw_app_meta_data = raw_app_meta_data - 'role'",
    );
    await page.locator(".empty", {
      hasText: "not an operator of this project any more",
    }).waitFor();
    assertEquals(
      await tiles.count(),
      0,
      "nothing from before stays on the page",
    );
  },
);

browserTest(
  "console: a parked job says what to search for at the provider, and is resolved",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    const { simulator } = site();
    await signUp(owner.page);
    const id = await park(owner.page, "Did you hear me?");
    const needs = page.getByRole("region", { name: "Needs a person" });
    // A speech has no marker at the provider, and neither the card nor the panel offers one.
    await needs.getByText("A speech has no marker.").waitFor(TIME_LIMIT);
    await page.getByText("1 job needs a person").waitFor();
    await needs.getByRole("button", { name: "Open the job" }).click();
    await page.getByRole("dialog").getByText("A speech has no marker.")
      .waitFor();
    assertEquals(await page.getByText(`job:${id}`).count(), 0);
    await assertAccessibleInAll(page, "console-parked-panel", "dialog");
    await page.keyboard.press("Escape");
    // As if it were a voice clone, which has a marker.
    await site().sql(
      `update public.ai_jobs set job_type = 'voice_clone' where id = '${id}'`,
    );
    await visitor.context.grantPermissions([
      "clipboard-read",
      "clipboard-write",
    ]);
    await needs.getByText("The description of the voice ends with:").waitFor();
    await needs.getByRole("button", { name: "Copy the marker" }).click();
    await page.getByText("Copied.").waitFor();
    assertEquals(
      await page.evaluate(() => navigator.clipboard.readText()),
      `job:${id}`,
    );
    await site().sql(
      `update public.ai_jobs set job_type = 'text_to_speech' where id = '${id}'`,
    );
    await needs.getByText("A speech has no marker.").waitFor();
    const made = (await simulator.creations()).findLast((one) =>
      one.request.text === "Did you hear me?"
    );
    await assertAccessibleInAll(page, "console-parked", ".needs");
    await walkDialog(page, needs.getByRole("button", { name: "It was made" }));
    await needs.getByRole("button", { name: "It was made" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(/^Its id at/).fill("nothing-has-this-id");
    await dialog.getByRole("button", { name: "Use it" }).click();
    await dialog.getByText("The AI service has nothing with this id.")
      .waitFor();
    await simulator.fail({
      operation: "history.list",
      times: null,
      fault: { kind: "status", error: "needs_authorization" },
    });
    await dialog.getByRole("button", { name: "Use it" }).click();
    await dialog.getByLabel(/^I have looked myself/).waitFor();
    await assertAccessibleInAll(page, "console-not-checked", "dialog");
    await simulator.clearFaults();
    await dialog.getByLabel(/^Its id at/).fill(made?.id ?? "");
    await dialog.getByRole("button", { name: "Use it" }).click();
    await page.getByText("Resolved. The job is in the queue again.").waitFor();
    await settled(owner.page, "Did you hear me?");
    await hideAnswered(page);
  },
);

browserTest(
  "console: a parked job without an object is sent again after the operator's answer",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await signUp(owner.page);
    await park(owner.page, "Once more, please.");
    const needs = page.getByRole("region", { name: "Needs a person" });
    await needs.getByRole("button", { name: "It was not made" }).click(
      TIME_LIMIT,
    );
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/for about \$.* it is paid for twice/).waitFor();
    await assertAccessibleInAll(page, "console-not-made", "dialog");
    await dialog.getByRole("button", { name: "Run it again" }).click();
    await page.getByText("Resolved. The job is in the queue again.").waitFor();
    await settled(owner.page, "Once more, please.");
    await hideAnswered(page);
  },
);

browserTest(
  "console: a provider that is down is shown, its jobs have a place, and a probe admits one job",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await signUp(owner.page);
    await site().sql(`
    update public.ai_providers
    set breaker_opened_at = now(), breaker_probe_at = now() + interval '1 hour' where provider = 'elevenlabs'`);
    for (const text of ["First.", "Second."]) await speak(owner.page, text);
    await cardOf(owner.page, "First.").getByText("Next in the queue").waitFor();
    await cardOf(owner.page, "Second.").getByText("1 job ahead of yours")
      .waitFor();
    await assertAccessibleInAll(owner.page, "studio-waiting", ".made");
    await section(page, "Providers");
    const card = page.getByRole("region", { name: "ElevenLabs" });
    await card.locator(".badge", { hasText: "Down" }).waitFor();
    await card.getByText("Its jobs wait and do not fail").waitFor();
    await card.getByText("Lets one job try it immediately").waitFor();
    const asOf = page.getByText(/^as of \d/);
    await asOf.nth(1).waitFor();
    assertEquals(await asOf.count(), 2, "the tiles and the cards say of when");
    await page.getByRole("region", { name: "HeyGen" })
      .getByText("Only for a provider that is down.").waitFor();
    await card.getByText("2 jobs waiting").waitFor(TIME_LIMIT);
    await page.getByText("Jobs for ElevenLabs wait until it works again.")
      .first().waitFor();
    await page.getByText("ElevenLabs is down: too many calls failed")
      .waitFor();
    await assertAccessibleInAll(page, "console-down");
    await card.getByRole("button", { name: "Probe ElevenLabs now" }).click();
    await page.getByText("The next job tries ElevenLabs.").waitFor();
    assertEquals(
      await page.locator(".toasts:popover-open").count(),
      1,
      "messages are above an open dialog",
    );
    for (const text of ["First.", "Second."]) await settled(owner.page, text);
    await card.locator(".badge", { hasText: "Working" }).waitFor();
  },
);

browserTest(
  "console: pages of a search, filters and ranges are in the address and survive a reload",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    const email = await signUp(owner.page);
    await site().sql(`
    insert into public.ai_jobs (user_id, job_type, metadata, scheduled_at)
    select u.id, 'text_to_speech', jsonb_build_object('text', 'Later, ' || n, 'voice_id', '21m00Tcm4TlvDq8ikWAM'),
      now() + interval '1 day'
    from auth.users as u, generate_series(1, 30) as n where u.email = '${email}'`);
    await section(page, "Jobs");
    await page.getByLabel("User", { exact: true }).fill(email);
    await page.getByLabel("User", { exact: true }).press("Enter");
    await page.getByLabel("Type").selectOption("text_to_speech");
    const jobs = page.getByRole("region", { name: "Jobs", exact: true })
      .getByRole("button", { name: /^Open job/ });
    const shown = (count: number) => jobs.nth(count - 1).waitFor();
    const older = page.getByRole("button", { name: "Older" });
    await page.waitForURL(/user=.*type=text_to_speech/);
    await shown(25);
    const newest = await jobs.first().getAttribute("aria-label");
    await older.click();
    await page.waitForURL(/cursor=/);
    await page.locator("button:disabled", { hasText: "Older" }).waitFor();
    assertEquals(await jobs.count(), 5);
    await page.reload();
    await shown(5);
    assertEquals(await jobs.count(), 5);
    await page.getByRole("button", { name: "Newest" }).click();
    await shown(25);
    assertEquals(await jobs.first().getAttribute("aria-label"), newest);
    await jobs.first().click();
    await page.getByRole("dialog").waitFor();
    await page.reload();
    await page.getByRole("dialog").getByRole("heading", { name: "Timeline" })
      .waitFor();
    await page.keyboard.press("Escape");
    await page.getByLabel("Status").selectOption("cancelled");
    await page.getByText("No job matches").waitFor();
    await assertAccessibleInAll(page, "console-nothing");

    await section(page, "Activity");
    await page.getByRole("button", { name: "24 hours" }).click();
    await page.waitForURL(/range=24h/);
    await page.reload();
    assertEquals(
      await page.getByRole("button", { name: "24 hours" })
        .getAttribute("aria-pressed"),
      "true",
    );

    await site().sql(
      "delete from public.ai_jobs where metadata ->> 'text' like 'Later, %'",
    );
  },
);

browserTest(
  "console: a paused provider's jobs wait, and run once it is resumed",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await signUp(owner.page);
    await section(page, "Providers");
    const card = page.getByRole("region", { name: "ElevenLabs" });
    await card.getByRole("button", { name: "Pause ElevenLabs" }).click();
    await card.locator(".badge", { hasText: "Paused" }).waitFor();
    await speak(owner.page, "Wait for me.");
    await card.getByText("1 job waiting").waitFor(TIME_LIMIT);
    await card.getByRole("button", { name: "Resume ElevenLabs" }).click();
    await card.locator(".badge", { hasText: "Working" }).waitFor();
    await settled(owner.page, "Wait for me.");
  },
);

browserTest(
  "console: failed jobs run again after a count and a price",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await signUp(owner.page);
    for (const text of ["One.", "Two."]) {
      await failToSpeak(site(), owner.page, text, "quota_exceeded");
    }
    const row = page.getByRole("row", { name: /provider_quota_exceeded/ });
    const again = row.getByRole("button", { name: /^Run again/ });
    // The counters are updated by the next fold.
    await row.getByText("2", { exact: true }).waitFor(TIME_LIMIT);
    await walkDialog(
      page,
      again,
      (dialog) => dialog.getByText(/would run again/).waitFor(),
    );
    await again.click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/^2 jobs of 1 user would run again, for about \$/)
      .waitFor();
    await assertAccessibleInAll(page, "console-redrive", "dialog");
    await dialog.getByRole("button", { name: "Run 2 jobs again" }).click();
    await page.getByText("2 jobs will run again.").waitFor();
    await row.locator("button:disabled", { hasText: "Run again" }).waitFor();
    for (const text of ["One.", "Two."]) await settled(owner.page, text);
  },
);

browserTest(
  "console: an answer is taken back only after a question, and what was said before is gone",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await signUp(owner.page);
    await park(owner.page, "Wait, no.");
    const hold = (paused: string) =>
      site().sql(
        `update public.ai_providers set paused_at = ${paused} where provider = 'elevenlabs'`,
      );
    // The answered job does not run, so that the answer can be taken back.
    await hold("now()");
    try {
      const needs = page.getByRole("region", { name: "Needs a person" });
      await needs.getByRole("button", { name: "Open the job" }).click(
        TIME_LIMIT,
      );
      const panel = page.getByRole("dialog").first();
      const answer = async () => {
        await panel.getByRole("button", { name: "It was not made" }).click();
        await page.getByRole("button", { name: "Run it again" }).click();
        await page.getByText("Resolved. The job is in the queue again.")
          .waitFor();
      };
      await answer();
      const takeBack = panel.getByRole("button", {
        name: "Take the answer back",
      });
      await takeBack.click();
      const question = page.getByRole("dialog", {
        name: "Take the answer back",
      });
      await question.getByText("The outcome of the call is unknown again.")
        .waitFor();
      await assertAccessibleInAll(page, "console-take-back", "dialog");
      await question.getByRole("button", { name: "Cancel" }).click();
      await question.waitFor({ state: "detached" });
      await takeBack.waitFor();
      await takeBack.click();
      await question.getByRole("button", { name: "Take it back" }).click();
      await page.getByText("The answer is taken back. Answer again.").waitFor();
      assertEquals(
        await page.getByText("Resolved. The job is in the queue again.")
          .count(),
        0,
        "the message of the answer is gone",
      );
      await answer();
    } finally {
      await hold("null");
    }
    await settled(owner.page, "Wait, no.");
  },
);

/** Longer than a line of the panel. */
const LONG = `Only for you: ${"a very long sentence, ".repeat(2)}the end.`;

browserTest(
  "console: a search is in the address, and a job opens by keyboard with its content hidden",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    const email = await signUp(owner.page);
    await speak(owner.page, LONG);
    await settled(owner.page, LONG);
    await section(page, "Jobs");
    await page.getByLabel("User", { exact: true }).fill(email);
    await page.getByLabel("User", { exact: true }).press("Enter");
    await page.getByLabel("Status").selectOption("completed");
    await page.waitForURL(/user=.*status=completed/);
    await page.reload();
    assertEquals(
      await page.getByLabel("User", { exact: true }).inputValue(),
      email,
    );
    const jobs = page.getByRole("button", { name: /^Open job/ });
    await jobs.first().waitFor();
    assertEquals(await jobs.count(), 1);
    await jobs.focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Sent to the AI service").waitFor();
    await dialog.getByText("succeeded").waitFor();
    assertEquals(await dialog.getByText(LONG).count(), 0);
    await dialog.getByRole("button", { name: "Show the content" }).click();
    await dialog.getByText(LONG).waitFor();
    assertEquals(
      await dialog.getByLabel("Content").evaluate((element) =>
        element.scrollWidth - element.clientWidth
      ),
      0,
      "long lines wrap",
    );
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await section(page, "Log");
    await page.getByText("read payload").first().waitFor();

    await section(page, "Jobs");
    await page.getByLabel("Job", { exact: true }).fill("nonsense");
    await page.getByLabel("Job", { exact: true }).press("Enter");
    await page.getByText("Paste the whole id: 36 characters.").waitFor();
  },
);

browserTest("console: a budget is set and removed", async () => {
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  await section(page, "Budgets");
  const row = page.getByRole("row", { name: /^HeyGen/ });
  await walkDialog(page, row.getByRole("button", { name: /^Set/ }));
  for (
    const [typed, shown] of [["12.5", "$12.50"], ["", "no limit"]] as const
  ) {
    await row.getByRole("button", { name: /^Set/ }).click();
    await page.getByLabel("US dollars a month").fill(typed);
    await page.getByRole("button", { name: "Set the budget" }).click();
    await row.getByText(shown).waitFor();
  }
});

browserTest(
  "console: it reads every five seconds while it is visible, and not while it is hidden",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    let reads = 0;
    page.on("request", (request) => {
      if (request.postData()?.includes('"overview"') === true) reads++;
    });
    const show = (isHidden: boolean) =>
      page.evaluate((isHidden) => {
        Object.defineProperty(document, "hidden", {
          configurable: true,
          get: () => isHidden,
        });
        document.dispatchEvent(new Event("visibilitychange"));
      }, isHidden);
    await page.clock.install();
    // Only timers that the page sets after this follow the clock.
    await page.reload();
    await page.getByText("Stuck: 0").waitFor();
    await show(true);
    const before = reads;
    await page.clock.runFor(60_000);
    assertEquals(reads, before);
    await show(false);
    const next = page.waitForRequest((request) =>
      request.postData()?.includes('"overview"') === true
    );
    await page.clock.runFor(5_001);
    await next;
    assert(reads > before);
  },
);

browserTest(
  "console: a lost connection is reported once, above the earlier data",
  async () => {
    await using visitor = await visitAsOperator({
      expected: /ERR_INTERNET_DISCONNECTED|Failed to load resource/,
    });
    const { page, context } = visitor;
    await page.getByRole("heading", { name: "Failures by code" }).waitFor();
    await page.waitForFunction(() =>
      document.querySelector(".board .ghost") === null
    );
    await context.setOffline(true);
    const report = page.getByText("There is no connection to the service.");
    await report.waitFor();
    // By the next round every section has tried again.
    await page.waitForRequest((request) =>
      request.postData()?.includes('"overview"') === true
    );
    await report.first().waitFor();
    assertEquals(await report.count(), 1);
    await assertAccessibleInAll(page, "console-offline");
    await context.setOffline(false);
    await report.waitFor({ state: "detached" });
  },
);

browserTest(
  "console: axe finds nothing in light, dark and on a phone, and Tab reaches every control",
  async () => {
    await using owner = await visit(site());
    await signUp(owner.page);
    await speak(owner.page, "For the picture.");
    await settled(owner.page, "For the picture.");
    await owner.page.getByRole("link", { name: "Console" }).click();
    await owner.page.getByText("The console is for operators").waitFor();
    await assertAccessibleInAll(owner.page, "console-refused");
    await using visitor = await visitAsOperator({ reducedMotion: "reduce" });
    const { page } = visitor;
    for (const view of ["Activity", "Providers", "Jobs", "Budgets", "Log"]) {
      await section(page, view);
      await page.getByText("Loading …").waitFor({ state: "detached" });
      await assertAccessibleInAll(page, `console-${view.toLowerCase()}`);
      await walk(
        page,
        page.locator(view === "Activity" ? "body" : ".board"),
      );
    }
    await section(page, "Jobs");
    const job = page.getByRole("button", { name: /^Open job/ }).first();
    await walkDialog(
      page,
      job,
      (dialog) => dialog.getByRole("heading", { name: "Timeline" }).waitFor(),
    );
    await job.click();
    await page.getByRole("heading", { name: "Timeline" }).waitFor();
    await page.getByRole("button", { name: "Show the content" }).click();
    await page.getByText("For the picture.").waitFor();
    await assertAccessibleInAll(page, "console-job", "dialog");
  },
);

browserTest(
  "console: a retry whose response is lost is sent once, and its outcome is not known",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    await signUp(owner.page);
    await failToSpeak(site(), owner.page, "Only once.", "quota_exceeded");
    const [job] = await site().sql(
      "select id from public.ai_jobs where metadata ->> 'text' = 'Only once.'",
    );
    let sent = 0;
    await using _retry = await onAction(page, "retry", async (route) => {
      sent++;
      await route.fetch();
      await route.abort();
    });
    await page.goto(new URL(`/ops?job=${job?.["id"]}`, site().url).href);
    const panel = page.getByRole("dialog");
    await panel.locator(".badge", { hasText: "Failed" }).waitFor();
    await panel.getByRole("button", { name: "Run again" }).click();
    await page.getByText("it is not known whether this was done").waitFor();
    // The state that was read after it.
    await panel.locator(".badge", { hasText: /Waiting|Working|Ready/ })
      .waitFor();
    await settled(owner.page, "Only once.");
    assertEquals(sent, 1);
  },
);

browserTest(
  "console: a button that acts is busy until the state after its action is shown",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    const reads = gate();
    let sent = 0;
    await using _pause = await onAction(page, "pause", (route) => {
      sent++;
      return route.fallback();
    });
    await using _providers = await onAction(
      page,
      "providers",
      async (route) => {
        if (sent > 0) await reads.isOpen;
        await route.fallback();
      },
    );
    await section(page, "Providers");
    const button = page.getByRole("button", { name: /^(Pause|Resume) HeyGen/ });
    try {
      await button.click();
      await page.getByText("HeyGen is paused.").waitFor();
      assertEquals(await button.getAttribute("aria-busy"), "true");
      await button.dispatchEvent("click");
      reads.open();
      await page.locator("button[aria-busy=false]", { hasText: "Resume" })
        .waitFor();
      assertEquals(sent, 1);
      await button.click();
      await page.locator("button[aria-busy=false][title='Pause HeyGen']")
        .waitFor();
    } finally {
      reads.open();
      await site().sql("update public.ai_providers set paused_at = null");
    }
  },
);

browserTest(
  "console: a read that began before an action does not delay the state after it",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await section(page, "Providers");
    const card = page.getByRole("region", { name: "HeyGen" });
    await card.locator(".badge", { hasText: "Working" }).waitFor();
    const early = gate(), answered = gate();
    let reads = 0;
    await using _providers = await onAction(
      page,
      "providers",
      async (route) => {
        if (++reads > 1) return await route.fallback();
        const response = await route.fetch();
        answered.open();
        await early.isOpen;
        await route.fulfill({ response });
      },
    );
    try {
      await readAgain(page);
      await answered.isOpen;
      await card.getByRole("button", { name: "Pause HeyGen" }).click();
      await card.locator(".badge", { hasText: "Paused" }).waitFor();
    } finally {
      early.open();
      await site().sql("update public.ai_providers set paused_at = null");
    }
  },
);

browserTest(
  "console: an answered job keeps its place, and a dialog that is open names its job and stays",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    await signUp(owner.page);
    const first = await park(owner.page, "The first.");
    const second = await park(owner.page, "The second.");
    const needs = page.getByRole("region", { name: "Needs a person" });
    const itemOf = (id: string) =>
      needs.locator("li.parked", {
        has: page.locator(`[aria-label="Open job ${id}"]`),
      });
    const button = itemOf(second).getByRole("button", {
      name: "It was not made",
    });
    const place = async () => {
      const [inside, around] = [
        await button.boundingBox(),
        await needs.boundingBox(),
      ];
      return [inside?.x, (inside?.y ?? 0) - (around?.y ?? 0)];
    };
    const answerElsewhere = async (id: string) => {
      await site().sql(
        `select public.resolve_unknown_ai_job('${id}', false)`,
      );
      await itemOf(id).getByText("Answered").waitFor();
    };
    await button.waitFor(TIME_LIMIT);
    const before = await place();
    await answerElsewhere(first);
    assertEquals(await place(), before);
    await assertAccessibleInAll(page, "console-answered", ".needs");
    await button.click();
    const dialog = page.getByRole("dialog", {
      name: `Speech …${second.slice(-8)}: it was not made`,
    });
    await dialog.waitFor();
    await answerElsewhere(second);
    await dialog.getByText("This call was answered meanwhile.").waitFor();
    const [call] = await site().sql(
      `select id from public.ai_provider_calls where job_id = '${second}' order by sent_at limit 1`,
    );
    const [request] = await Promise.all([
      page.waitForRequest((one) =>
        one.url().endsWith("/ops") && one.postDataJSON()?.action === "resolve"
      ),
      dialog.getByRole("button", { name: "Run it again" }).click(),
    ]);
    assertEquals(request.postDataJSON().call_id, call?.["id"]);
    await dialog.getByText("Another operator has already resolved this.")
      .waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await hideAnswered(page);
    for (const text of ["The first.", "The second."]) {
      await settled(owner.page, text);
    }
  },
);

browserTest(
  "console: an answer that is refused after its dialog was closed is reported",
  async () => {
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    const now = new Date().toISOString();
    const id = crypto.randomUUID();
    await using _overview = await onAction(page, "overview", async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      json.parked.value = 1;
      await route.fulfill({ response, json });
    });
    await using _parked = await onAction(
      page,
      "parked",
      (route) =>
        route.fulfill({
          headers: { "access-control-allow-origin": "*" },
          json: {
            jobs: [{
              job_id: id,
              user_id: id,
              job_type: "text_to_speech",
              provider: "elevenlabs",
              marker: `job:${id}`,
              error_message: null,
              parked_at: now,
              calls: [{
                call_id: id,
                operation: "speech",
                http_status: null,
                estimated_cost_micros: 1,
                sent_at: now,
                unknown_since: now,
              }],
            }],
          },
        }),
    );
    const answers = gate();
    const sent = sentOf(page, "resolve");
    await using _resolve = await onAction(page, "resolve", async (route) => {
      await answers.isOpen;
      await route.fallback();
    });
    await page.getByRole("button", { name: "It was not made" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Run it again" }).click();
    await sent;
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    answers.open();
    await page.getByRole("status")
      .getByText("Another operator has already resolved this.").waitFor();
  },
);

browserTest(
  "console: a dialog that is closed while it sends does not close the next one",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    await section(page, "Budgets");
    const budgets = gate();
    let sent = 0;
    await using _budget = await onAction(page, "set_budget", async (route) => {
      sent++;
      await budgets.isOpen;
      await route.fallback();
    });
    const open = (provider: string) =>
      page.getByRole("row", { name: new RegExp(`^${provider}`) })
        .getByRole("button", { name: /^Set/ }).click();
    const dialogOf = (provider: string) =>
      page.getByRole("dialog", { name: `Budget of ${provider}` });
    await open("HeyGen");
    const input = dialogOf("HeyGen").getByLabel("US dollars a month");
    await input.fill("");
    await input.press("Enter");
    await dialogOf("HeyGen").locator("button:disabled", {
      hasText: "Set the budget",
    }).waitFor();
    await input.press("Enter");
    await page.keyboard.press("Escape");
    await dialogOf("HeyGen").waitFor({ state: "detached" });
    await open("D-ID");
    await dialogOf("D-ID").waitFor();
    budgets.open();
    await page.getByText("The budget of HeyGen is no limit.").waitFor();
    await allRead(page, ["overview", "budgets"]);
    assertEquals(await dialogOf("D-ID").count(), 1);
    assertEquals(sent, 1);
  },
);

browserTest(
  "console: a run of failed jobs is reported after its dialog was closed, and changes no other one",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    const headers = { "access-control-allow-origin": "*" };
    const now = new Date().toISOString();
    await using _failures = await onAction(
      page,
      "failures",
      (route) =>
        route.fulfill({
          headers,
          json: {
            failures: ["provider_timeout", "job_expired"].map((error_code) => ({
              error_code,
              job_type: "text_to_speech",
              provider: "elevenlabs",
              count: 1,
              first_at: now,
              last_at: now,
              sample_job_id: null,
              sample_message: null,
            })),
          },
        }),
    );
    await using _preview = await onAction(
      page,
      "preview_redrive",
      (route) =>
        route.fulfill({
          headers,
          json: {
            count: 1,
            user_count: 1,
            price_micros: 1,
            without_estimate: 0,
            left_out: {
              spend_unknown: 0,
              dependency_failed: 0,
              tried_too_often: 0,
            },
          },
        }),
    );
    const runs = gate();
    await using _redrive = await onAction(page, "redrive", async (route) => {
      await runs.isOpen;
      await route.fulfill({
        headers,
        json: { retried: 1, refused: 0, remaining: 0 },
      });
    });
    const openerOf = (code: string) =>
      page.getByRole("row", { name: new RegExp(code) }).locator("button", {
        hasText: "Run again",
      });
    const dialog = page.getByRole("dialog");
    const sent = sentOf(page, "redrive");
    await openerOf("provider_timeout").click();
    await dialog.getByRole("button", { name: "Run 1 job again" }).click();
    await sent;
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await openerOf("job_expired").click();
    await dialog.getByText("job_expired").waitFor();
    runs.open();
    await page.getByText("1 job will run again.").waitFor();
    await page.locator("tr", { hasText: "provider_timeout" })
      .locator("button:disabled").waitFor();
    await allRead(page, ["overview", "charts", "failures"]);
    assertEquals(await dialog.getByText("job_expired").count(), 1);
    assertEquals(
      await page.locator("tr", { hasText: "job_expired" })
        .locator("button:disabled").count(),
      0,
    );
  },
);

browserTest(
  "console: the question about an answer stays when it cannot be taken back any more, and says so",
  async () => {
    await using visitor = await visitAsOperator({
      expected: /Failed to load resource/,
    });
    const { page } = visitor;
    let isRevocable = true;
    await using _job = await onAction(page, "job", async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      json.job.is_answer_revocable = isRevocable;
      await route.fulfill({ response, json });
    });
    await section(page, "Jobs");
    await page.getByRole("button", { name: /^Open job/ }).first().click();
    const opener = page.locator("button", { hasText: "Take the answer back" });
    await opener.click();
    isRevocable = false;
    await readAgain(page);
    await opener.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Take it back" }).click();
    await page.getByText("The answer cannot be taken back any more.").waitFor();
  },
);

browserTest(
  "console: the jobs of a user are paused and resumed in a dialog that names the user",
  async () => {
    await using owner = await visit(site());
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    const email = await signUp(owner.page);
    await speak(owner.page, "Paid for.");
    await settled(owner.page, "Paid for.");
    await section(page, "Budgets");
    const row = page.getByRole("row", { name: email });
    for (
      const [word, next, outcome] of [
        ["Pause", "Resume", "wait until you resume them"],
        ["Resume", "Pause", "run again"],
      ] as const
    ) {
      await row.getByRole("button", { name: `${word} …` }).click(TIME_LIMIT);
      const dialog = page.getByRole("dialog", {
        name: `${word} the jobs of ${email}`,
      });
      await assertAccessibleInAll(page, `console-${word}`, "dialog");
      await dialog.getByRole("button", { name: word, exact: true }).click();
      await page.getByText(`The jobs of ${email} ${outcome}.`).waitFor();
      await row.getByRole("button", { name: `${next} …` }).waitFor();
    }
  },
);

browserTest(
  "console: “Run again” never stands where “Cancel the job” was",
  async () => {
    await using visitor = await visitAsOperator();
    const { page } = visitor;
    let status = "processing";
    await using _job = await onAction(page, "job", async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      await route.fulfill({
        response,
        json: { ...json, job: { ...json.job, status } },
      });
    });
    await section(page, "Jobs");
    await page.getByRole("button", { name: /^Open job/ }).first().click();
    const panel = page.getByRole("dialog");
    const cancel = panel.getByRole("button", { name: "Cancel the job" });
    const again = panel.getByRole("button", { name: "Run again" });
    await cancel.waitFor();
    const x = async () => [
      (await cancel.boundingBox())?.x,
      (await again.boundingBox())?.x,
    ];
    const before = await x();
    assert(await cancel.isEnabled() && await again.isDisabled());
    status = "failed";
    await readAgain(page);
    await panel.locator(".badge", { hasText: "Failed" }).waitFor();
    assert(await again.isEnabled() && await cancel.isDisabled());
    assertEquals(await x(), before);
  },
);

for (const status of [503, 429]) {
  browserTest(
    `console: when a ${status} leaves the role unknown, the gate does not say that it is missing`,
    async () => {
      await using visitor = await visit(site(), {
        expected: /Failed to load resource/,
      });
      const { page } = visitor;
      await signUp(page);
      await page.getByRole("link", { name: "Console" }).click();
      await page.clock.install();
      await page.route(
        "**/auth/v1/token?grant_type=refresh_token",
        (route) =>
          route.fulfill({
            status,
            headers: { "access-control-allow-origin": "*" },
            json: {},
          }),
      );
      const refused = page.waitForResponse(/grant_type=refresh_token/);
      await page.getByRole("button", { name: "I have the role now" }).click();
      await refused;
      // supabase-js repeats it for half a minute.
      await page.clock.fastForward(60_000);
      await page.getByText("The role could not be checked").waitFor();
      assertEquals(
        await page.getByText("still has no operator role").count(),
        0,
      );
    },
  );
}
