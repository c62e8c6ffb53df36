/** The page in a real browser: one stack, one browser, and a fresh profile for each test. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Page, Route } from "playwright-core";
import { walk, walkDialog } from "./_support/keyboard.ts";
import {
  assertAccessibleInAll,
  browserTest,
  cardOf,
  choose,
  failToSpeak,
  fixture,
  photo,
  record,
  recordedTwoSeconds,
  settled,
  shoot,
  signInAsAnna,
  signUp,
  speak,
  TIME_LIMIT,
  useSite,
  visit,
} from "./_support/site.ts";

const site = useSite();

/** Scrolls through the list until every result of it is loaded. */
async function allResults(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const missing = document.querySelector("li.job .ghost");
    missing?.scrollIntoView({ block: "center" });
    return missing === null;
  });
}

/** Refuses a request as a service that is overloaded does. */
const unavailable = (route: Route) =>
  route.fulfill({
    status: 503,
    headers: { "access-control-allow-origin": "*" },
    json: { code: "service_unavailable", message: "no" },
  });

/** Refuses a request as the gateway does when a token is not valid. */
const refuseSession = (route: Route) =>
  route.fulfill({
    status: 401,
    headers: { "access-control-allow-origin": "*" },
    json: { msg: "Invalid JWT" },
  });

/** Counts the POST requests to a path from now on. */
function countPosts(page: Page, path: RegExp): () => number {
  let count = 0;
  page.on("request", (request) => {
    if (request.method() === "POST" && path.test(request.url())) count++;
  });
  return () => count;
}

/** Resolves when the page has shown what it has received. */
const twoFrames = (page: Page) =>
  page.evaluate(() =>
    new Promise((resolve) =>
      requestAnimationFrame(() => requestAnimationFrame(resolve))
    )
  );

/** Delivers a request, and loses its response. */
async function loseResponse(route: Route): Promise<void> {
  await route.fetch();
  await route.abort();
}

/** The job types of a user's jobs, in order of creation. */
async function typesOf(email: string): Promise<unknown[]> {
  const rows = await site().sql(
    `select j.job_type from public.ai_jobs as j join auth.users as u on u.id = j.user_id
     where u.email = '${email}' order by j.created_at`,
  );
  return rows.map(({ job_type }) => job_type);
}

/** The browser's own message when the test makes a request fail. */
const FAILED_REQUESTS = /Failed to load resource|WebSocket connection/;

/** Makes MediaRecorder support only MP4, as in Safari. */
const MP4_ONLY = `
  const isSupported = MediaRecorder.isTypeSupported.bind(MediaRecorder);
  MediaRecorder.isTypeSupported = (type) => type.startsWith("audio/mp4") && isSupported(type);
`;

browserTest(
  "account: signing up, out and in, and a message for a wrong password",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await page.getByText("Nothing here yet").waitFor();
    await assertAccessibleInAll(page, "studio-empty");
    await page.locator("summary", { hasText: email }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assertEquals(await page.getByText("Your session has ended").count(), 0);

    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Password").fill("not this one");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("The email or the password is wrong.")
      .waitFor();
    await assertAccessibleInAll(page, "sign-in-error");
    await page.getByLabel("Password").fill("correct horse battery");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByRole("heading", { name: "What you made" }).waitFor();
  },
);

const IN_MOTION = { reducedMotion: "no-preference" } as const;

for (
  const [format, initScript] of [["WebM", undefined], [
    "MP4",
    MP4_ONLY,
  ]] as const
) {
  browserTest(
    `voice: recorded as ${format} by the microphone, cloned, and heard`,
    async () => {
      await using visitor = await visit(site(), {
        // One of them with all motion.
        ...(initScript === undefined ? IN_MOTION : { initScript }),
      });
      const { page } = visitor;
      await signUp(page);
      await record(page);
      assertMatch(
        await page.getByLabel(/^Your recording/).getAttribute("aria-label") ??
          "",
        format === "MP4" ? /\.m4a$/ : /\.webm$/,
      );
      await page.getByLabel("Whose voice is it?").fill("Grandma");
      await page.getByRole("button", { name: "Clone the voice" }).click();
      await settled(page, "Grandma");
      const created = (await site().simulator.creations()).findLast((one) =>
        one.operation === "voices.add" || one.operation === "voice"
      );
      assert(
        (created?.request.files?.[0]?.bytes ?? 0) > 5_000,
        JSON.stringify(created),
      );

      await cardOf(page, "Grandma").getByRole("button", {
        name: "Let it say something",
      }).click();
      assertEquals(
        await page.getByLabel("Voice", { exact: true }).locator(
          "option:checked",
        ).textContent(),
        "Grandma",
      );
      await page.getByLabel("What should it say?").fill("Good night.");
      await page.getByRole("button", { name: "Speak it" }).click();
      await settled(page, "Good night.");
      const sound = cardOf(page, "Good night.").locator("audio");
      await sound.evaluate((element: HTMLAudioElement) => element.play());
      await page.waitForFunction(() =>
        [...document.querySelectorAll("audio")].some((one) =>
          one.currentTime > 0
        )
      );
    },
  );
}

browserTest(
  "recording: a form that is sent meanwhile says to stop it first, and is sent after that",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await signUp(page);
    const first = page.getByRole("alert").getByText(
      "Stop the recording first.",
    );
    for (
      const [tool, send] of [
        ["Transcribe", "Transcribe it"],
        ["Talking photo", "Make it talk"],
        ["Clone a voice", "Clone the voice"],
      ] as const
    ) {
      await choose(page, tool);
      if (tool === "Talking photo") {
        await page.getByText("what I record").click();
      }
      await page.getByRole("button", { name: /^Record now/ }).click();
      await recordedTwoSeconds(page);
      await page.getByRole("button", { name: send }).click();
      await first.waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByLabel(/^Your recording/).waitFor();
      await first.waitFor({ state: "detached" });
    }
    await page.getByLabel("Whose voice is it?").fill("Grandma");
    await page.getByRole("button", { name: "Clone the voice" }).click();
    await settled(page, "Grandma");
  },
);

