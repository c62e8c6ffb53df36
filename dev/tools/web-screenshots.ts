/**
 * Takes the pictures of the page in the README: docs/web-light.png and docs/web-dark.png, from an ephemeral stack.
 *
 * usage: deno task web:screenshots
 */
import { fromFileUrl, join } from "@std/path";
import { chromium, type Page } from "playwright-core";
import { startPage } from "../stack/page.ts";
import { startStack } from "../stack/stack.ts";
import { findChromium } from "./chromium.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));
const file = (path: string) => join(root, path);
const PATIENCE = { timeout: 60_000 };

async function choose(page: Page, tool: string): Promise<void> {
  await page.getByRole("button", { name: tool, exact: true }).click();
}

/** Makes what the pictures show, as Anna of the seed data. */
async function make(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Sign in as/ }).click();
  await choose(page, "Speak");
  await page.locator("option").first().waitFor({ state: "attached" });
  await page.getByLabel("What should it say?").fill(
    "Come soon. There is room in the boat.",
  );
  await page.getByRole("button", { name: "Speak it" }).click();
  await page.locator("audio").waitFor(PATIENCE);
  await choose(page, "Book");
  await page.locator("input[type=file]").setInputFiles(
    ["morning", "boat", "evening"].map((name) =>
      file(`dev/seed/media/attersee-${name}.jpg`)
    ),
  );
  await page.getByLabel("Title").fill("Summer at the Attersee");
  await page.getByRole("button", { name: "Make the book" }).click();
  await page.locator("iframe, .job .button:has-text('Open')").first()
    .waitFor(PATIENCE);
  await choose(page, "Talking photo");
  await page.locator("input[type=file]").setInputFiles(
    file("tests/fixtures/portraits/face.png"),
  );
  await page.getByLabel("Words").fill(
    "Do you remember the summer at the lake?",
  );
  await page.getByRole("button", { name: "Make it talk" }).click();
  await page.getByText("Making the film").waitFor(PATIENCE);
  await choose(page, "Clone a voice");
  await page.getByRole("button", { name: "Dismiss" }).first().click();
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
  await make(page);
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: file(`docs/web-${colorScheme}.png`) });
  }
} finally {
  await browser.close();
}
