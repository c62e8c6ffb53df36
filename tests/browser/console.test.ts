/** The console in a real browser: operators of the stack, and a user whose jobs they look after. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "playwright-core";
import {
  assertAccessible,
  PATIENCE,
  settled,
  shoot,
  signUp,
  speak,
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

/** A new user in the console, with the role that the page's own line grants. */
async function visitAsOperator(options: VisitOptions = {}) {
  const visitor = await visit(site(), options);
  const { page } = visitor;
  await signUp(page);
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByText("The console is for operators").waitFor();
  const line = await page.locator(".empty code").textContent();
  await site().sql(line ?? "");
  await page.getByRole("button", { name: "I have the role now" }).click();
  await page.getByText("Stuck: 0").waitFor();
  return visitor;
}

/** Lets ElevenLabs refuse speeches until `undo` is called. */
async function refuseSpeech() {
  const { simulator } = site();
  await simulator.fail({
    operation: "speech",
    times: null,
    fault: { kind: "status", error: "quota_exceeded" },
  });
  return () => simulator.clearFaults();
}

Deno.test("console: a user without the role sees the gate, and no number", async () => {
  await using visitor = await visit(site());
  const { page } = visitor;
  const email = await signUp(page);
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByText("Your account has no operator role").waitFor();
  await page.getByText(`where email = '${email}'`).waitFor();
  assertEquals(await page.getByText("Waiting").count(), 0);
  await shoot(page, "console-gate");
});

Deno.test("console: the numbers come with a verdict, and a role that is taken back is said in words", async () => {
  await using visitor = await visitAsOperator({
    expected: /Failed to load resource/,
  });
  const { page } = visitor;
  const tiles = page.getByRole("list", { name: "Numbers" }).getByRole(
    "listitem",
  );
  assertEquals(await tiles.count(), 4);
  for (const tile of await tiles.all()) {
    assertMatch(await tile.innerText(), /(Good|Look|Bad)/);
  }
  await site().sql(
    "update auth.users set raw_app_meta_data = raw_app_meta_data - 'role'",
  );
  await page.getByText("not an operator of this project any more").first()
    .waitFor();
});

Deno.test("console: a parked job is found by its marker, and resolved", async () => {
  await using owner = await visit(site());
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  const { simulator, sql } = site();
  await signUp(owner.page);
  await simulator.fail(
    { operation: "speech", fault: { kind: "close_after" } },
    {
      operation: "history.list",
      times: null,
      fault: { kind: "status", error: "needs_authorization" },
    },
  );
  try {
    await speak(owner.page, "Did you hear me?");
    await settled(owner.page, "Did you hear me?", "Failed");
  } finally {
    await simulator.clearFaults();
  }
  const [job] = await sql(
    "select id from public.ai_jobs where error_code = 'outcome_unknown'",
  );
  const needs = page.getByRole("region", { name: "Needs a person" });
  const marker = `job:${job?.["id"]}`;
  await needs.getByText(marker).waitFor();
  await visitor.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await needs.getByRole("button", { name: "Copy the marker" }).click();
  await page.getByText("Copied.").waitFor();
  assertEquals(
    await page.evaluate(() => navigator.clipboard.readText()),
    marker,
  );
  const made = (await simulator.creations()).findLast((one) =>
    one.request.text === "Did you hear me?"
  );
  await needs.getByRole("button", { name: "It was made" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^Its id at/).fill(made?.id ?? "");
  await dialog.getByRole("button", { name: "Use it" }).click();
  await page.getByText("Resolved. The job runs again.").waitFor();
  await settled(owner.page, "Did you hear me?");
  await needs.waitFor({ state: "detached" });
});

Deno.test("console: a paused provider's jobs wait, and run once it is resumed", async () => {
  await using owner = await visit(site());
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  await signUp(owner.page);
  await section(page, "Providers");
  const card = page.getByRole("region", { name: "elevenlabs" });
  await card.getByRole("button", { name: "Pause elevenlabs" }).click();
  await card.locator(".badge", { hasText: "Paused" }).waitFor();
  await speak(owner.page, "Wait for me.");
  await card.getByText("1 job waiting").waitFor(PATIENCE);
  await card.getByRole("button", { name: "Resume elevenlabs" }).click();
  await card.locator(".badge", { hasText: "Working" }).waitFor();
  await settled(owner.page, "Wait for me.");
});

Deno.test("console: failed jobs run again after a count and a price", async () => {
  await using owner = await visit(site());
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  await signUp(owner.page);
  const undo = await refuseSpeech();
  try {
    for (const text of ["One.", "Two."]) {
      await speak(owner.page, text);
      await settled(owner.page, text, "Failed");
    }
  } finally {
    await undo();
  }
  await page.getByRole("row", { name: /provider_quota_exceeded/ })
    .getByRole("button", { name: /^Run again/ }).click(PATIENCE);
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/^2 jobs of 1 user would run again, for about \$/)
    .waitFor();
  await shoot(page, "console-redrive");
  await dialog.getByRole("button", { name: "Run 2 jobs again" }).click();
  await page.getByText("2 jobs will run again.").waitFor();
  for (const text of ["One.", "Two."]) await settled(owner.page, text);
});

