/** The page as `deno task start` serves it, and visitors with their own browser profiles. */
import { assertEquals } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import postgres from "postgres";
import { AxeBuilder } from "@axe-core/playwright";
import { startChromium } from "../../_support/chromium.ts";
import {
  type SimulatorControl,
  simulatorControl,
} from "../../_support/simulator-control.ts";

const repository = fromFileUrl(new URL("../../../", import.meta.url));
const fixtures = join(repository, "tests", "fixtures");

/** The folder for screenshots. Without it there are none: no test reads them, and each takes half a second. */
const SHOTS = Deno.env.get("BROWSER_SCREENSHOTS") ?? "";

/** Time limit for a simulated job. It limits only a failing run, so it also fits a busy machine. */
export const TIME_LIMIT = { timeout: 120_000 };

/** A file of tests/fixtures. */
export function fixture(path: string): string {
  return join(fixtures, path);
}

/** A photo of the seed's family. */
export function photo(name: string): string {
  return join(repository, "dev", "seed", "media", `attersee-${name}.jpg`);
}

/**
 * A test without the leak sanitizers: Playwright keeps timers of its connection to the browser, which end with it.
 * {@link visit} closes what a test opens, and {@link useSite} the browser.
 */
export function browserTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

/** A stack with its page, and one browser. */
export interface Site {
  url: string;
  apiUrl: string;
  simulator: SimulatorControl;
  /** Runs a statement as the owner of the database, as in the SQL editor. */
  sql(statement: string): Promise<readonly Record<string, unknown>[]>;
  browser: Browser;
}

/** Options of a visitor's browser. */
export interface VisitOptions {
  colorScheme?: "light" | "dark";
  viewport?: { width: number; height: number };
  /** Without it, `reduce`. */
  reducedMotion?: "reduce" | "no-preference";
  /** Runs in every page before its own scripts. */
  initScript?: string;
  /** Messages of the browser's console that the test expects. */
  expected?: RegExp;
  path?: string;
  /** The stored state of an earlier visit, such as its session. */
  storageState?: Awaited<ReturnType<BrowserContext["storageState"]>>;
}

/** One browser profile. Disposing fails the test on an error of the console or a request to a third origin. */
export interface Visit extends AsyncDisposable {
  page: Page;
  context: BrowserContext;
  /** Opens another tab. */
  openTab(path?: string): Promise<Page>;
}

async function startSite(): Promise<Site & AsyncDisposable> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["task", "--quiet", "start"],
      ...["--ephemeral", "--seed", "--boot-on-demand"],
    ],
    cwd: repository,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let text = "";
  const reader = process.stdout.pipeThrough(new TextDecoderStream())
    .getReader();
  const read = async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      if (/Ctrl-C stops it/.test(text)) return;
    }
  };
  const [browser] = await Promise.all([
    startChromium(fixture("recordings/speech-12s.wav")),
    read(),
  ]);
  const of = (name: string) => {
    const value = new RegExp(`^ +${name} +(\\S+)`, "m").exec(text)?.[1];
    if (value === undefined) {
      throw new Error(`deno task start printed no ${name}:\n${text}`);
    }
    return value;
  };
  return {
    url: of("Open"),
    apiUrl: of("API URL"),
    simulator: simulatorControl(of("Simulators")),
    async sql(statement) {
      const database = postgres(of("Database URL"), { max: 1 });
      try {
        return await database.unsafe(statement);
      } finally {
        await database.end();
      }
    },
    browser,
    async [Symbol.asyncDispose]() {
      await browser.close();
      process.kill("SIGINT");
      await reader.cancel();
      const { code } = await process.status;
      assertEquals(code, 0, "deno task start exits with code 0");
    },
  };
}

/** Starts the site before the first test of the calling file, and ends it after the last. */
export function useSite(): () => Site {
  let site: (Site & AsyncDisposable) | undefined;
  Deno.test.beforeAll(async () => {
    site = await startSite();
  });
  Deno.test.afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
  });
  return () => {
    if (site === undefined) throw new Error("the site is not started");
    return site;
  };
}

/** Opens the page in a fresh profile. */
export async function visit(
  { url, apiUrl, browser }: Site,
  options: VisitOptions = {},
): Promise<Visit> {
  const { initScript, expected, path = "/", ...rest } = options;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    permissions: ["microphone"],
    // Without a graphics card, the processor draws every frame of a spinner.
    reducedMotion: "reduce",
    ...rest,
  });
  context.setDefaultTimeout(60_000);
  if (initScript !== undefined) await context.addInitScript(initScript);
  const problems: string[] = [];
  const origins = [url, apiUrl].map((one) => new URL(one).host);
  context.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    const isOwn = origins.includes(host) ||
      // URLs that the page creates, or of the browser's PDF viewer.
      /^(blob|data|chrome|chrome-extension):$/.test(protocol);
    if (!isOwn) problems.push(`request to ${request.url()}`);
  });
  // Realtime may report a new job before other connections see it: a 404 until the page reads it again.
  const unread = new Set<string>();
  context.on("response", (response) => {
    const { pathname, search } = new URL(response.url());
    if (!pathname.endsWith("/get-ai-job")) return;
    if (response.status() === 404) unread.add(search);
    else if (response.ok()) unread.delete(search);
  });
  const open = async (to: string) => {
    const page = await context.newPage();
    page.on(
      "pageerror",
      (error) => problems.push(error.stack ?? error.message),
    );
    page.on("console", (message) => {
      const text = message.text();
      const isWrong = message.type() === "error" ||
        message.type() === "warning";
      // A page that opens the console immediately aborts the connection that the studio was opening.
      const hasLeft = text.includes("closed before the connection is");
      const isAhead = text.includes("404") &&
        message.location().url.includes("/get-ai-job?");
      if (isWrong && !isAhead && !hasLeft && expected?.test(text) !== true) {
        problems.push(
          `${message.type()} ${text} ${JSON.stringify(message.location())}`,
        );
      }
    });
    await page.goto(new URL(to, url).href);
    return page;
  };
  return {
    context,
    page: await open(path),
    openTab: (to = "/") => open(to),
    async [Symbol.asyncDispose]() {
      await context.close();
      assertEquals(problems, []);
      assertEquals([...unread], [], "jobs that the page could not read");
    },
  };
}