browserTest(
  "recording: none starts when a file was chosen before the microphone was allowed",
  async () => {
    await using visitor = await visit(site(), {
      initScript: `
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
          await new Promise((resolve) => globalThis.allowMicrophone = resolve);
          return globalThis.microphone = await ask(wanted);
        };`,
    });
    const { page } = visitor;
    await signUp(page);
    await page.getByRole("button", { name: /^Record now/ }).click();
    await page.getByText("Allow the microphone").waitFor();
    await page.locator("input[type=file]").setInputFiles(
      fixture("recordings/speech.m4a"),
    );
    await page.getByLabel("Your recording speech.m4a").waitFor();
    await page.evaluate("allowMicrophone()");
    await page.waitForFunction(() => {
      const stream: unknown = Reflect.get(globalThis, "microphone");
      return stream instanceof MediaStream &&
        stream.getTracks().every(({ readyState }) => readyState === "ended");
    });
    await page.getByLabel("Whose voice is it?").fill("Paul");
    await page.getByRole("button", { name: "Clone the voice" }).click();
    await settled(page, "Paul");
  },
);

browserTest(
  "recording: a file that was chosen before and opens during a recording is ignored",
  async () => {
    await using visitor = await visit(site(), {
      initScript: `
        const decode = OfflineAudioContext.prototype.decodeAudioData;
        OfflineAudioContext.prototype.decodeAudioData = async function (bytes) {
          await new Promise((resolve) => globalThis.openFile = resolve);
          const sound = await decode.call(this, bytes);
          globalThis.isOpened = true;
          return sound;
        };`,
    });
    const { page } = visitor;
    await signUp(page);
    await choose(page, "Talking photo");
    await page.getByText("what I record").click();
    await page.locator("input[type=file]").nth(1).setInputFiles(
      fixture("recordings/speech.m4a"),
    );
    await page.waitForFunction(() => "openFile" in globalThis);
    await page.getByRole("button", { name: /^Record now/ }).click();
    await recordedTwoSeconds(page);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByLabel(/^Your recording .*\.webm$/).waitFor();
    await page.evaluate("openFile()");
    await page.waitForFunction(() => "isOpened" in globalThis);
    await twoFrames(page);
    await page.getByLabel(/^Your recording .*\.webm$/).waitFor();
  },
);

browserTest(
  "voice: a dropped file is accepted, another type is refused with a message, a voice can be deleted",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await signUp(page);
    const drop = async (path: string, name: string, type: string) => {
      const bytes = [...await Deno.readFile(path)];
      const files = await page.evaluateHandle(({ bytes, name, type }) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type }));
        return data;
      }, { bytes, name, type });
      await page.locator("label.drop").dispatchEvent("drop", {
        dataTransfer: files,
      });
    };
    await drop(fixture("portraits/face.jpg"), "face.jpg", "image/jpeg");
    const refusal = page.getByText("“face.jpg” is not a recording.");
    await refusal.waitFor();
    await page.getByLabel("Whose voice is it?").fill("Paul");
    assertEquals(await refusal.count(), 0, "an input clears the message");
    await drop(fixture("recordings/speech.m4a"), "paul.m4a", "audio/x-m4a");
    await page.getByRole("button", { name: "Clone the voice" }).click();
    await settled(page, "Paul");
    await page.getByRole("button", { name: "Delete Paul" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" })
      .click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Delete Paul" }).click();
    await page.getByRole("dialog").getByRole("button", {
      name: "Delete the voice",
    }).click();
    await page.getByText("“Paul” is deleted.").waitFor();
    await page.getByRole("button", { name: "Delete Paul" }).waitFor({
      state: "detached",
    });
  },
);

browserTest(
  "film: a photo speaks a text, and a microphone recording as WebM or MP4",
  async () => {
    await using visitor = await visit(site());
    await using safari = await visit(site(), { initScript: MP4_ONLY });
    const { page } = visitor;
    const portrait = (of: Page) => of.locator("input[type=file]").first();
    for (const one of [page, safari.page]) {
      await signUp(one);
      await choose(one, "Talking photo");
      await one.locator("option").first().waitFor({ state: "attached" });
    }
    const note = (name: string) => ({
      name,
      mimeType: "text/plain",
      buffer: Buffer.from("No photo."),
    });
    await portrait(page).setInputFiles(note("note.txt"));
    const refusal = page.getByText("“note.txt” cannot be opened as a photo.");
    await refusal.waitFor();
    await portrait(page).setInputFiles(fixture("portraits/face.png"));
    await page.getByAltText("The portrait that you chose").waitFor();
    assertEquals(await refusal.count(), 0);
    await page.getByLabel("Words").fill("Do you remember the lake?");
    await page.getByRole("button", { name: "Make it talk" }).click();
    await cardOf(page, "face").waitFor();

    for (const one of [page, safari.page]) {
      await portrait(one).setInputFiles(fixture("portraits/face.jpg"));
      await one.getByText("what I record").click();
      await record(one);
      await one.getByRole("button", { name: "Make it talk" }).click();
      await one.getByText("The film is being made.").last().waitFor();
    }
    for (const [one, films] of [[page, 2], [safari.page, 1]] as const) {
      await one.locator("video").nth(films - 1).waitFor(TIME_LIMIT);
      await one.waitForFunction(() =>
        [...document.querySelectorAll("video")].every((film) =>
          film.duration > 1
        )
      );
    }
  },
);

browserTest(
  "call: a file and an MP4 recording are transcribed, with speakers and times, and played from a line",
  async () => {
    await using visitor = await visit(site(), { initScript: MP4_ONLY });
    const { page } = visitor;
    await signUp(page);
    await choose(page, "Transcribe");
    await record(page);
    await page.getByRole("button", { name: "Transcribe it" }).click();
    await page.locator("li.job", { hasText: "Transcript" }).waitFor();
    await page.locator("input[type=file]").setInputFiles(
      fixture("recordings/speech-24s.mp3"),
    );
    await page.getByLabel("How many people speak?").selectOption("2");
    await page.getByRole("button", { name: "Transcribe it" }).click();
    await settled(page, "speech-24s");
    const lines = cardOf(page, "speech-24s").locator(".transcript li");
    await lines.nth(1).waitFor();
    assertMatch(await lines.first().innerText(), /Speaker 1/);
    assertMatch(await lines.nth(1).innerText(), /Speaker 2/);
    await lines.nth(1).getByRole("button").click();
    await page.waitForFunction(() =>
      [...document.querySelectorAll("audio")].some((one) => one.currentTime > 5)
    );
    await page.locator("li.job .transcript").nth(1).waitFor(TIME_LIMIT);
  },
);

