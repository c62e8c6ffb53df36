import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Simulators } from "../../../../dev/simulators/server.ts";
import { ProviderFailure } from "../../../../supabase/functions/_shared/failures/provider-failure.ts";
import type {
  AvatarSpeech,
} from "../../../../supabase/functions/_shared/providers/avatar-videos.ts";
import { createDIdTalks } from "../../../../supabase/functions/_shared/providers/d-id/talks.ts";
import { historyPageSchema } from "../../../../supabase/functions/_shared/providers/elevenlabs/history.ts";
import { createElevenLabsInventory } from "../../../../supabase/functions/_shared/providers/elevenlabs/inventory.ts";
import { createElevenLabsSpeech } from "../../../../supabase/functions/_shared/providers/elevenlabs/speech.ts";
import { createHeyGenVideos } from "../../../../supabase/functions/_shared/providers/heygen/videos.ts";
import {
  type ListedObject,
  markedJob,
  type ProviderInventory,
  videoInventory,
} from "../../../../supabase/functions/_shared/providers/inventory.ts";
import { control, running } from "../../_support/running-simulators.ts";

const KEY = "key-of-the-test-1234";
const signal = () => AbortSignal.timeout(20_000);
const SPEECH: AvatarSpeech = {
  kind: "text",
  text: "Hello, it is me.",
  voiceId: "v",
  voiceProvider: "microsoft",
};

const access = ({ url }: Pick<Simulators, "url">, name: string) => ({
  apiKey: KEY,
  baseUrl: `${url}/${name}`,
  timeoutSeconds: 10,
  fetch,
});

type CallbackUrl = (jobId: string) => string;

const dIdTalks = (
  simulators: Pick<Simulators, "url">,
  callbackUrl?: CallbackUrl,
) =>
  createDIdTalks({
    ...access(simulators, "d-id"),
    keyEncoding: "none",
    ...(callbackUrl && { callbackUrl }),
  });
const heyGenVideos = (simulators: Pick<Simulators, "url">) =>
  createHeyGenVideos(access(simulators, "heygen"));

/** Creates an object, with the job's marker unless `job` is null, and returns its id. */
type Make = (job: string | null) => Promise<string>;

/** An inventory of each provider, and a function that creates an object there. */
const PROVIDERS: {
  name: string;
  open(
    simulators: Simulators,
    callbackUrl?: CallbackUrl,
  ): { inventory: ProviderInventory; make: Make };
}[] = [
  {
    name: "elevenlabs",
    open: (simulators) => ({
      inventory: createElevenLabsInventory(access(simulators, "elevenlabs")),
      make: async (job) => {
        const form = new FormData();
        form.append("name", "A voice");
        form.append(
          "description",
          job === null ? "by hand" : `Grandpa (job:${job})`,
        );
        form.append(
          "files",
          new File(
            [
              await Deno.readFile(
                new URL(
                  "../../../fixtures/recordings/speech.ogg",
                  import.meta.url,
                ),
              ),
            ],
            "speech.ogg",
            { type: "audio/ogg" },
          ),
        );
        const response = await fetch(
          `${simulators.url}/elevenlabs/v1/voices/add`,
          { method: "POST", headers: { "xi-api-key": KEY }, body: form },
        );
        const { voice_id }: { voice_id: string } = await response.json();
        return voice_id;
      },
    }),
  },
  ...[
    { name: "d-id", client: dIdTalks },
    { name: "heygen", client: heyGenVideos },
  ].map(({ name, client }) => ({
    name,
    open: (simulators: Simulators, callbackUrl?: CallbackUrl) => {
      const videos = client(simulators, callbackUrl);
      const make: Make = async (job) =>
        await videos.create({
          photo: await videos.uploadPhoto({
            bytes: new Blob([
              await Deno.readFile(
                new URL(
                  "../../../fixtures/portraits/face.jpg",
                  import.meta.url,
                ),
              ),
            ]),
            mimeType: "image/jpeg",
            name: job === null ? "mine.jpg" : `job-${job}.jpg`,
          }, signal()),
          speech: SPEECH,
          marker: job === null ? "by-hand.job:one" : `job:${job}`,
          idempotencyKey: crypto.randomUUID(),
        }, signal());
      return { inventory: videoInventory(name, videos), make };
    },
  })),
];

async function listAll(inventory: ProviderInventory): Promise<ListedObject[]> {
  const all: ListedObject[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<ProviderInventory["list"]>> = await inventory
      .list(cursor, signal());
    all.push(...page.objects);
    cursor = page.next;
  } while (cursor !== null);
  return all;
}

