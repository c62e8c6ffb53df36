/** What the simulated providers keep after a restart, and after a kill. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import {
  type Simulators,
  startSimulators,
} from "../../../dev/simulators/server.ts";
import {
  audioFile,
  recording,
  running,
} from "../_support/running-simulators.ts";

const MAIN = fromFileUrl(
  new URL("../../../dev/simulators/main.ts", import.meta.url),
);
const KEYS = {
  "xi-api-key": "k",
  "x-api-key": "k",
  authorization: "Basic k",
};

interface Folder extends AsyncDisposable {
  state: string;
}

async function newFolder(): Promise<Folder> {
  const dir = await Deno.makeTempDir({ prefix: "simulators-" });
  return {
    state: join(dir, "state.sqlite"),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** Simulators on that file, stopped at the end of the block. */
async function remembering(
  { state }: Folder,
): Promise<Simulators & AsyncDisposable> {
  const simulators = await startSimulators({ state });
  return {
    ...simulators,
    [Symbol.asyncDispose]: () => simulators.stop(),
  };
}

async function ask(
  url: string,
  body?: FormData | Record<string, unknown> | readonly string[],
  headers: Record<string, string> = KEYS,
): Promise<{ status: number; bytes: Uint8Array; json: unknown }> {
  const response = await fetch(url, {
    headers,
    ...(body === undefined ? {} : {
      method: "POST",
      body: body instanceof FormData ? body : JSON.stringify(body),
    }),
  });
  const bytes = await response.bytes();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    bytes,
    json: isJson ? JSON.parse(new TextDecoder().decode(bytes)) : null,
  };
}

function form(fields: Record<string, string | File>): FormData {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  return made;
}

function idOf(answer: { json: unknown }, path: readonly string[]): string {
  let value: unknown = answer.json;
  for (const name of path) {
    value = z.record(z.string(), z.unknown()).parse(value)[name];
  }
  return z.string().parse(value);
}

function speak(url: string, voice: string, text: string) {
  return ask(`${url}/elevenlabs/v1/text-to-speech/${voice}`, { text });
}

const photo = () =>
  new File(
    [
      Deno.readFileSync(
        new URL("../../fixtures/portraits/face.jpg", import.meta.url),
      ),
    ],
    "face.jpg",
    { type: "image/jpeg" },
  );