browserTest(
  "book: photos arranged, laid out, leafed through, and ordered",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const refuse = (route: Route, method: string) =>
      route.request().method() === method
        ? route.fulfill({
          status: 503,
          headers: { "access-control-allow-origin": "*" },
          json: { code: "PGRST002", message: "no" },
        })
        : route.fallback();
    await signUp(page);
    await choose(page, "Book");
    await page.locator("input[type=file]").setInputFiles(
      ["morning", "boat", "evening"].map(photo),
    );
    await page.getByLabel("Caption of photo 3").fill("Seven in the morning");
    await page.getByRole("button", { name: "Move photo 3 up" }).click();
    assertEquals(
      await page.getByLabel("Caption of photo 2").inputValue(),
      "Seven in the morning",
    );
    await page.getByRole("button", { name: "Leave photo 1 out" }).click();
    await page.getByLabel("Title").fill("Summer at the lake");
    await page.getByRole("button", { name: "Make the book" }).click();
    await settled(page, "Summer at the lake");
    const card = cardOf(page, "Summer at the lake");
    await card.getByRole("link", { name: "Open" }).waitFor();
    if (await page.evaluate(() => navigator.pdfViewerEnabled)) {
      await card.getByText("Page 1 of").waitFor();
      await card.getByRole("button", { name: "Next" }).click();
      await card.getByText("Page 2 of").waitFor();
    } else {
      await card.getByText("cannot show a PDF inside a page").waitFor();
    }
    await card.getByRole("button", { name: "Order a print" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Photo book, square").first().waitFor({
      state: "attached",
    });
    for (const wrong of ["0", "-3", "", "1.5", "1001"]) {
      await dialog.getByLabel("Copies").fill(wrong);
      await dialog.getByText("Enter a whole number from 1 to 1000.").waitFor();
      assert(
        await dialog.getByRole("button", { name: "Order", exact: true })
          .isDisabled(),
        wrong,
      );
    }
    await dialog.getByLabel("Copies").fill("2");
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await dialog.getByText("Fill in: name.").waitFor();
    const fillAddress = async () => {
      for (
        const [label, text] of [
          ["Name", "Grete Berger"],
          ["Street and number", "Seestrasse 12"],
          ["Postcode", "4864"],
          ["Town", "Attersee"],
        ] as const
      ) await dialog.getByLabel(label, { exact: true }).fill(text);
      await dialog.getByLabel("Country").selectOption({ label: "Austria" });
    };
    await fillAddress();
    assertEquals(await dialog.getByText("Fill in: name.").count(), 0);
    await shoot(page, "order");
    const orders = async () =>
      (await site().sql(
        "select o.status, count(i.id)::int as items from public.orders as o left join public.order_items as i on i.order_id = o.id where o.user_id = (select id from auth.users order by created_at desc limit 1) group by o.id",
      )).map(({ status, items }) => [status, items]);
    // The second of the three writes fails: no row is left.
    await page.route(/order_items/, (route) => refuse(route, "POST"));
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await dialog.getByRole("alert").waitFor();
    await page.unroute(/order_items/);
    assertEquals(await orders(), []);
    // The third fails: the draft is kept, to be continued or removed.
    await page.route(/rest\/v1\/orders/, (route) => refuse(route, "PATCH"));
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await dialog.getByRole("alert").waitFor();
    await page.unroute(/rest\/v1\/orders/);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await card.getByText("Order not finished").waitFor();
    assertEquals(await orders(), [["draft", 1]]);
    await assertAccessibleInAll(page, "order-not-finished", "li.job");
    await card.getByRole("button", { name: "Continue" }).click();
    assertEquals(await dialog.getByLabel("Copies").inputValue(), "2");
    assertEquals(
      await dialog.getByLabel("Town", { exact: true }).inputValue(),
      "Attersee",
    );
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await card.getByText("Ordered, not paid yet").waitFor();
    assertEquals(await orders(), [["placed", 1]]);
    assertEquals(
      (await site().sql(
        "select shipping_address ->> 'country' as country from public.orders order by created_at desc limit 1",
      ))[0]?.["country"],
      "AT",
    );
    await card.getByRole("button", { name: "Cancel the order" }).click();
    await card.getByText("Order cancelled").waitFor();
    // The last response is lost: the order is placed, once. Until then the dialog stays.
    const released = Promise.withResolvers<void>();
    await page.route(/rest\/v1\/orders/, async (route) => {
      if (route.request().method() !== "PATCH") return await route.fallback();
      await released.promise;
      await loseResponse(route);
    });
    await card.getByRole("button", { name: "Order again" }).click();
    await fillAddress();
    const placing = page.waitForRequest((request) =>
      request.method() === "PATCH"
    );
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await placing;
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    assert(await dialog.getByRole("button", { name: "Cancel" }).isDisabled());
    assert(await dialog.isVisible());
    released.resolve();
    await dialog.waitFor({ state: "detached" });
    await card.getByText("Ordered, not paid yet").waitFor();
    const states = async () =>
      (await orders()).map(([status]) => String(status)).toSorted();
    assertEquals(await states(), ["cancelled", "placed"]);
    await page.unroute(/rest\/v1\/orders/);
    // Nor is it placed again when its status could not be read either, or with another choice.
    await card.getByRole("button", { name: "Cancel the order" }).click();
    await card.getByText("Order cancelled").waitFor();
    await card.getByRole("button", { name: "Order again" }).click();
    await fillAddress();
    await page.route(
      /rest\/v1\/orders/,
      (route) =>
        route.request().method() === "PATCH"
          ? loseResponse(route)
          : route.request().url().includes("select=status")
          ? unavailable(route)
          : route.fallback(),
    );
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await dialog.getByRole("alert").waitFor();
    await page.unroute(/rest\/v1\/orders/);
    await dialog.getByLabel("Copies").fill("3");
    await dialog.getByRole("button", { name: /^Order for/ }).click();
    await dialog.getByText("This book is already ordered").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await card.getByText("Ordered, not paid yet").waitFor();
    assertEquals(await states(), ["cancelled", "cancelled", "placed"]);
  },
);