for (const { name, open } of PROVIDERS) {
  Deno.test(`${name}: lists all pages, with the job of each object that has a marker`, async () => {
    await using simulators = await running();
    const { inventory, make } = open(simulators);
    const jobs = new Map<string, string | null>();
    const own = await make(null);
    for (let n = 0; n < 104; n++) {
      // HeyGen renders at most ten videos at the same time.
      simulators.advanceClock(1000);
      const job = crypto.randomUUID();
      jobs.set(await make(job), job);
    }
    const listed = await listAll(inventory);
    assertEquals(
      new Map(
        listed.filter(({ id }) => id !== own).map((
          { id, jobId },
        ) => [id, jobId]),
      ),
      jobs,
    );
    assertEquals(
      listed.filter(({ id }) => id === own).map(({ jobId }) => jobId).filter((
        job,
      ) => job !== null),
      [],
    );
  });

  Deno.test(`${name}: removes, reports what exists, and counts a missing object as removed`, async () => {
    await using simulators = await running();
    const { inventory, make } = open(simulators);
    const job = crypto.randomUUID();
    const id = await make(job);
    simulators.advanceClock(60_000);
    const object = { id, objectType: "create_voice", madeAt: null };
    assertEquals(await inventory.has(id, signal()), true);
    assertEquals(
      await inventory.find("create_voice", `job:${job}`, signal()),
      id,
    );
    await inventory.remove(object, signal());
    assertEquals(await inventory.has(id, signal()), false);
    assertEquals(
      await inventory.find("create_voice", `job:${job}`, signal()),
      null,
    );
    await inventory.remove(object, signal());
    assertEquals(await inventory.has("never-made", signal()), false);
  });

  Deno.test(`${name}: an object is inspected with the job of its marker, and a missing one is null`, async () => {
    await using simulators = await running();
    const { inventory, make } = open(simulators);
    const job = crypto.randomUUID();
    const inspect = (id: string) =>
      inventory.inspect(
        { id, objectType: "create_voice", madeAt: null },
        signal(),
      );
    const marked = await make(job), unmarked = await make(null);
    assertEquals(await inspect(marked), { id: marked, jobId: job });
    assertEquals(await inspect(unmarked), { id: unmarked, jobId: null });
    assertEquals(await inspect("never-made"), null);
  });

  Deno.test(`${name}: a response of 500, or a refused key, never counts as removed`, async () => {
    await using simulators = await running();
    const { inventory, make } = open(simulators);
    const id = await make(crypto.randomUUID());
    simulators.advanceClock(60_000);
    for (const status of [500, 401, 429]) {
      await control(simulators, "POST", "/faults", [{
        provider: name,
        times: null,
        fault: { kind: "status", status },
      }]);
      await assertRejects(() => inventory.has(id, signal()), ProviderFailure);
      await assertRejects(
        () =>
          inventory.remove(
            { id, objectType: "voice", madeAt: null },
            signal(),
          ),
        ProviderFailure,
      );
      await control(simulators, "DELETE", "/faults");
    }
    assertEquals(await inventory.has(id, signal()), true);
  });
}

Deno.test("d-id: without user_data and name the webhook's URL or the photo's name identifies the job", async () => {
  await using simulators = await running();
  await control(simulators, "POST", "/settings", {
    "d-id": { list_members: "documented", webhooks: "lost" },
  });
  const provider = PROVIDERS.find(({ name }) => name === "d-id");
  assert(provider !== undefined);
  const { inventory, make } = provider.open(simulators);
  const withWebhook = provider.open(
    simulators,
    (job) => `https://example.com/provider-webhook/d-id/${job}/t`,
  );
  const [one, other] = [crypto.randomUUID(), crypto.randomUUID()];
  const made = [await make(one), await withWebhook.make(other)];
  assertEquals(
    (await listAll(inventory)).map(({ id, jobId }) => [id, jobId]),
    [[made[1] ?? "", other], [made[0] ?? "", one]],
  );
});

Deno.test("d-id, heygen: for a response without the members of the marker the job is unknown", async () => {
  const open = (body: unknown) => ({
    apiKey: KEY,
    baseUrl: "https://provider.test",
    timeoutSeconds: 10,
    fetch: () => Promise.resolve(Response.json(body)),
  });
  const inspect = (inventory: ProviderInventory) =>
    inventory.inspect(
      { id: "1", objectType: "create_video", madeAt: null },
      signal(),
    );
  const talk = { id: "1", source_url: "https://d-id.test/a.jpg" };
  assertEquals(
    await inspect(
      videoInventory(
        "d-id",
        createDIdTalks({ ...open(talk), keyEncoding: "none" }),
      ),
    ),
    { id: "1", jobId: undefined },
  );
  assertEquals(
    await inspect(
      videoInventory("heygen", createHeyGenVideos(open({ data: { id: "1" } }))),
    ),
    { id: "1", jobId: undefined },
  );
});