/** Creates an account in the page, and resolves with its email once the studio is there. */
export async function signUp(page: Page): Promise<string> {
  const email = `${crypto.randomUUID()}@example.com`;
  await page.getByRole("button", { name: "Create an account" }).click();
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("heading", { name: "What you made" }).waitFor();
  return email;
}

/** Signs in as Anna of the seed data, with the button of the local page. */
export async function signInAsAnna(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Sign in as anna@example.com" })
    .click();
  await page.getByRole("heading", { name: "What you made" }).waitFor();
}

/** Chooses a tool. */
export async function choose(page: Page, tool: string): Promise<void> {
  await page.getByRole("list", { name: "What to make" })
    .getByRole("button", { name: tool }).click();
}

/** The card of a job by its title; the newest when there are several. */
export function cardOf(page: Page, title: string) {
  return page.locator("li.job").filter({
    has: page.getByRole("heading", { name: title, exact: true }),
  }).first();
}

/** Waits until a job's card shows this status. */
export async function settled(
  page: Page,
  title: string,
  status: "Working" | "Ready" | "Failed" | "Cancelled" = "Ready",
): Promise<void> {
  await cardOf(page, title).locator(".badge", { hasText: status }).first()
    .waitFor(TIME_LIMIT);
}

/** Types a sentence and lets a ready-made voice speak it. */
export async function speak(page: Page, text: string): Promise<void> {
  await choose(page, "Speak");
  await page.locator("option").first().waitFor({ state: "attached" });
  await page.getByLabel("What should it say?").fill(text);
  await page.getByRole("button", { name: "Speak it" }).click();
  await cardOf(page, text).waitFor();
}

/** Resolves when a recording has run for two seconds or longer: each second is shown only until the next. */
export async function recordedTwoSeconds(page: Page): Promise<void> {
  await page.locator("strong").filter({ hasText: /^0:(0[2-9]|[1-5]\d)$/ })
    .waitFor();
}

/** Records the microphone for about two seconds. */
export async function record(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Record now/ }).click();
  await recordedTwoSeconds(page);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByLabel(/^Your recording/).waitFor();
}

/** Keeps a screenshot for a person to look at, if `BROWSER_SCREENSHOTS` names a folder. */
export async function shoot(page: Page, name: string): Promise<void> {
  if (SHOTS === "") return;
  await Deno.mkdir(SHOTS, { recursive: true });
  await page.screenshot({
    path: join(SHOTS, `${name}.png`),
    fullPage: true,
    animations: "disabled",
  });
}

/**
 * Fails if axe finds a problem in the current page, or in the part of a selector. The browser's PDF viewer is excluded.
 * `rules` limits the check to some rules.
 */
export async function assertAccessible(
  page: Page,
  part = "html",
  rules?: string[],
): Promise<void> {
  // The library has half a megabyte. A document keeps it, so later checks of the same one do not send it again.
  const isLoaded = await page.evaluate(() => "axe" in globalThis);
  const axe = new AxeBuilder({
    page,
    ...(isLoaded ? { axeSource: "undefined" } : {}),
  }).include(part).exclude("iframe")
    // Legacy mode does not open another tab to merge the results of frames; there is only one frame.
    .setLegacyMode(true);
  if (rules !== undefined) axe.withRules(rules);
  const { violations } = await axe.analyze();
  assertEquals(
    violations.map(({ id, nodes }) => [
      id,
      nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
    ]),
    [],
  );
}

/** The colour schemes and sizes in which every state is checked. */
const APPEARANCES = [
  { name: "light", colorScheme: "light", width: 1280 },
  { name: "dark", colorScheme: "dark", width: 1280 },
  { name: "phone", colorScheme: "light", width: 390 },
] as const;

/**
 * Runs {@link assertAccessible} in light, in dark and at 390 pixels, where nothing may be wider than the page. Keeps a
 * screenshot of each.
 */
export async function assertAccessibleInAll(
  page: Page,
  name: string,
  part = "html",
): Promise<void> {
  for (const { name: look, colorScheme, width } of APPEARANCES) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 900 });
    // The only rule that depends on the colours.
    const rules = colorScheme === "dark" ? ["color-contrast"] : undefined;
    await assertAccessible(page, part, rules);
    await shoot(page, `${name}-${look}`);
    assertEquals(
      await page.evaluate(() =>
        document.documentElement.scrollWidth - innerWidth
      ),
      0,
      `${name} is as wide as the page`,
    );
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 900 });
}

/** Lets the provider refuse a speech with this error, until its card shows that it failed. */
export async function failToSpeak(
  { simulator }: Site,
  page: Page,
  text: string,
  error: "quota_exceeded" | "content_against_policy",
): Promise<void> {
  await simulator.fail({
    operation: "speech",
    times: null,
    fault: { kind: "status", error },
  });
  try {
    await speak(page, text);
    await settled(page, text, "Failed");
  } finally {
    await simulator.clearFaults();
  }
}