browserTest(
  "book: a project without the shop offers no order, and finds that out with one request",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const requests: string[] = [];
    await page.route(/rest\/v1\/(order_items|orders|vendor)/, (route) => {
      requests.push(route.request().url());
      return route.fulfill({
        status: 404,
        headers: { "access-control-allow-origin": "*" },
        json: { code: "PGRST205", message: "no such table" },
      });
    });
    const answered = page.waitForResponse(/order_items/);
    await signInAsAnna(page);
    await allResults(page);
    await (await answered).finished();
    const card = cardOf(page, "Summer at the Attersee");
    await card.getByRole("link", { name: "Open" }).waitFor();
    assertEquals(
      await card.getByRole("button", { name: /^Order/ }).count(),
      0,
    );
    // The card is shown a second time, as another book would be.
    await card.getByRole("button", { name: "Hide" }).click();
    await page.getByRole("button", { name: "Show hidden" }).click();
    await card.scrollIntoViewIfNeeded();
    await card.getByRole("link", { name: "Open" }).waitFor();
    assertEquals(requests.length, 1);
    assertEquals(await page.locator(".toast.bad").count(), 0);
  },
);

browserTest(
  "book: photos that are too small to print are named on the card and before the order",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    const tooSmall = (slides: string) =>
      site().sql(
        `update public.ai_jobs set result_data = jsonb_set(result_data, '{photos_too_small}', '${slides}')
         where job_type = 'pdf_render' and metadata ->> 'title' = 'Summer at the Attersee'`,
      );
    await tooSmall("[1, 3, 4]");
    try {
      await signInAsAnna(page);
      await allResults(page);
      const card = cardOf(page, "Summer at the Attersee");
      const remark = "Photos 1, 3 and 4 are too small to print sharply.";
      await card.getByText(remark).waitFor();
      // The seed has an order of this book.
      await card.getByRole("button", { name: "Order again" }).click();
      await page.getByRole("dialog").getByText(remark).waitFor();
      await assertAccessibleInAll(page, "order-remarks", "dialog");
    } finally {
      await tooSmall("[]");
    }
  },
);

browserTest(
  "job: it survives a reload while it runs, and can be cancelled",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    const { simulator } = site();
    await signUp(page);
    await simulator.fail({
      operation: "speech",
      times: null,
      fault: { kind: "hang", processed: "after" },
    });
    try {
      await speak(page, "The first.");
      await settled(page, "The first.", "Working");
      const card = cardOf(page, "The first.");
      const warning = card.locator(".job-foot").getByText(
        "Cancelling does not refund what is already being made.",
      );
      await warning.waitFor();
      await page.reload();
      await settled(page, "The first.", "Working");
      await card.getByRole("progressbar").waitFor();
      await warning.waitFor();
      await card.getByRole("button", { name: "Timeline" }).click();
      await card.getByText("Sent to the AI service").waitFor();
      await card.getByRole("button", { name: "Cancel" }).focus();
    } finally {
      await simulator.clearFaults();
      await simulator.release();
    }
    await settled(page, "The first.");
    // Its button has gone, and the focus stays on the card.
    await page.locator("li.job h3:focus", { hasText: "The first." }).waitFor();
    assertEquals(await page.getByText("does not refund").count(), 0);

    await simulator.fail({
      operation: "speech",
      times: null,
      fault: { kind: "hang", processed: "never" },
    });
    try {
      await speak(page, "The second.");
      await cardOf(page, "The second.").getByRole("button", { name: "Cancel" })
        .click();
      await settled(page, "The second.", "Cancelled");
    } finally {
      await simulator.clearFaults();
      await simulator.release();
    }
  },
);

browserTest(
  "job: a failure has a message, and a retry runs it again",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await signUp(page);
    await failToSpeak(site(), page, "One more story.", "quota_exceeded");
    await page.getByText("The credit at the AI service is used up.")
      .waitFor();
    await assertAccessibleInAll(page, "job-failed", "li.job");
    const card = cardOf(page, "One more story.");
    await card.getByRole("button", { name: "Timeline" }).click();
    const entries = card.locator(".timeline li");
    await entries.getByText("Failed", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await settled(page, "One more story.");
    // An open timeline continues with the job.
    await entries.getByText("Tried again").waitFor();
    await entries.last().getByText("Ready", { exact: true }).waitFor();
  },
);

browserTest(
  "job: one that failed because of its input can be started over with its text, and hidden",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    await signUp(page);
    await failToSpeak(site(), page, "Not like this.", "content_against_policy");
    const card = cardOf(page, "Not like this.");
    assertEquals(
      await card.getByRole("button", { name: "Try again" }).count(),
      0,
    );
    await choose(page, "Book");
    await card.getByRole("button", { name: "Start over" }).click();
    assertEquals(
      await page.getByLabel("What should it say?").inputValue(),
      "Not like this.",
    );
    await assertAccessibleInAll(page, "job-start-over");
    // A message about another submission does not outlive it.
    await page.route("**/create-ai-job", (route) => route.abort());
    await page.getByRole("button", { name: "Speak it" }).click();
    const problem = page.locator(".make .notice");
    await problem.waitFor();
    await card.getByRole("button", { name: "Start over" }).click();
    await problem.waitFor({ state: "detached" });
    // The toast disappears by itself, so it is waited for before the click.
    const [named] = await Promise.all([
      page.locator(".toast", { hasText: "Hidden" }).innerText(),
      card.getByRole("button", { name: "Hide" }).click(),
    ]);
    await card.waitFor({ state: "detached" });
    await page.reload();
    await page.getByText("Everything is hidden").waitFor();
    assertEquals(await card.count(), 0);
    await page.getByText("1 job", { exact: true }).waitFor();
    await page.getByRole("button", {
      name: /“(.*)”/.exec(named)?.[1] ?? "",
      exact: true,
    }).click();
    await card.getByRole("button", { name: "Show again" }).click();
    await page.reload();
    await card.waitFor();
  },
);

