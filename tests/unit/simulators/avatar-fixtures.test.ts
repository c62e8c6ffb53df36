/**
 * Recorded responses of D-ID and HeyGen: the product's schemas accept them, and the simulators' have the same shape.
 */
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { dIdError } from "../../../dev/simulators/d-id/errors.ts";
import { heyGenError } from "../../../dev/simulators/heygen/errors.ts";
import type { Simulators } from "../../../dev/simulators/server.ts";
import { dIdErrorSchema } from "../../../supabase/functions/_shared/providers/d-id/client.ts";
import {
  dIdCreatedTalkSchema,
  dIdTalkSchema,
  dIdTalksSchema,
  dIdUploadSchema,
} from "../../../supabase/functions/_shared/providers/d-id/talks.ts";
import { heyGenErrorSchema } from "../../../supabase/functions/_shared/providers/heygen/client.ts";
import {
  heyGenAssetSchema,
  heyGenCreatedVideoSchema,
  heyGenVideoSchema,
  heyGenVideosSchema,
} from "../../../supabase/functions/_shared/providers/heygen/videos.ts";
import { running } from "../_support/running-simulators.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const fixtureSchema = z.strictObject({ status: z.int(), body: z.json() });

function fixture(path: string): z.output<typeof fixtureSchema> {
  const url = new URL(`../../fixtures/${path}.json`, import.meta.url);
  return fixtureSchema.parse(JSON.parse(Deno.readTextFileSync(url)));
}

