/** Keepsakes as an app sees them, with supabase-js: the result, and each slideshow that is refused. */
import { assert, assertEquals } from "@std/assert";
import { extractText, getDocumentProxy } from "unpdf";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  MAX_SLIDES,
  pdfRenderResultSchema,
} from "../../supabase/functions/_shared/contracts/pdf-render.ts";
import { signUp, type TestUser } from "../_support/as-user.ts";
import {
  addPhoto,
  addSlideshow,
  newKeepsake as newJob,
  readPhoto,
  requestKeepsake,
} from "../_support/keepsakes.ts";
import { assertProblem } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

const running = useStack();

async function failureOf(user: TestUser, slideshowId: string) {
  const jobId = await newJob(user, { slideshow_id: slideshowId });
  const job = await waitForJob(running(), user, jobId, "failed");
  const { data } = await user.client.from("pdfs").select("id").eq(
    "job_id",
    jobId,
  );
  assertEquals(data, [], "no row without its file");
  return [job.error_code, job.error_message, job.attempt];
}

Deno.test("pdf_render: a slideshow becomes a PDF that only its owner can fetch, with only supabase-js", async () => {
  const stack = running();
  const user = await signUp(stack);
  await user.client.from("profiles").insert({
    display_name: "Zoë Łęcka",
    locale: "de-AT",
  });
  const photo = await addPhoto(
    user,
    await readPhoto("quarters-orientation-6.jpg"),
  );
  const second = await addPhoto(user, await readPhoto("rgb.png"), "image/png");
  const slideshow = await addSlideshow(user, [
    { media_id: photo.id, caption: "Бабушка и Ελένη am See 🏖️" },
    { media_id: second.id },
  ], { description: "For Mama." });
  await stack.sql`
    update public.slideshows set created_at = '2026-08-05T12:00:00Z' where id = ${slideshow}`;

  const created = await user.client.functions.invoke("create-ai-job", {
    body: {
      job_type: "pdf_render",
      metadata: {
        slideshow_id: slideshow,
        page_size: "square",
        title: "Großmutters Sommer",
      },
    },
  });
  assertEquals([created.error, created.response?.status], [null, 202]);
  const { job_id } = createAiJobResponseSchema.parse(created.data);
  const job = await waitForJob(stack, user, job_id, "completed");
  assertEquals(job.output_url, `pdfs/${user.id}/${job_id}/keepsake.pdf`);
  assertEquals([job.provider, job.spend, job.billable_calls], [
    "internal",
    "none",
    0,
  ]);
  const result = pdfRenderResultSchema.parse(job.result_data);
  assertEquals([result.page_count, result.omitted_picture_count], [6, 1]);

  const { data: row } = await user.client.from("pdfs").select(
    "job_id,slideshow_id,title,pdf_url,page_count,size_bytes",
  ).single();
  assertEquals(row, {
    job_id,
    slideshow_id: slideshow,
    title: "Großmutters Sommer",
    pdf_url: `pdfs/${user.id}/${job_id}/keepsake.pdf`,
    page_count: 6,
    size_bytes: result.size_bytes,
  });

  const got = await user.client.functions.invoke(`get-ai-job?id=${job_id}`, {
    method: "GET",
  });
  const response = await fetch(got.data.output_url);
  assertEquals(response.headers.get("content-type"), "application/pdf");
  const bytes = await response.bytes();
  assertEquals(bytes.length, result.size_bytes);
  const document = await getDocumentProxy(bytes);
  const { text } = await extractText(document, { mergePages: false });
  assertEquals(text.map((page) => page.replaceAll(/\s+/g, " ").trim()), [
    "Großmutters Sommer ❧ Zoë Łęcka 5. August 2026",
    "❧ For Mama.",
    "Бабушка и Ελένη am See 3",
    "4",
    "",
    "❧ Großmutters Sommer",
  ]);
  await document.loadingTask.destroy();

  const otherUser = await signUp(stack);
  const { data: theirs } = await otherUser.client.from("pdfs").select("id");
  assertEquals(theirs, []);
  const { error } = await otherUser.client.storage.from("pdfs").download(
    `${user.id}/${job_id}/keepsake.pdf`,
  );
  assert(error !== null);
});