browserTest(
  "job: one of a type that the page does not know is shown like the others",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    const email = await signUp(page);
    await site().sql(`
      insert into public.ai_job_types (
        job_type, provider, max_attempts, is_input_required, input_buckets, input_mime_types, input_max_bytes
      ) values ('sound_effect', 'elevenlabs', 1, false, '{}', '{}', 1)`);
    try {
      await speak(page, "Good night, all of you.");
      await site().sql(`
        insert into public.ai_jobs (user_id, job_type, metadata)
        select u.id, 'sound_effect', '{"title": "A door slams"}' from auth.users as u where u.email = '${email}'`);
      for (const isReloaded of [false, true]) {
        if (isReloaded) await page.reload();
        await cardOf(page, "A door slams").getByText("sound_effect").waitFor();
        await cardOf(page, "Good night, all of you.").waitFor();
      }
    } finally {
      await site().sql(
        "delete from public.ai_jobs where job_type = 'sound_effect'",
      );
      await site().sql(
        "delete from public.ai_job_types where job_type = 'sound_effect'",
      );
    }
  },
);

browserTest(
  "draft: a recording and a text outlive other forms, the console and an expired session",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await page.getByRole("button", { name: /^Record now/ }).click();
    await recordedTwoSeconds(page);
    // The recording is not stopped.
    await choose(page, "Speak");
    await page.getByLabel("What should it say?").fill("Once upon a");
    await choose(page, "Book");
    await page.getByRole("link", { name: "Console" }).click();
    await page.getByText("The console is for operators").waitFor();
    await page.getByRole("link", { name: "Studio" }).click();
    await assertAccessibleInAll(page, "studio-drafts");
    await page.evaluate(() => {
      for (const key of Object.keys(localStorage)) {
        if (key.endsWith("-auth-token")) localStorage.removeItem(key);
      }
    });
    await choose(page, "Clone a voice");
    await page.getByLabel("Whose voice is it?").fill("Grandma");
    await page.getByRole("button", { name: "Clone the voice" }).click();
    await page.getByText("Your session has ended.").waitFor();
    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Password").fill("correct horse battery");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await choose(page, "Speak");
    assertEquals(
      await page.getByLabel("What should it say?").inputValue(),
      "Once upon a",
    );
    await choose(page, "Clone a voice");
    await page.getByLabel(/^Your recording/).waitFor();
    await page.getByRole("button", { name: "Clone the voice" }).click();
    await settled(page, "Grandma");
  },
);

browserTest(
  "draft: text that is typed while a job is being created stays",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await signUp(page);
    await choose(page, "Speak");
    await page.locator("option").first().waitFor({ state: "attached" });
    const { promise, resolve } = Promise.withResolvers<void>();
    await page.route(/create-ai-job/, async (route) => {
      await promise;
      await route.continue();
    });
    const text = page.getByLabel("What should it say?");
    await text.fill("The first.");
    await page.getByRole("button", { name: "Speak it" }).click();
    await text.fill("The second.");
    resolve();
    await settled(page, "The first.");
    await page.locator("[type=submit][aria-busy=false]").waitFor();
    assertEquals(await text.inputValue(), "The second.");
  },
);

browserTest(
  "form: one that is left while it sends sends once, and its failure is reported",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await choose(page, "Speak");
    await page.locator("option").first().waitFor({ state: "attached" });
    await page.getByLabel("What should it say?").fill("Only once.");
    const keys = new Set<string | undefined>();
    const released = Promise.withResolvers<void>();
    await page.route("**/create-ai-job", async (route) => {
      keys.add(route.request().headers()["idempotency-key"]);
      await released.promise;
      await loseResponse(route);
    });
    const send = page.getByRole("button", { name: "Speak it" });
    const sent = page.waitForRequest("**/create-ai-job");
    await send.click();
    await sent;
    await choose(page, "Book");
    await choose(page, "Speak");
    assertEquals(await send.getAttribute("aria-busy"), "true");
    await send.click({ force: true });
    await choose(page, "Book");
    released.resolve();
    const problem = "There is no connection to the service.";
    await page.locator(".toast.bad", { hasText: problem }).waitFor();
    await choose(page, "Speak");
    await page.locator(".make .notice", { hasText: problem }).waitFor();
    await page.unroute("**/create-ai-job");
    await page.route("**/create-ai-job", async (route) => {
      keys.add(route.request().headers()["idempotency-key"]);
      await route.continue();
    });
    await send.click();
    await page.waitForFunction(() =>
      document.querySelector("textarea")?.value === ""
    );
    assertEquals(await typesOf(email), ["text_to_speech"]);
    assertEquals(keys.size, 1);
    // The same text again is another job.
    await speak(page, "Only once.");
    await page.locator("li.job").nth(1).waitFor();
    assertEquals(keys.size, 2);
  },
);

browserTest(
  "film: after a lost response it is sent again without another upload or job",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    const uploads = countPosts(page, /create-upload-url/);
    await page.route(
      "**/create-ai-job",
      (route) =>
        route.request().postData()?.includes("avatar_video") === true
          ? loseResponse(route)
          : route.continue(),
    );
    await choose(page, "Talking photo");
    await page.locator("option").first().waitFor({ state: "attached" });
    await page.locator("input[type=file]").first().setInputFiles(
      fixture("portraits/face.jpg"),
    );
    await page.getByLabel("Words").fill("Once is enough.");
    const send = page.getByRole("button", { name: "Make it talk" });
    await send.click();
    await page.locator(".make .notice").waitFor();
    await page.unroute("**/create-ai-job");
    // Then the session is refused once.
    await page.route("**/create-ai-job", refuseSession, { times: 1 });
    await send.click();
    await page.getByText("Your session could not be confirmed.").waitFor();
    await send.click();
    await page.getByText("The film is being made.").waitFor();
    assertEquals(await typesOf(email), ["text_to_speech", "avatar_video"]);
    assertEquals(uploads(), 1);
  },
);

