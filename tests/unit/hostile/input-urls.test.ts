/** `input_url` in every disguise: refused with the field's name, and no service is called. */
import { assert, assertEquals } from "@std/assert";
import fc, { anyCharacter } from "../../_support/fast-check.ts";
import { avatarVideoMetadataSchema } from "../../../supabase/functions/_shared/contracts/avatar-video.ts";
import {
  normalizeInputUrl,
  parseObjectPath,
} from "../../../supabase/functions/_shared/contracts/object-path.ts";
import { createHandler } from "../../../supabase/functions/create-ai-job/handler.ts";
import { assertNames, refusalOf } from "../../_support/hostile-answers.ts";
import {
  foreignHosts,
  hostilePaths,
  hostileUrls,
  writingsOf,
} from "../../_support/hostile-urls.ts";
import { tryCases } from "../../_support/try-cases.ts";
import { CALLER, inProcess, PROJECT_URL } from "../_support/in-process.ts";

const FOLDER = `voice-samples/${CALLER}`;
const OURS = new URL(PROJECT_URL).host;

/** A job of a type that has an input, with this one. */
function jobsWith(inputUrl: string): Record<string, unknown>[] {
  return [
    {
      job_type: "voice_clone",
      input_url: inputUrl,
      metadata: { voice_name: "V" },
    },
    { job_type: "transcription", input_url: inputUrl, metadata: {} },
    {
      job_type: "avatar_video",
      input_url: inputUrl,
      metadata: { text: "Hello.", voice_id: "v" },
    },
  ];
}

for (
  const [name, inputs] of [
    ["foreign addresses", hostileUrls(OURS, FOLDER)],
    ["paths with .. or hidden parts", hostilePaths(PROJECT_URL, FOLDER)],
  ] as const
) {
  Deno.test(`create-ai-job: input_url, ${name}: refused by field name, and no service is called`, async () => {
    const endpoint = await inProcess(createHandler, "POST");
    await tryCases(
      `input_url, ${name}`,
      fc.tuple(inputs, fc.nat(2)),
      4000,
      async ([input, type]) => {
        const body = JSON.stringify(jobsWith(input)[type]);
        const problem = await refusalOf(await endpoint.call({ body }));
        assertNames(problem, ["input_url"]);
      },
    );
    assertEquals(endpoint.outside, []);
  });

  Deno.test(`avatar_video: audio_url, ${name}: refused`, async () => {
    await tryCases(`audio_url, ${name}`, inputs, 4000, (audio_url) => {
      const read = avatarVideoMetadataSchema.safeParse({ audio_url });
      assert(!read.success);
      assertEquals(read.error.issues[0]?.path, ["audio_url"]);
    });
  });
}

Deno.test("normalizeInputUrl: any text results in null or a plain object path", async () => {
  const anything = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc.string({ unit: anyCharacter, maxLength: 40 }),
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    fc.tuple(
      fc.constantFrom(PROJECT_URL, "https://PROJECT.test:443", ""),
      fc.constantFrom("/storage/v1/object/", "/storage/v1/object/sign/", ""),
      fc.string({ maxLength: 60 }),
    ).map((parts) => parts.join("")),
    fc.tuple(
      fc.constantFrom(`${PROJECT_URL}/storage/v1/object/${FOLDER}/`),
      fc.array(fc.constantFrom("..", "%2e", "/", "%2f", "a", "\\", "%", "é"), {
        maxLength: 8,
      }),
    ).map(([start, parts]) => start + parts.join("")),
  );
  await tryCases("normalizeInputUrl", anything, 10_000, (text) => {
    const path = normalizeInputUrl(text, [PROJECT_URL]);
    if (path === null) return;
    assert(parseObjectPath(path) !== null, path);
    assert(!/[\\%?#]|(^|\/)\.{1,2}(\/|$)/.test(path), path);
    // No bucket's name looks like the beginning of a URL.
    assert(!/^[a-z]+:/i.test(path), path);
  });
});

Deno.test("normalizeInputUrl: twin: the project's own URLs are accepted in every spelling", () => {
  const object = `${FOLDER}/a.mp3`;
  for (
    const url of [
      `${PROJECT_URL}/storage/v1/object/${object}`,
      `HTTPS://PROJECT.TEST:443/storage/v1/object/sign/${object}?token=x`,
      `${PROJECT_URL}/storage/v1/object/authenticated/${object}#x`,
    ]
  ) assertEquals(normalizeInputUrl(url, [PROJECT_URL]), object);
});

Deno.test("writingsOf: a URL parser reads most notations of an address as the same host", () => {
  const hosts = writingsOf("127.0.0.1").flatMap((host) => {
    const url = `http://${host}/`;
    return URL.canParse(url) ? [new URL(url).hostname] : [];
  });
  assert(hosts.filter((host) => host === "127.0.0.1").length >= 10, `${hosts}`);
  assert(foreignHosts(OURS).length > 60);
});