Deno.test("elevenlabs: a speech is removed by its request id, and cannot be searched by marker", async () => {
  await using simulators = await running();
  const inventory = createElevenLabsInventory(
    access(simulators, "elevenlabs"),
  );
  const speech = createElevenLabsSpeech({
    ...access(simulators, "elevenlabs"),
  });
  const request = {
    text: "Hello, it is me.",
    providerVoiceId: "pNInz6obpgDQGcFmaJgB",
    model: "eleven_multilingual_v2",
    outputFormat: "mp3_44100_128",
    voiceSettings: {},
  } as const;
  const madeAt = new Date();
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) {
    const spoken = await speech.speak(request, signal());
    await spoken.audio.cancel();
    ids.push(spoken.id);
  }
  const [kept, gone] = ids;
  const made = {
    after: new Date(madeAt.getTime() - 60_000),
    before: new Date(Date.now() + 60_000),
  };
  assert(kept !== undefined && gone !== undefined);
  const inspect = (id: string, at = madeAt) =>
    inventory.inspect(
      { id, objectType: "text_to_speech:1", madeAt: at },
      signal(),
    );
  const inspected = { id: kept, jobId: undefined, text: request.text };
  assertEquals(await inspect(kept), inspected);
  const history = await fetch(`${simulators.url}/elevenlabs/v1/history`, {
    headers: { "xi-api-key": KEY },
  });
  const { history: items } = historyPageSchema.parse(await history.json());
  const item = items.find(({ request_id }) => request_id === kept);
  assert(item !== undefined && item.history_item_id !== kept);
  assertEquals(await inspect(item.history_item_id), inspected);
  assertEquals(await inspect("never-made"), null);
  assertEquals(
    await inspect(kept, new Date(madeAt.getTime() - 3_600_000)),
    null,
    "of another time",
  );
  for (let n = 0; n < 2; n++) {
    await inventory.remove(
      { id: gone, objectType: "text_to_speech:2", madeAt },
      signal(),
    );
  }
  assertEquals(await speech.open(gone, request, made, signal()), null);
  const sound = await speech.open(kept, request, made, signal());
  assert(sound !== null);
  await sound.cancel();
  for (const objectType of ["text_to_speech:1", "transcribe"]) {
    const { code } = await assertRejects(
      () => inventory.find(objectType, "job:x", signal()),
      ProviderFailure,
    );
    assertEquals(code, "outcome_unknown");
  }
});

Deno.test("elevenlabs: a speech is found though an account made thousands of others in the minutes after it", async () => {
  const madeAt = new Date("2026-11-01T10:00:00Z");
  const sentAtUnix = madeAt.getTime() / 1000;
  // Ten a second, for ten minutes.
  const all = Array.from({ length: 6000 }, (_, n) => ({
    history_item_id: `h${n}`,
    request_id: `r${n}`,
    date_unix: sentAtUnix + Math.floor(n / 10),
  })).reverse();
  let requests = 0;
  const inventory = createElevenLabsInventory({
    apiKey: KEY,
    baseUrl: "https://provider.test",
    timeoutSeconds: 10,
    fetch: (input) => {
      requests++;
      const query = new URL(input instanceof Request ? input.url : input)
        .searchParams;
      const last = query.get("start_after_history_item_id");
      const matching = all.filter(({ date_unix }) =>
        date_unix >= Number(query.get("date_after_unix")) &&
        date_unix <= Number(query.get("date_before_unix"))
      );
      const from = last === null
        ? 0
        : 1 + matching.findIndex((item) => item.history_item_id === last);
      return Promise.resolve(Response.json({
        history: matching.slice(from, from + 100),
        has_more: from + 100 < matching.length,
      }));
    },
  });
  const inspect = (id: string) =>
    inventory.inspect(
      { id, objectType: "text_to_speech:1", madeAt },
      signal(),
    );
  assertEquals([(await inspect("r20"))?.id, requests], ["r20", 6]);
  assertEquals(await inspect("gone"), null, "a proof, not an error");
});

Deno.test("markedJob: a marker must be the whole text", () => {
  const job = crypto.randomUUID();
  for (
    const [text, expected] of [
      [`job:${job}`, job],
      [` job:${job}`, null],
      [`job:${job} `, null],
      [`job:${job}0`, null],
      [`my job:${job}`, null],
      [job, null],
      ["job:", null],
      ["", null],
      [null, null],
      [undefined, null],
    ] as const
  ) assertEquals(markedJob(text), expected, String(text));
});