browserTest(
  "form: after a lost response its failed job is started over as another job",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await page.route("**/create-ai-job", loseResponse);
    await failToSpeak(site(), page, "Again, please.", "content_against_policy");
    await page.locator(".make .notice").waitFor();
    await page.unroute("**/create-ai-job");
    await cardOf(page, "Again, please.").getByRole("button", {
      name: "Start over",
    }).click();
    await page.getByRole("button", { name: "Speak it" }).click();
    await settled(page, "Again, please.");
    assertEquals(await typesOf(email), ["text_to_speech", "text_to_speech"]);
  },
);

browserTest(
  "call: after failures in between, it is sent again with the same upload and rows",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    const problem = page.locator(".make .notice");
    const send = page.getByRole("button", { name: "Transcribe it" });
    await choose(page, "Transcribe");
    await page.locator("input[type=file]").setInputFiles(
      fixture("recordings/speech-24s.mp3"),
    );
    const posts = (fail: (route: Route) => Promise<void>) => (route: Route) =>
      route.request().method() === "POST" ? fail(route) : route.fallback();
    for (
      const [table, fail] of [
        ["media", loseResponse],
        ["calls", unavailable],
      ] as const
    ) {
      await page.route(`**/rest/v1/${table}?*`, posts(fail));
      await send.click();
      await problem.waitFor();
      await page.unroute(`**/rest/v1/${table}?*`);
    }
    await send.click();
    await settled(page, "speech-24s");
    const [counts] = await site().sql(
      `select (select count(*)::int from public.media as m where m.user_id = u.id) as media,
              (select count(*)::int from public.calls as c where c.user_id = u.id) as calls
       from auth.users as u where u.email = '${email}'`,
    );
    assertEquals(counts, { media: 1, calls: 1 });
  },
);

browserTest(
  "film: the photo that was chosen last is used, also when an earlier one opens later",
  async () => {
    await using visitor = await visit(site(), {
      initScript: `
        const open = createImageBitmap;
        globalThis.opened = 0;
        globalThis.createImageBitmap = async (file) => {
          if (file.name === "face.png") await new Promise((resolve) => globalThis.openFirst = resolve);
          const picture = await open(file);
          globalThis.opened++;
          return picture;
        };`,
    });
    const { page } = visitor;
    await signUp(page);
    await choose(page, "Talking photo");
    const input = page.locator("input[type=file]").first();
    await input.setInputFiles(fixture("portraits/face.png"));
    await page.waitForFunction(() => "openFirst" in globalThis);
    await input.setInputFiles(fixture("portraits/face.jpg"));
    const chosen = page.getByAltText("The portrait that you chose");
    const source = await chosen.getAttribute("src");
    await page.evaluate("openFirst()");
    await page.waitForFunction(() => Reflect.get(globalThis, "opened") === 2);
    await twoFrames(page);
    assertEquals(await chosen.getAttribute("src"), source);
  },
);

browserTest(
  "studio: what cannot be read at first is reported, and read again without a click",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const unread = /list-ai-jobs|rest\/v1\/voices/;
    await page.route(unread, unavailable);
    await Promise.all([
      page.locator(".toast.bad").waitFor(),
      signUp(page),
    ]);
    await page.locator(".made .notice").getByRole("button", {
      name: "Try again",
    }).waitFor();
    await page.unroute(unread);
    await page.getByText("Nothing here yet").waitFor();
    await choose(page, "Speak");
    await page.locator("option").first().waitFor({ state: "attached" });
    assertEquals(await page.locator(".made .notice").count(), 0);
  },
);

browserTest(
  "job: a file that is missing is reported once, and loaded again on request",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    await signUp(page);
    await page.route(
      /\.mp3\?/,
      (route) => route.fulfill({ status: 404, body: "not found" }),
    );
    const signatures = countPosts(page, /create-download-url/);
    await speak(page, "Where is it?");
    await settled(page, "Where is it?");
    const card = cardOf(page, "Where is it?");
    await card.getByText("This file cannot be loaded").waitFor();
    assertEquals(signatures(), 1);
    await page.unroute(/\.mp3\?/);
    await card.getByRole("button", { name: "Try again" }).click();
    await page.waitForFunction(() =>
      (document.querySelector("audio")?.duration ?? 0) > 0
    );
    assertEquals(await card.locator(".notice").count(), 0);
  },
);

browserTest(
  "job: a second click on “Try again” sends nothing until the job is seen to run",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    // Without Realtime the page polls, which the test can hold.
    await page.routeWebSocket(/realtime/, () => {});
    await page.reload();
    await signUp(page);
    await failToSpeak(site(), page, "Only once more.", "quota_exceeded");
    const released = Promise.withResolvers<void>();
    await page.route(/get-ai-job|rest\/v1\/ai_job/, async (route) => {
      await released.promise;
      await route.continue();
    });
    const retries = countPosts(page, /retry-ai-job/);
    const again = cardOf(page, "Only once more.").getByRole("button", {
      name: "Try again",
    });
    const answered = page.waitForResponse(/retry-ai-job/);
    await again.click();
    await (await answered).finished();
    await twoFrames(page);
    await again.click({ force: true });
    released.resolve();
    await settled(page, "Only once more.");
    assertEquals(retries(), 1);
    assertEquals(await page.locator(".toast.bad").count(), 0);
  },
);

browserTest(
  "session: a form that is refused while the session can be renewed can be sent again",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    await signUp(page);
    await page.route("**/create-ai-job", refuseSession);
    await choose(page, "Speak");
    await page.locator("option").first().waitFor({ state: "attached" });
    await page.getByLabel("What should it say?").fill("Here I am.");
    const renewed = page.waitForResponse(/auth\/v1\/token/);
    await page.getByRole("button", { name: "Speak it" }).click();
    await page.getByText("Your session could not be confirmed. Try again.")
      .waitFor();
    await (await renewed).finished();
    await page.unroute("**/create-ai-job");
    await page.getByRole("button", { name: "Speak it" }).click();
    await settled(page, "Here I am.");
  },
);