/** The keys at every depth, without the values; null fits any value. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== "object" || value === null) return "value";
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([key, member]) => [key, shape(member)]),
  );
}

const SCHEMAS: Record<string, z.ZodType> = {
  "d-id/image-created": dIdUploadSchema,
  "d-id/audio-created": dIdUploadSchema,
  "d-id/talk-created": dIdCreatedTalkSchema,
  "d-id/talk-started": dIdTalkSchema,
  "d-id/talk-done": dIdTalkSchema,
  "d-id/talk-error": dIdTalkSchema,
  "d-id/talk-rejected": dIdTalkSchema,
  "d-id/talks-page-documented": dIdTalksSchema,
  "heygen/asset-created": heyGenAssetSchema,
  "heygen/video-created": heyGenCreatedVideoSchema,
  "heygen/video-processing": heyGenVideoSchema,
  "heygen/video-completed": heyGenVideoSchema,
  "heygen/video-failed": heyGenVideoSchema,
  "heygen/video-refused": heyGenVideoSchema,
  "heygen/videos-page": heyGenVideosSchema,
};

for (const [path, schema] of Object.entries(SCHEMAS)) {
  Deno.test(`fixture ${path}: the product's schema accepts it`, () => {
    assertEquals(schema.safeParse(fixture(path).body).error, undefined);
  });
}

for (
  const [folder, schema, make] of [
    ["d-id", dIdErrorSchema, dIdError],
    ["heygen", heyGenErrorSchema, heyGenError],
  ] as const
) {
  const url = new URL(`../../fixtures/${folder}/`, import.meta.url);
  for (const { name } of Deno.readDirSync(url)) {
    const error = /^error-(.+)\.json$/.exec(name)?.[1];
    if (error === undefined) continue;
    Deno.test(`fixture ${folder}/${name}: equals the simulator's response, and the product's schema accepts it`, () => {
      const { status, body } = fixture(`${folder}/error-${error}`);
      const answer = make(error.replaceAll("-", "_"));
      assertEquals(answer.status, status);
      assertEquals(JSON.parse(String(answer.body)), body);
      // The gateway in front of D-ID has its own error format.
      const isGateway = z.strictObject({ message: z.string() })
        .safeParse(body).success;
      assertEquals(schema.safeParse(body).success, !isGateway);
    });
  }
}

async function send(
  { url }: Simulators,
  path: string,
  body?: FormData | Record<string, unknown>,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    headers: { authorization: "Basic k", "x-api-key": "k" },
    ...(body === undefined ? {} : {
      method: "POST",
      body: body instanceof FormData ? body : JSON.stringify(body),
    }),
  });
  return await response.json();
}

function form(name: string, file: string, type: string): FormData {
  const source = type.startsWith("image/")
    ? "portraits/face.jpg"
    : "recordings/speech-12s.wav";
  const bytes = Deno.readFileSync(
    new URL(`../../fixtures/${source}`, import.meta.url),
  );
  const form = new FormData();
  form.append(name, new File([bytes], file, { type }));
  return form;
}

Deno.test("d-id simulator: every answer has the shape of its fixture", async () => {
  await using simulators = await running();
  const expected = (name: string) => shape(fixture(`d-id/${name}`).body);
  const image = await send(
    simulators,
    "/d-id/images",
    form("image", `job-${JOB}.jpg`, "image/jpeg"),
  );
  const audio = await send(
    simulators,
    "/d-id/audios",
    form("audio", `job-${JOB}.wav`, "audio/wav"),
  );
  assertEquals(shape(image), expected("image-created"));
  assertEquals(shape(audio), expected("audio-created"));
  const order = {
    source_url: dIdUploadSchema.parse(image).url,
    script: { type: "audio", audio_url: dIdUploadSchema.parse(audio).url },
    config: { result_format: "mp4" },
    user_data: `job:${JOB}`,
    name: `job:${JOB}`,
    webhook: "http://127.0.0.1:1/hook",
  };
  const [, dId] = simulators.providers;
  dId?.changeSettings({ webhooks: "lost", list_members: "documented" });
  for (const outcome of ["done", "error", "rejected"]) {
    dId?.changeSettings({ outcome });
    const created = await send(simulators, "/d-id/talks", order);
    assertEquals(shape(created), expected("talk-created"));
    const { id } = dIdCreatedTalkSchema.parse(created);
    simulators.advanceClock(400);
    assertEquals(
      shape(await send(simulators, `/d-id/talks/${id}`)),
      expected("talk-started"),
    );
    simulators.advanceClock(800);
    assertEquals(
      shape(await send(simulators, `/d-id/talks/${id}`)),
      expected(`talk-${outcome}`),
    );
  }
  assertEquals(
    shape(await send(simulators, "/d-id/talks?limit=2")),
    expected("talks-page-documented"),
  );
});

Deno.test("heygen simulator: every answer has the shape of its fixture", async () => {
  await using simulators = await running();
  const expected = (name: string) => shape(fixture(`heygen/${name}`).body);
  const asset = await send(
    simulators,
    "/heygen/v3/assets",
    form("file", "face.jpg", "image/jpeg"),
  );
  assertEquals(shape(asset), expected("asset-created"));
  const order = {
    type: "image",
    image: {
      type: "asset_id",
      asset_id: heyGenAssetSchema.parse(asset).data.asset_id,
    },
    script: "Hello.",
    voice_id: "v",
    title: `job:${JOB}`,
  };
  const [, , heyGen] = simulators.providers;
  for (
    const [outcome, name] of [
      ["completed", "completed"],
      ["failed", "failed"],
      [
        "refused",
        "refused",
      ],
    ] as const
  ) {
    heyGen?.changeSettings({ outcome });
    const created = await send(simulators, "/heygen/v3/videos", order);
    assertEquals(shape(created), expected("video-created"));
    const { video_id } = heyGenCreatedVideoSchema.parse(created).data;
    simulators.advanceClock(400);
    assertEquals(
      shape(await send(simulators, `/heygen/v3/videos/${video_id}`)),
      expected("video-processing"),
    );
    simulators.advanceClock(800);
    assertEquals(
      shape(await send(simulators, `/heygen/v3/videos/${video_id}`)),
      expected(`video-${name}`),
    );
  }
  assertEquals(
    shape(await send(simulators, `/heygen/v3/videos?title=job:${JOB}`)),
    expected("videos-page"),
  );
});

Deno.test("simulated results: a URL is valid until it expires, only unaltered, and can be renewed", async () => {
  await using simulators = await running();
  const asset = await send(
    simulators,
    "/heygen/v3/assets",
    form("file", "face.jpg", "image/jpeg"),
  );
  const created = await send(simulators, "/heygen/v3/videos", {
    type: "image",
    image: {
      type: "asset_id",
      asset_id: heyGenAssetSchema.parse(asset).data.asset_id,
    },
    script: "Hello.",
    voice_id: "v",
  });
  const { video_id } = heyGenCreatedVideoSchema.parse(created).data;
  simulators.advanceClock(800);
  const address = async () =>
    heyGenVideoSchema.parse(
      await send(simulators, `/heygen/v3/videos/${video_id}`),
    ).data.video_url ?? "";
  const statusOf = async (url: string) => {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.status;
  };
  const first = await address();
  assertEquals(await statusOf(first), 200);
  const later = new URL(first);
  later.searchParams.set("Expires", "9999999999");
  assertEquals(await statusOf(later.href), 403);
  simulators.advanceClock(604_800_000);
  assertEquals(await statusOf(first), 403);
  assertEquals(await statusOf(await address()), 200);
});

Deno.test("heygen simulator: more renders than the plan allows are 429 with Retry-After, and cost nothing", async () => {
  await using simulators = await running();
  const [, , heyGen] = simulators.providers;
  heyGen?.changeSettings({ max_concurrent: 1 });
  const asset = await send(
    simulators,
    "/heygen/v3/assets",
    form("file", "face.jpg", "image/jpeg"),
  );
  const order = () =>
    fetch(`${simulators.url}/heygen/v3/videos`, {
      method: "POST",
      headers: { "x-api-key": "k" },
      body: JSON.stringify({
        type: "image",
        image: {
          type: "asset_id",
          asset_id: heyGenAssetSchema.parse(asset).data.asset_id,
        },
        script: "Hello.",
        voice_id: "v",
      }),
    });
  await (await order()).body?.cancel();
  const second = await order();
  await second.body?.cancel();
  assertEquals([second.status, second.headers.get("retry-after")], [429, "7"]);
  assertEquals(simulators.ledger.list().length, 1);
});

Deno.test("simulated films: unusable inputs are accepted, but the render fails", async () => {
  await using simulators = await running();
  const broken = (name: string, type: string) => {
    const form = new FormData();
    form.append(name, new File(["no picture"], "face.jpg", { type }));
    return form;
  };
  const image = await send(
    simulators,
    "/d-id/images",
    broken("image", "image/jpeg"),
  );
  const talk = await send(simulators, "/d-id/talks", {
    source_url: dIdUploadSchema.parse(image).url,
    script: { type: "text", input: "Hello." },
  });
  const asset = await send(
    simulators,
    "/heygen/v3/assets",
    broken("file", "image/jpeg"),
  );
  const video = await send(simulators, "/heygen/v3/videos", {
    type: "image",
    image: {
      type: "asset_id",
      asset_id: heyGenAssetSchema.parse(asset).data.asset_id,
    },
    script: "Hello.",
    voice_id: "v",
  });
  simulators.advanceClock(800);
  const { id } = dIdCreatedTalkSchema.parse(talk);
  const { video_id } = heyGenCreatedVideoSchema.parse(video).data;
  const read = [
    dIdTalkSchema.parse(await send(simulators, `/d-id/talks/${id}`)).status,
    heyGenVideoSchema.parse(
      await send(simulators, `/heygen/v3/videos/${video_id}`),
    ).data.status,
  ];
  assertEquals(read, ["error", "failed"]);
});
