/**
 * Takes the README's pictures of the page from an ephemeral stack: docs/web-light.png and docs/web-dark.png of the
 * studio, docs/console-light.png and docs/console-dark.png of the console.
 *
 * usage: deno task web:screenshots
 */
import { readFile } from "node:fs/promises";
import { fromFileUrl, join } from "@std/path";
import { chromium, type Page } from "playwright-core";
import postgres from "postgres";
import { startPage } from "../stack/page.ts";
import { type Stack, startStack } from "../stack/stack.ts";
import { findChromium } from "./chromium.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const file = (path: string) => join(root, path);
const TIMEOUT = { timeout: 60_000 };

async function choose(page: Page, tool: string): Promise<void> {
  await page.getByRole("button", { name: tool, exact: true }).click();
}

/** Creates the content of the pictures as Anna, a user of the seed data. */
async function make(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Sign in as/ }).click();
  await choose(page, "Speak");
  await page.locator("option").first().waitFor({ state: "attached" });
  await page.getByLabel("What should it say?").fill(
    "Come soon. There is room in the boat.",
  );
  await page.getByRole("button", { name: "Speak it" }).click();
  await page.locator("audio").waitFor(TIMEOUT);
  await choose(page, "Book");
  await page.locator("input[type=file]").setInputFiles(
    ["morning", "boat", "evening"].map((name) =>
      file(`dev/seed/media/attersee-${name}.jpg`)
    ),
  );
  await page.getByLabel("Title").fill("Summer at the Attersee");
  await page.getByRole("button", { name: "Make the book" }).click();
  await page.locator("iframe, .job .button:has-text('Open')").first()
    .waitFor(TIMEOUT);
  await choose(page, "Talking photo");
  await page.locator("input[type=file]").setInputFiles({
    name: "Great-aunt Rosa.png",
    mimeType: "image/png",
    buffer: await readFile(file("tests/fixtures/portraits/face.png")),
  });
  await page.getByLabel("Words").fill(
    "Do you remember the summer at the lake?",
  );
  await page.getByRole("button", { name: "Make it talk" }).click();
  await page.getByText("Making the film").waitFor(TIMEOUT);
  await choose(page, "Clone a voice");
  const dismiss = page.getByRole("button", { name: "Dismiss" });
  while (await dismiss.count() > 0) await dismiss.first().click();
}

/** Counts of the previous hour, as with a few hundred users. No jobs are created for them. */
const BUSY_HOUR = `
  insert into private.ai_counter_queue (
    counted_at, event, job_type, provider, from_status, to_status, slot, millis, amount
  )
  select date_trunc('minute', now()) - m.ago * interval '1 minute', e.event, t.job_type, t.provider, e.from_status,
    e.to_status, private.duration_slot(e.millis), coalesce(e.millis * n.jobs, 0), n.jobs
  from generate_series(1, 59) as m (ago)
  cross join (values
    ('text_to_speech', 'elevenlabs', 9, 1900), ('voice_clone', 'elevenlabs', 5, 5200),
    ('avatar_video', 'd-id', 2, 41000), ('transcription', 'elevenlabs', 3, 12000)
  ) as t (job_type, provider, usual, runs_ms)
  cross join lateral (
    select greatest(round(t.usual * (1 + 0.6 * sin(m.ago / 7.0) + 0.3 * sin(m.ago * t.usual))), 0)::bigint as jobs
  ) as n
  cross join lateral (values
    ('created', null, 'pending', null),
    ('claimed', 'pending', 'processing', (320 + 120 * sin(m.ago / 5.0) + 90 * sin(m.ago * 2.3))::bigint),
    ('completed', 'processing', 'completed', (t.runs_ms * (1 + 0.3 * sin(m.ago / 9.0) + 0.2 * sin(m.ago * 1.7)))::bigint)
  ) as e (event, from_status, to_status, millis)
  where n.jobs > 0`;

/** Failed speeches, one with an unknown outcome, and an unavailable provider. */
async function trouble(page: Page, stack: Stack): Promise<void> {
  const fail = async (operation: string, times: number, fault: unknown) => {
    const response = await fetch(`${stack.simulatorUrl}/_control/faults`, {
      method: "POST",
      body: JSON.stringify([{
        provider: "elevenlabs",
        operation,
        times,
        fault,
      }]),
    });
    if (!response.ok) throw new Error(await response.text());
  };
  const speak = async (text: string, code: string) => {
    await page.getByLabel("What should it say?").fill(text);
    await page.getByRole("button", { name: "Speak it" }).click();
    await page.locator("li.job").filter({ hasText: text }).getByText(code)
      .first().waitFor(TIMEOUT);
  };
  await choose(page, "Speak");
  await fail("speech", 2, { kind: "status", error: "quota_exceeded" });
  await speak("The boat is tied up.", "Failed");
  await speak("Bring the blanket.", "Failed");
  await fail("speech", 1, { kind: "close_after" });
  await fail("history.list", 100, {
    kind: "status",
    error: "needs_authorization",
  });
  await speak("See you on Sunday.", "Failed");
  const sql = postgres(stack.dbUrl, { max: 1 });
  try {
    await sql.unsafe(BUSY_HOUR);
    await sql`
      update public.ai_providers set breaker_opened_at = now() - interval '3 minutes', breaker_probe_at = now() + interval '5 minutes'
      where provider = 'heygen'`;
    await sql`
      update auth.users set raw_app_meta_data = raw_app_meta_data || '{"role": "ai_operator"}'
      where email = 'paul@example.com'`;
    await sql`select private.fold_ai_counters()`;
  } finally {
    await sql.end();
  }
}

/** Opens the console as Paul, an operator of the seed data. */
async function openConsole(page: Page): Promise<void> {
  await page.getByLabel("Email").fill("paul@example.com");
  await page.getByLabel("Password").fill("family-album");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByRole("button", { name: "It was made" }).waitFor(TIMEOUT);
  await page.getByLabel("Run time of").selectOption("text_to_speech");
  await page.getByRole("row", { name: /provider_quota_exceeded/ })
    .waitFor(TIMEOUT);
}

const found = await findChromium();
if (found === undefined) throw new Error("There is no Chromium.");
const options = { ephemeral: true, seed: true };
await using served = await startPage(options);
await using stack = await startStack(options);
await served.open(stack);
const browser = await chromium.launch({
  executablePath: found.path,
  env: { ...Deno.env.toObject(), ...found.env },
  args: ["--no-sandbox"],
});
try {
  const page = await browser.newPage({
    viewport: { width: 1200, height: 860 },
    reducedMotion: "reduce",
  });
  await page.goto(served.addresses.url);
  const shoot = async (of: Page, name: string) => {
    for (const colorScheme of ["light", "dark"] as const) {
      await of.emulateMedia({ colorScheme });
      await of.screenshot({ path: file(`docs/${name}-${colorScheme}.png`) });
    }
  };
  await make(page);
  await shoot(page, "web");
  await trouble(page, stack);
  const operator = await browser.newPage({
    viewport: { width: 1200, height: 1260 },
    reducedMotion: "reduce",
  });
  await operator.goto(served.addresses.url);
  await openConsole(operator);
  await shoot(operator, "console");
} finally {
  await browser.close();
}