browserTest(
  "offline: the page says so, and catches up when it is back",
  async () => {
    await using visitor = await visit(site(), {
      expected:
        /Failed to load resource|ERR_INTERNET_DISCONNECTED|WebSocket|Failed to fetch/,
    });
    const { page, context } = visitor;
    const { simulator } = site();
    await signUp(page);
    await simulator.fail({
      operation: "speech",
      times: 1,
      fault: { kind: "hang", processed: "after" },
    });
    await speak(page, "Are you there?");
    await settled(page, "Are you there?", "Working");
    await context.setOffline(true);
    await page.getByText("You are offline.").waitFor();
    await simulator.clearFaults();
    await simulator.release();
    await choose(page, "Speak");
    await context.setOffline(false);
    await settled(page, "Are you there?");
    assertEquals(await page.getByText("You are offline.").count(), 0);
  },
);

browserTest(
  "session: an expired one has a message, and signing in again restores everything",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await speak(page, "Still here?");
    await settled(page, "Still here?");
    await page.evaluate(() => {
      for (const key of Object.keys(localStorage)) {
        if (!key.endsWith("-auth-token")) continue;
        const session = JSON.parse(localStorage.getItem(key) ?? "{}");
        localStorage.setItem(
          key,
          JSON.stringify({ ...session, expires_at: 1, refresh_token: "gone" }),
        );
      }
    });
    await page.reload();
    await page.getByText("Your session has ended.").waitFor();
    await page.getByLabel("Email").fill(email);
    await page.getByLabel("Password").fill("correct horse battery");
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await cardOf(page, "Still here?").waitFor();
  },
);

browserTest(
  "session: a deleted account gets a message, and is signed out at its next request",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    const email = await signUp(page);
    await page.getByText("Nothing here yet").waitFor();
    await choose(page, "Speak");
    await page.locator("option").first().waitFor({ state: "attached" });
    await page.getByLabel("What should it say?").fill("Still here?");
    await site().sql(`delete from auth.users where email = '${email}'`);
    // The page may already have sent another request and signed out.
    await page.evaluate(() => document.querySelector("form")?.requestSubmit());
    await page.getByText("This account no longer exists. You were signed out.")
      .waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    assertEquals(await page.getByText("Your session has ended").count(), 0);
    assertEquals(
      await page.evaluate(() =>
        Object.keys(localStorage).filter((key) => key.endsWith("-auth-token"))
      ),
      [],
    );
  },
);

browserTest(
  "tabs and users: a job appears in both tabs of its owner, and nowhere else",
  async () => {
    await using anna = await visit(site());
    await using other = await visit(site());
    await signUp(anna.page);
    await signUp(other.page);
    const second = await anna.openTab();
    await second.getByText("Nothing here yet").waitFor();
    await speak(anna.page, "Only for us.");
    await settled(second, "Only for us.");
    await other.page.reload();
    await other.page.getByText("Nothing here yet").waitFor();
    assertEquals(await cardOf(other.page, "Only for us.").count(), 0);

    await cardOf(anna.page, "Only for us.").getByRole("button", {
      name: "Hide",
    }).click();
    await second.getByText("Everything is hidden").waitFor();

    await anna.page.locator("summary", { hasText: "@" }).click();
    await anna.page.getByRole("button", { name: "Sign out" }).click();
    await second.getByRole("heading", { name: "Sign in" }).waitFor();
  },
);

browserTest(
  "tabs and users: after another user has signed in elsewhere, only their jobs are shown, and live",
  async () => {
    await using ann = await visit(site());
    await using bob = await visit(site());
    const { page } = ann;
    await signUp(page);
    await speak(page, "Only for Ann.");
    await settled(page, "Only for Ann.");
    const email = await signUp(bob.page);
    await speak(bob.page, "Only for Bob.");
    await settled(bob.page, "Only for Bob.");
    const session = await bob.page.evaluate(() => {
      const key = Object.keys(localStorage).find((name) =>
        name.endsWith("-auth-token")
      ) ?? "";
      return { key, text: localStorage.getItem(key) ?? "" };
    });
    // As supabase-js reports a sign-in of another tab.
    await page.evaluate(({ key, text }) => {
      localStorage.setItem(key, text);
      new BroadcastChannel(key).postMessage({
        event: "SIGNED_IN",
        session: JSON.parse(text),
      });
    }, session);
    await page.locator("summary", { hasText: email }).waitFor();
    await settled(page, "Only for Bob.");
    assertEquals(await cardOf(page, "Only for Ann.").count(), 0);
    await speak(bob.page, "Also for Bob.");
    await settled(page, "Also for Bob.");
  },
);

browserTest(
  "page: axe finds nothing in any state, in light, dark and on a phone, and nothing is too wide",
  async () => {
    await using visitor = await visit(site(), {
      reducedMotion: "reduce",
      expected: FAILED_REQUESTS,
    });
    const { page } = visitor;
    await page.getByRole("heading", { level: 1 }).waitFor();
    await assertAccessibleInAll(page, "sign-in");
    await signInAsAnna(page);
    await page.locator("li.job").first().waitFor();
    await speak(page, "The lake lies still.");
    await settled(page, "The lake lies still.");
    for (const tool of ["Speak", "Talking photo", "Transcribe", "Book"]) {
      await choose(page, tool);
      await assertAccessibleInAll(page, `make-${tool}`, ".make");
    }
    await choose(page, "Clone a voice");
    await page.getByRole("button", { name: "Timeline" }).first().click();
    await page.locator(".timeline li").first().waitFor();
    await assertAccessibleInAll(page, "studio");
    await page.getByRole("button", { name: "Delete Grandpa Josef" }).click();
    await assertAccessibleInAll(page, "studio-dialog", "dialog");
    await page.keyboard.press("Escape");
    await page.locator("summary[aria-label=Appearance]").click();
    await assertAccessibleInAll(page, "appearance", ".header");
    // A file that cannot be read.
    await page.route(/list-ai-jobs/, (route) =>
      route.fulfill({
        status: 400,
        headers: { "access-control-allow-origin": "*" },
        json: { code: "invalid_request", detail: "no" },
      }));
    await page.reload();
    await page.locator(".made .notice").waitFor();
    await assertAccessibleInAll(page, "studio-error");
  },
);