Deno.test("console: a search is an address, and a job opens by keyboard with its content hidden", async () => {
  await using owner = await visit(site());
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  const email = await signUp(owner.page);
  await speak(owner.page, "Only for you.");
  await settled(owner.page, "Only for you.");
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
  assertEquals(await dialog.getByText("Only for you.").count(), 0);
  await dialog.getByRole("button", { name: "Show the content" }).click();
  await dialog.getByText("Only for you.").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await section(page, "Log");
  await page.getByText("read payload").first().waitFor();

  await section(page, "Jobs");
  await page.getByLabel("Job", { exact: true }).fill("nonsense");
  await page.getByLabel("Job", { exact: true }).press("Enter");
  await page.getByText("A job's id has 36 characters.").waitFor();
});

Deno.test("console: a budget is set and taken back", async () => {
  await using visitor = await visitAsOperator();
  const { page } = visitor;
  await section(page, "Budgets");
  const row = page.getByRole("row", { name: /^heygen/ });
  for (
    const [typed, shown] of [["12.5", "$12.50"], ["", "no limit"]] as const
  ) {
    await row.getByRole("button", { name: /^Set/ }).click();
    await page.getByLabel("US dollars a month").fill(typed);
    await page.getByRole("button", { name: "Set the budget" }).click();
    await row.getByText(shown).waitFor();
  }
});

Deno.test("console: it reads every five seconds while it is visible, and not while it is hidden", async () => {
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
});

Deno.test({
  name:
    "console: axe finds nothing in light, dark and on a phone, and nothing is wider than the page",
  // @axe-core/playwright leaves a timer of one second behind. This is the last test of the file.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using owner = await visit(site());
    await signUp(owner.page);
    await speak(owner.page, "For the picture.");
    await settled(owner.page, "For the picture.");
    await owner.page.getByRole("link", { name: "Console" }).click();
    await owner.page.getByText("The console is for operators").waitFor();
    await assertAccessible(owner.page);
    const phone = { width: 390, height: 844 };
    for (
      const [name, options] of [
        ["light", { colorScheme: "light" }],
        ["dark", { colorScheme: "dark" }],
        ["phone", { colorScheme: "light", viewport: phone }],
      ] as const
    ) {
      await using visitor = await visitAsOperator({
        ...options,
        reducedMotion: "reduce",
      });
      const { page } = visitor;
      for (const view of ["Activity", "Providers", "Jobs", "Budgets", "Log"]) {
        await section(page, view);
        await page.getByText("Loading …").waitFor({ state: "detached" });
        await assertAccessible(page);
        await shoot(page, `console-${name}-${view.toLowerCase()}`);
        assertEquals(
          await page.evaluate(() =>
            document.documentElement.scrollWidth - innerWidth
          ),
          0,
          `${view} is as wide as the page`,
        );
      }
      await section(page, "Jobs");
      await page.getByRole("button", { name: /^Open job/ }).first().click();
      await page.getByRole("heading", { name: "Timeline" }).waitFor();
      await assertAccessible(page, "dialog");
      await shoot(page, `console-${name}-job`);
    }
  },
});