Deno.test("pdf_render: a changed slideshow gives a new keepsake for the same request", async () => {
  const user = await signUp(running());
  const { id } = await addPhoto(user, await readPhoto("progressive.jpg"));
  const slideshow = await addSlideshow(user, [{ media_id: id }]);
  const sizes: unknown[] = [];
  for (const caption of ["before", "afterwards, and longer"]) {
    await user.client.from("slideshow_items").update({ caption }).eq(
      "slideshow_id",
      slideshow,
    );
    const jobId = await newJob(user, { slideshow_id: slideshow });
    const job = await waitForJob(running(), user, jobId, "completed");
    assertEquals(job.cached_from_job_id, null);
    sizes.push(job.result_data?.["size_bytes"]);
  }
  assertEquals(new Set(sizes).size, 2);
});

Deno.test("pdf_render: another user's slideshow, a missing one and an invalid id are refused alike everywhere", async () => {
  const stack = running();
  const owner = await signUp(stack), user = await signUp(stack);
  const { id } = await addPhoto(owner, await readPhoto("progressive.jpg"));
  const foreign = await addSlideshow(owner, [{ media_id: id }]);
  // A published slideshow is readable by its link, but only its owner may print it.
  await owner.client.from("slideshows").update({ is_published: true }).eq(
    "id",
    foreign,
  );
  const answers = [];
  for (const slideshow_id of [foreign, crypto.randomUUID()]) {
    const answer = await requestKeepsake(user, { slideshow_id });
    assertProblem(answer, {
      status: 400,
      code: "slideshow_not_found",
      field: "metadata.slideshow_id",
    });
    answers.push(JSON.stringify({ ...Object(answer.body), request_id: "" }));
    const { error } = await user.client.from("ai_jobs").insert({
      user_id: user.id,
      job_type: "pdf_render",
      metadata: { slideshow_id },
    });
    assertEquals([error?.code, error?.details], [
      "AJ090",
      "metadata.slideshow_id",
    ]);
  }
  assertEquals(answers[0], answers[1]);
  for (const metadata of [{}, { slideshow_id: null }]) {
    const { error } = await user.client.from("ai_jobs").insert({
      user_id: user.id,
      job_type: "pdf_render",
      metadata,
    });
    assertEquals(error?.code, "AJ020");
  }
  const jobs = await user.client.from("ai_jobs").select("id");
  assertEquals(jobs.data, []);
});

Deno.test("pdf_render: a slideshow without photos and one with too many are refused", async () => {
  const stack = running();
  const user = await signUp(stack);
  const empty = await addSlideshow(user, []);
  assertProblem(await requestKeepsake(user, { slideshow_id: empty }), {
    status: 400,
    code: "slideshow_empty",
    field: "metadata.slideshow_id",
  });
  const { id, path } = await addPhoto(
    user,
    await readPhoto("progressive.jpg"),
  );
  const long = await addSlideshow(
    user,
    Array.from({ length: MAX_SLIDES + 1 }, () => ({ media_id: id })),
  );
  assertProblem(await requestKeepsake(user, { slideshow_id: long }), {
    status: 400,
    code: "slideshow_too_large",
    field: "metadata.slideshow_id",
  });
  const other = await addPhoto(user, await readPhoto("progressive.jpg"));
  const heavy = await addSlideshow(user, [
    { media_id: id },
    { media_id: other.id },
  ]);
  await stack.sql`
    update storage.objects set metadata = jsonb_set(metadata, '{size}', '251658241')
    where bucket_id = 'uploads' and name in (${path}, ${other.path})`;
  assertProblem(await requestKeepsake(user, { slideshow_id: heavy }), {
    status: 400,
    code: "slideshow_too_large",
    field: "metadata.slideshow_id",
  });
  // A photo that two slides show is in the book once.
  const twice = await addSlideshow(user, [{ media_id: id }, { media_id: id }]);
  assertEquals(
    (await requestKeepsake(user, { slideshow_id: twice })).status,
    202,
  );
  const wordy = await addSlideshow(
    user,
    Array.from({ length: 61 }, () => ({
      media_id: id,
      caption: "w".repeat(500),
    })),
  );
  assertProblem(await requestKeepsake(user, { slideshow_id: wordy }), {
    status: 400,
    code: "slideshow_too_large",
    field: "metadata.slideshow_id",
  });
});