browserTest(
  "page: the visitor's choices of light, dark and motion are kept",
  async () => {
    await using visitor = await visit(site(), {
      ...IN_MOTION,
      colorScheme: "light",
    });
    const { page } = visitor;
    const email = await signUp(page);
    const menu = page.locator("summary[aria-label=Appearance]");
    const dark = page.getByLabel("Dark");
    await menu.click();
    await page.keyboard.press("Escape");
    await dark.waitFor({ state: "hidden" });
    await menu.click();
    await dark.waitFor();
    await page.locator("summary", { hasText: email }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    assertEquals(await dark.isVisible(), false, "only one menu is open");
    await page.getByRole("heading", { name: "What you made" }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor({
      state: "hidden",
    });
    await menu.click();
    await dark.check();
    await page.getByLabel("Turn motion off").check();
    await shoot(page, "menu");
    await page.reload();
    await page.getByRole("heading", { level: 1 }).waitFor();
    assertEquals(
      await page.evaluate(() => [
        getComputedStyle(document.documentElement).colorScheme,
        document.documentElement.dataset["motion"],
      ]),
      ["dark", "off"],
    );
  },
);

browserTest(
  "job: a result takes no more room than what stands in its place while it loads",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    const released = Promise.withResolvers<void>();
    const hold = async (route: Route) => {
      await released.promise;
      await route.continue();
    };
    await page.route("**/create-download-url", hold);
    await page.route("**/rest/v1/voices?*", hold);
    await signInAsAnna(page);
    const cards = page.locator("li.job", { has: page.locator(".ghost") });
    await cards.nth(4).waitFor();
    const heights = () =>
      page.locator("li.job").evaluateAll((all) =>
        all.flatMap((one) =>
          // A transcript is as long as the call.
          one.querySelector(".transcript") === null
            ? [[
              one.querySelector("h3")?.textContent ?? "",
              one.getBoundingClientRect().height,
            ]]
            : []
        )
      );
    const before = await heights();
    released.resolve();
    await allResults(page);
    assertEquals(await heights(), before);
  },
);

browserTest(
  "job: a transcript that cannot be read is reported, and can be read again",
  async () => {
    await using visitor = await visit(site(), { expected: FAILED_REQUESTS });
    const { page } = visitor;
    let refusals = 1;
    await page.route(
      "**/sunday-call.json?*",
      (route) =>
        refusals-- > 0
          ? route.fulfill({
            status: 500,
            headers: { "access-control-allow-origin": "*" },
            json: { error: "internal" },
          })
          : route.fallback(),
    );
    await signInAsAnna(page);
    const again = page.locator("li.job").getByRole("button", {
      name: "Try again",
    });
    const transcript = page.locator("li.job .transcript li").first();
    await page.locator("li.job .ghost.transcript").first()
      .scrollIntoViewIfNeeded();
    await again.click();
    await transcript.waitFor();
    assertEquals(await again.count(), 0);
  },
);

browserTest(
  "keyboard: from the sign-in to playing a voice, without a mouse",
  async () => {
    await using visitor = await visit(site());
    const { page } = visitor;
    await page.getByRole("heading", { level: 1 }).waitFor();
    /** Presses Tab until a control with this name has the focus. */
    const tabTo = async (name: RegExp) => {
      for (let presses = 0; presses < 60; presses++) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate(() => {
          const { activeElement: element } = document;
          const label = element instanceof HTMLInputElement ||
              element instanceof HTMLTextAreaElement ||
              element instanceof HTMLSelectElement
            ? element.labels?.[0]?.textContent
            : undefined;
          return element?.getAttribute("aria-label") ?? label ??
            element?.textContent ?? "";
        });
        if (name.test(focused)) return;
      }
      throw new Error(`Tab never reaches ${name}`);
    };
    await tabTo(/^Skip to the content/);
    await tabTo(/^Sign in as anna/);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What you made" }).waitFor();
    await tabTo(/^Record now/);
    await page.keyboard.press("Enter");
    await recordedTwoSeconds(page);
    await tabTo(/^Stop/);
    await page.keyboard.press("Enter");
    await page.getByLabel(/^Your recording/).waitFor();
    await tabTo(/^Whose voice is it/);
    await page.keyboard.type("Aunt Mia");
    await page.keyboard.press("Enter");
    await settled(page, "Aunt Mia");
    // It comes with the list of voices, after the result.
    await cardOf(page, "Aunt Mia").getByRole("button", {
      name: "Let it say something",
    }).waitFor();
    await tabTo(/^Let it say something/);
    await page.keyboard.press("Enter");
    await tabTo(/^What should it say/);
    await page.keyboard.type("By keyboard.");
    await tabTo(/^Speak it/);
    await page.keyboard.press("Enter");
    await settled(page, "By keyboard.");
  },
);

browserTest(
  "keyboard: Tab reaches every control of the studio and shows the focus, and nothing traps it",
  async () => {
    await using visitor = await visit(site(), { reducedMotion: "reduce" });
    const { page } = visitor;
    const everything = page.locator("body");
    await page.getByRole("heading", { level: 1 }).waitFor();
    await walk(page, everything);
    await signInAsAnna(page);
    await page.locator("li.job").first().waitFor();
    await page.getByRole("button", { name: "Timeline" }).first()
      .press("Enter");
    await page.locator(".timeline li").first().waitFor();
    await page.locator("summary[aria-label=Appearance]").press("Enter");
    await allResults(page);
    await walk(page, everything);
    for (const tool of ["Speak", "Talking photo", "Transcribe", "Book"]) {
      await page.getByRole("list", { name: "What to make" })
        .getByRole("button", { name: tool }).press("Enter");
      await page.locator(`.tool[aria-pressed=true]:has-text("${tool}")`)
        .waitFor();
      await walk(page, page.locator(".make"));
    }
    await page.getByRole("list", { name: "What to make" })
      .getByRole("button", { name: "Clone a voice" }).press("Enter");
    await walkDialog(
      page,
      page.getByRole("button", { name: "Delete Grandpa Josef" }),
    );
  },
);