Deno.test("memory: with a file, every object that an app can refer to survives a restart", async () => {
  await using folder = await newFolder();
  const before: Record<string, unknown> = {};
  let reads: Record<string, (url: string) => Promise<unknown>> = {};
  {
    await using simulators = await remembering(folder);
    const { url } = simulators;
    const voice = idOf(
      await ask(
        `${url}/elevenlabs/v1/voices/add`,
        form({ name: "Grandma", files: audioFile() }),
      ),
      ["voice_id"],
    );
    await ask(`${url}/elevenlabs/v1/voices/${voice}/settings/edit`, {
      stability: 0.1,
    });
    await speak(url, voice, "Have you eaten?");
    const history = z.object({
      history: z.array(z.object({ history_item_id: z.string() })).length(1),
    }).parse((await ask(`${url}/elevenlabs/v1/history`)).json);
    const spoken = history.history[0]?.history_item_id ?? "";
    const transcript = idOf(
      await ask(
        `${url}/elevenlabs/v1/speech-to-text`,
        form({ model_id: "scribe_v1", file: audioFile() }),
      ),
      ["transcription_id"],
    );
    const image = idOf(
      await ask(`${url}/d-id/images`, form({ image: photo() })),
      ["url"],
    );
    const audio = idOf(
      await ask(
        `${url}/d-id/audios`,
        form({
          audio: new File([recording("speech-24s.mp3")], "a.mp3", {
            type: "audio/mpeg",
          }),
        }),
      ),
      ["url"],
    );
    const talkBody = {
      source_url: image,
      script: { type: "audio", audio_url: audio },
      user_data: "a talk",
    };
    const talk = idOf(await ask(`${url}/d-id/talks`, talkBody), ["id"]);
    const asset = idOf(
      await ask(`${url}/heygen/v3/assets`, form({ file: photo() })),
      ["data", "asset_id"],
    );
    const order = (url: string) =>
      ask(`${url}/heygen/v3/videos`, {
        type: "image",
        image: { type: "asset_id", asset_id: asset },
        script: "Hello.",
        voice_id: "v",
        title: "a video",
      }, { ...KEYS, "idempotency-key": "one" });
    const video = idOf(await order(url), ["data", "video_id"]);
    await ask(`${url}/upstash`, ["set", "k", "v", "ex", "100000"], {
      authorization: "Bearer k",
    });
    // All videos are rendered, and the simulators' clock is ahead of the real one.
    await ask(`${url}/_control/clock`, { advance_ms: 3_600_000 });

    const body = async (answer: ReturnType<typeof ask>) => {
      const { status, json, bytes } = await answer;
      // Signatures and hosts depend on time and port, but the files do not.
      return [
        status,
        json === null
          ? bytes.length
          : JSON.stringify(json).replaceAll(/http:[^"]*/g, "…"),
      ];
    };
    reads = {
      voice: (url) => body(ask(`${url}/elevenlabs/v1/voices/${voice}`)),
      voices: (url) => body(ask(`${url}/elevenlabs/v2/voices?search=grandma`)),
      history: (url) => body(ask(`${url}/elevenlabs/v1/history`)),
      sound: (url) => body(ask(`${url}/elevenlabs/v1/history/${spoken}/audio`)),
      transcript: (url) =>
        body(ask(
          `${url}/elevenlabs/v1/speech-to-text/transcripts/${transcript}`,
        )),
      talk: (url) => body(ask(`${url}/d-id/talks/${talk}`)),
      talks: (url) => body(ask(`${url}/d-id/talks`)),
      credits: (url) => body(ask(`${url}/d-id/credits`)),
      video: (url) => body(ask(`${url}/heygen/v3/videos/${video}`)),
      // With the same idempotency key nothing is created.
      order: (url) => body(order(url)),
      key: (url) =>
        body(ask(`${url}/upstash`, ["get", "k"], {
          authorization: "Bearer k",
        })),
      ledger: (url) => body(ask(`${url}/_control/ledger`)),
    };
    for (const [name, read] of Object.entries(reads)) {
      before[name] = await read(url);
    }
    assertEquals(simulators.ledger.list().length, 5);
  }
  await using again = await remembering(folder);
  const after: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(reads)) {
    after[name] = await read(again.url);
  }
  assertEquals(after, before);
  // The uploads can be used, and the account's counters continue.
  const talks =
    z.object({ talks: z.array(z.object({ source_url: z.string() })) })
      .parse((await ask(`${again.url}/d-id/talks`)).json).talks;
  const created = await ask(`${again.url}/d-id/talks`, {
    source_url: talks[0]?.source_url ?? "",
    script: { type: "text", input: "Hello again." },
  });
  assertEquals(created.status, 201);
  const usage = await ask(`${again.url}/elevenlabs/v1/user/subscription`);
  assertEquals(
    z.object({
      character_count: z.number(),
      voice_add_edit_counter: z.number(),
    })
      .parse(usage.json),
    { character_count: "Have you eaten?".length, voice_add_edit_counter: 1 },
  );
});

Deno.test("memory: without a file nothing is kept", async () => {
  {
    await using simulators = await running();
    await speak(simulators.url, "pNInz6obpgDQGcFmaJgB", "Hello.");
    assertEquals(simulators.ledger.list().length, 1);
  }
  await using again = await running();
  assertEquals(again.ledger.list(), []);
});

Deno.test("memory: a reset empties the file as well", async () => {
  await using folder = await newFolder();
  {
    await using simulators = await remembering(folder);
    await speak(simulators.url, "pNInz6obpgDQGcFmaJgB", "Hello.");
    await simulators.reset();
  }
  await using again = await remembering(folder);
  assertEquals(again.ledger.list(), []);
  const { json } = await ask(`${again.url}/elevenlabs/v1/voices`);
  const { voices } = z.object({ voices: z.array(z.unknown()) }).parse(json);
  assertEquals(voices.length, 2, "only the voices of every account");
});

/** The program on that file, and its address. */
async function startProgram(
  { state }: Folder,
): Promise<{ child: Deno.ChildProcess; url: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", MAIN, "--state", state],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let line = "";
  for await (
    const text of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    line += text;
    if (line.includes("\n")) break;
  }
  return { child, url: line.trim().split(" ").at(-1) ?? "" };
}

Deno.test({
  name:
    "memory: after SIGKILL during its work, it has everything that it has confirmed, and nothing partial",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await newFolder();
    const answered: string[] = [];
    for (let life = 0; life < 3; life++) {
      const { child, url } = await startProgram(folder);
      let isOver = false;
      const enough = Promise.withResolvers<void>();
      const target = answered.length + 40;
      const worker = async () => {
        while (!isOver) {
          try {
            const answer = await ask(
              `${url}/elevenlabs/v1/voices/add`,
              form({ name: "Grandma", files: audioFile() }),
            );
            answered.push(idOf(answer, ["voice_id"]));
          } catch {
            return;
          }
          if (answered.length >= target) enough.resolve();
        }
      };
      const workers = Array.from({ length: 8 }, worker);
      await enough.promise;
      child.kill("SIGKILL");
      isOver = true;
      await Promise.all(workers);
      await child.status;
    }

    await using simulators = await remembering(folder);
    const made = simulators.ledger.list().map(({ id }) => id);
    const { json } = await ask(`${simulators.url}/elevenlabs/v1/voices`);
    const voices = z.object({
      voices: z.array(z.object({ voice_id: z.string(), category: z.string() })),
    }).parse(json).voices.filter(({ category }) => category === "cloned")
      .map(({ voice_id }) => voice_id);
    assertEquals(voices, made, "a voice for each entry of the ledger");
    assert(answered.length >= 120);
    assertEquals(answered.filter((id) => !made.includes(id)), []);
  },
});

Deno.test("memory: a file that is invalid or of another version is named in one line and left unchanged", async () => {
  await using folder = await newFolder();
  // If it starts nevertheless, closing its input ends it.
  const start = () =>
    new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        MAIN,
        "--state",
        folder.state,
        "--exit-with-stdin",
      ],
      stdin: "null",
    }).output();
  const says = async (words: string) => {
    const before = await Deno.readFile(folder.state);
    const { code, stderr } = await start();
    const text = new TextDecoder().decode(stderr);
    assertEquals([code, text.trim().split("\n").length], [1, 1], text);
    assertStringIncludes(text, folder.state);
    assertStringIncludes(text, words);
    assertEquals(await Deno.readFile(folder.state), before);
  };
  await Deno.writeTextFile(folder.state, "this is no database, but a text\n");
  await says("file is not a database");

  await Deno.remove(folder.state);
  {
    await using simulators = await remembering(folder);
    await ask(`${simulators.url}/upstash`, ["set", "k", "v"], {
      authorization: "Bearer k",
    });
  }
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(folder.state);
  database.exec(
    `update records set value = '{"v":"v"}' where collection = 'upstash.keys'`,
  );
  database.close();
  await says("upstash.keys k");
});