Deno.test("pdf_render: a slideshow that grew, was emptied or deleted after job creation fails the job", async () => {
  const stack = running();
  const user = await signUp(stack);
  const { id } = await addPhoto(user, await readPhoto("progressive.jpg"));
  const ends: unknown[] = [];
  for (const change of ["delete slides", "add slides", "delete"] as const) {
    const slideshow = await addSlideshow(user, [{ media_id: id }]);
    await stack.pauseNet();
    const jobId = await newJob(user, { slideshow_id: slideshow });
    const slides = user.client.from("slideshow_items");
    const { error } = change === "delete"
      ? await user.client.from("slideshows").delete().eq("id", slideshow)
      : change === "delete slides"
      ? await slides.delete().eq("slideshow_id", slideshow)
      : await slides.insert(
        Array.from({ length: MAX_SLIDES }, (_, index) => ({
          slideshow_id: slideshow,
          media_id: id,
          position: index + 1,
        })),
      );
    assertEquals(error, null);
    await stack.resumeNet();
    const job = await waitForJob(stack, user, jobId, "failed");
    ends.push(job.error_code);
  }
  assertEquals(ends, [
    "slideshow_empty",
    "slideshow_too_large",
    "slideshow_not_found",
  ]);
});

Deno.test("pdf_render: a missing photo and an unprintable one fail the job once, and name their slide", async () => {
  const user = await signUp(running());
  const good = await addPhoto(user, await readPhoto("progressive.jpg"));
  const gone = await addPhoto(user, await readPhoto("rgb.png"), "image/png");
  const webp = await addPhoto(
    user,
    await readPhoto("photo.webp"),
    "image/webp",
  );
  const cut = await addPhoto(
    user,
    (await readPhoto("rgb.png")).subarray(0, 150),
    "image/png",
  );
  await user.client.storage.from("uploads").remove([gone.path]);
  const withSecond = (media_id: string) =>
    addSlideshow(user, [{ media_id: good.id }, { media_id }]);
  assertEquals(await failureOf(user, await withSecond(gone.id)), [
    "photo_not_found",
    "slide 2: its photo does not exist",
    1,
  ]);
  assertEquals(await failureOf(user, await withSecond(webp.id)), [
    "photo_not_printable",
    "slide 2: the photo is a WebP file; only JPEG and PNG can be printed",
    1,
  ]);
  assertEquals(await failureOf(user, await withSecond(cut.id)), [
    "photo_not_printable",
    "slide 2: the photo ends too early",
    1,
  ]);
});

Deno.test("pdf_render: a title or slideshow whose letters the fonts mostly lack is refused, naming them", async () => {
  const user = await signUp(running());
  const { id } = await addPhoto(user, await readPhoto("progressive.jpg"));
  const titled = await addSlideshow(user, [{ media_id: id }], {
    title: "祖母 2026",
  });
  assertEquals(await failureOf(user, titled), [
    "text_not_printable",
    "most letters of the title are in no font of the keepsake: 祖 母",
    1,
  ]);
  const pictured = await addSlideshow(user, [{ media_id: id }], {
    title: "🎉 👵🏽",
  });
  assertEquals(await failureOf(user, pictured), [
    "text_not_printable",
    'the title "🎉 👵🏽" has no character that can be printed; add letters to it',
    1,
  ]);
  const captioned = await addSlideshow(user, [
    { media_id: id, caption: "祖母と孫" },
    { media_id: id, caption: "me" },
  ], { title: "A" });
  assertEquals(await failureOf(user, captioned), [
    "text_not_printable",
    "most letters of the slideshow's texts are in no font of the keepsake: 祖 母 と 孫",
    1,
  ]);
});

Deno.test("pdf_render: a slide that names another user's media prints nothing of it", async () => {
  const stack = running();
  const user = await signUp(stack), victim = await signUp(stack);
  const own = await addPhoto(user, await readPhoto("progressive.jpg"));
  const theirs = await addPhoto(victim, await readPhoto("grey.jpg"));
  const slideshow = await addSlideshow(user, [{ media_id: own.id }]);
  const { error } = await user.client.from("slideshow_items").update({
    media_id: theirs.id,
  }).eq("slideshow_id", slideshow);
  assertEquals(error?.code, "23503", "the foreign key refuses it");
  // As if the foreign key were missing: the processor, which can read everything, checks the owner itself.
  await stack.pauseNet();
  const jobId = await newJob(user, { slideshow_id: slideshow });
  {
    await using connection = stack.connect();
    await connection.sql.begin(async (sql) => {
      await sql`alter table public.slideshow_items drop constraint slideshow_items_media_fkey`;
      await sql`update public.slideshow_items set media_id = ${theirs.id} where slideshow_id = ${slideshow}`;
    });
    try {
      await stack.resumeNet();
      const job = await waitForJob(stack, user, jobId, "failed");
      assertEquals([job.error_code, job.error_message], [
        "photo_not_found",
        "slide 1: its photo does not exist",
      ]);
    } finally {
      await connection.sql.begin(async (sql) => {
        await sql`delete from public.slideshow_items where slideshow_id = ${slideshow}`;
        await sql`
          alter table public.slideshow_items add constraint slideshow_items_media_fkey
          foreign key (media_id, user_id) references public.media (id, user_id) on delete cascade`;
      });
    }
  }
});

Deno.test("pdf_render: omissions and likely print defects do not fail the job; the result lists them", async () => {
  const stack = running();
  const user = await signUp(stack);
  await user.client.from("profiles").insert({
    display_name: "Anna",
    locale: "en",
    time_zone: "Pacific/Auckland",
  });
  const whole = await readPhoto("progressive.jpg");
  const small = await addPhoto(user, whole);
  const endless = await addPhoto(user, whole.subarray(0, whole.length - 2));
  const slideshow = await addSlideshow(user, [
    { media_id: small.id, caption: "Visit of 祖母 from ⌘" },
    { media_id: endless.id, caption: "☃" },
    { media_id: small.id, caption: "祖母" },
  ]);
  // Late evening of the 5th in London, the 6th in New Zealand.
  await stack.sql`
    update public.slideshows set created_at = '2026-08-05T22:00:00Z' where id = ${slideshow}`;
  const jobId = await newJob(user, { slideshow_id: slideshow });
  const job = await waitForJob(stack, user, jobId, "completed");
  const result = pdfRenderResultSchema.parse(job.result_data);
  assertEquals(
    [
      result.omitted_character_count,
      result.omitted_character_sample,
      result.captions_incomplete,
      result.omitted_picture_count,
      result.photos_too_small,
      result.photos_without_end,
    ],
    [5, "祖 母 ⌘", [1, 3], 1, [1, 2, 3], [2]],
  );
  const { data } = await user.client.storage.from("pdfs").download(
    `${user.id}/${jobId}/keepsake.pdf`,
  );
  assert(data !== null);
  const document = await getDocumentProxy(await data.bytes());
  const { text } = await extractText(document, { mergePages: false });
  assertEquals(
    text.slice(0, 3).map((page) => page.replaceAll(/\s+/g, " ").trim()),
    ["Grandma's summers ❧ Anna August 6, 2026", "Visit of from 2", "3"],
  );
  await document.loadingTask.destroy();
});

Deno.test("profiles: an unknown time zone is refused, and named", async () => {
  const user = await signUp(running());
  for (
    const [time_zone, code] of [
      ["Europe/Atlantis", "22023"],
      ["UTC+3; drop", "23514"],
      ["", "23514"],
    ] as const
  ) {
    const { error } = await user.client.from("profiles").insert({
      display_name: "Anna",
      time_zone,
    });
    assertEquals(error?.code, code, time_zone);
  }
  const { error } = await user.client.from("profiles").insert({
    display_name: "Anna",
    time_zone: "America/Argentina/Buenos_Aires",
  });
  assertEquals(error, null);
});

Deno.test("pdf_render: pages and slides follow the owner's choices", async () => {
  const user = await signUp(running());
  const photos = await Promise.all(
    Array.from(
      { length: 5 },
      async () => await addPhoto(user, await readPhoto("progressive.jpg")),
    ),
  );
  const slideshow = await addSlideshow(
    user,
    photos.map(({ id }, index) => ({
      media_id: id,
      is_full_page: index === 4,
    })),
  );
  const pages: unknown[] = [];
  for (const photos_per_page of [1, 2, 4, "auto"]) {
    const jobId = await newJob(user, {
      slideshow_id: slideshow,
      page_size: "square",
      photos_per_page,
    });
    const job = await waitForJob(running(), user, jobId, "completed");
    pages.push(job.result_data?.["page_count"]);
  }
  // Front and back cover, and an even number of pages.
  assertEquals(pages, [8, 6, 4, 8]);
  assertProblem(
    await requestKeepsake(user, {
      slideshow_id: slideshow,
      photos_per_page: 3,
    }),
    {
      status: 400,
      code: "invalid_request",
      field: "metadata.photos_per_page",
    },
  );
});
