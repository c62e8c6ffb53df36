/** A long speech: the processor with a Storage that counts bytes. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
} from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { JobFailure } from "../../../supabase/functions/_shared/failures/job-failure.ts";
import { createCallJournal } from "../../../supabase/functions/_shared/jobs/call-journal.ts";
import { Snooze } from "../../../supabase/functions/_shared/jobs/outcome.ts";
import type { JobContext } from "../../../supabase/functions/_shared/jobs/job-context.ts";
import { Mp3Frames } from "../../../supabase/functions/_shared/media/mp3-frames.ts";
import { createLogger } from "../../../supabase/functions/_shared/platform/log.ts";
import type {
  ElevenLabsSpeech,
  SpeechRequest,
} from "../../../supabase/functions/_shared/providers/elevenlabs/speech.ts";
import { createTextToSpeechProcessor } from "../../../supabase/functions/process-ai-job/processors/text-to-speech.ts";

const USER = "00000000-0000-4000-8000-0000000000aa";
const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
/** Duration of a call in the journal. */
const CALL_MS = 20_000;
const speech = await Deno.readFile(
  new URL("../../fixtures/recordings/speech-24s.mp3", import.meta.url),
);
const sound = (() => {
  const frames = new Mp3Frames();
  return { bytes: frames.add(speech), seconds: frames.seconds };
})();

/** A file that repeats the recording `count` times, with one tag and Info frame, generated as it is read. */
function rounds(
  count: number,
  onMade: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  let left = count;
  return new ReadableStream({
    pull(controller) {
      if (left-- === 0) return controller.close();
      // Only the first may have the tag and the Info frame.
      const bytes = left === count - 1 ? speech : sound.bytes;
      onMade(bytes.length);
      controller.enqueue(bytes);
    },
  }, { highWaterMark: 0 });
}

/**
 * A Storage that keeps only sizes and generates the sound of a part when it is read, and a journal whose calls were
 * settled `settledSecondsAgo`.
 */
function storage(perPart: number, settledSecondsAgo = 0) {
  const state = { given: 0, taken: 0, ahead: 0, open: 0, mostOpen: 0 };
  const stored = new Map<string, number>();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      const path = new URL(request.url).pathname;
      if (path === "/rest/v1/ai_provider_calls") {
        const at = new Date(Date.now() - settledSecondsAgo * 1000);
        return Response.json([{
          sent_at: new Date(at.getTime() - CALL_MS).toISOString(),
          settled_at: at.toISOString(),
        }]);
      }
      if (path === "/rest/v1/voices") return Response.json([]);
      const name = path.slice(path.lastIndexOf("/") + 1);
      if (request.method === "POST") {
        let size = 0;
        for await (const chunk of request.body ?? []) {
          size += chunk.byteLength;
          if (name !== "speech.mp3") continue;
          state.taken += chunk.byteLength;
          state.ahead = Math.max(state.ahead, state.given - state.taken);
        }
        stored.set(name, size);
        return Response.json({ Id: "1", Key: "k" });
      }
      if (request.method === "DELETE") {
        const { prefixes } = await request.json();
        for (const prefix of prefixes) {
          stored.delete(String(prefix).replace(/^.*\//, ""));
        }
        return Response.json([]);
      }
      await request.body?.cancel();
      if (!stored.has(name)) {
        return Response.json({ message: "not found" }, { status: 404 });
      }
      if (path.includes("/info/")) return Response.json({ name });
      state.open += 1;
      state.mostOpen = Math.max(state.mostOpen, state.open);
      const body = rounds(perPart, (bytes) => state.given += bytes);
      return new Response(
        body.pipeThrough(
          new TransformStream({ flush: () => void (state.open -= 1) }),
        ),
      );
    },
  );
  return {
    state,
    stored,
    supabase: createClient<Database>(
      `http://127.0.0.1:${server.addr.port}`,
      "sb_secret_0123456789",
      { auth: { persistSession: false, autoRefreshToken: false } },
    ),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function job(
  parts: number,
  paid = new Map<string, string>(),
  remainingMs = () => 100_000,
) {
  const context: JobContext = {
    job: {
      id: JOB,
      user_id: USER,
      job_type: "text_to_speech",
      provider: "elevenlabs",
      spend: "none",
      input_url: null,
      metadata: {
        text: Array.from(
          { length: parts },
          (_, part) => `${part}${"x".repeat(4900)}.`,
        ).join(" "),
        voice_id: "pNInz6obpgDQGcFmaJgB",
      },
      attempt: 1,
      max_attempts: 5,
      input_hash: null,
      depends_on_job_id: null,
      cached_from_job_id: null,
      lease_token: crypto.randomUUID(),
      lease_expires_at: new Date().toISOString(),
      started_at: new Date().toISOString(),
      updated_at: new Date().toISOString(),
    },
    log: createLogger({ now: () => new Date(), writeLine() {} }, {
      level: "error",
      secrets: [],
    }),
    signal: new AbortController().signal,
    remainingMs,
    progress() {},
    dependency: () => Promise.resolve(null),
    async pay(call) {
      const known = paid.get(call.operation);
      if (known !== undefined) return known;
      const made = await call.send(context.signal, 0);
      const id = typeof made === "string" ? made : made.providerObjectId;
      paid.set(call.operation, id);
      return id;
    },
    recordUsage: () => Promise.resolve(),
    reportMissing: () => Promise.resolve(),
  };
  return context;
}

/** A speech provider that counts its calls. */
function provider(
  perPart: number,
): ElevenLabsSpeech & {
  spoken: number;
  opened: number;
  requests: SpeechRequest[];
} {
  const requests: SpeechRequest[] = [];
  const counts = {
    spoken: 0,
    opened: 0,
    requests,
    speak: (request: SpeechRequest) => {
      counts.spoken += 1;
      requests.push(request);
      return Promise.resolve({
        id: `r${counts.spoken}`,
        characters: undefined,
        audio: rounds(perPart, () => {}),
      });
    },
    find: () => Promise.resolve([]),
    open: () => {
      counts.opened += 1;
      return Promise.resolve(rounds(perPart, () => {}));
    },
  };
  return counts;
}

Deno.test("text to speech: a speech of 60 MB is joined in bounded memory, with one part open at a time", async () => {
  const PARTS = 6, ROUNDS = 83;
  await using at = storage(ROUNDS);
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: provider(ROUNDS),
  });
  const { outputUrl, resultData } = await processor.run(job(PARTS));
  assertEquals(outputUrl, `outputs/${USER}/${JOB}/speech.mp3`);
  const total = PARTS * ROUNDS * sound.bytes.length;
  assert(total > 60_000_000);
  // Every frame of every part, without their tags and Info frames.
  assertEquals([at.state.taken, resultData["size_bytes"]], [total, total]);
  assertAlmostEquals(
    Number(resultData["duration_seconds"]),
    PARTS * ROUNDS * sound.seconds,
    0.01,
  );
  assertEquals(at.state.mostOpen, 1);
  assert(
    at.state.ahead < 12 * 1024 * 1024,
    `${at.state.ahead} bytes were ahead`,
  );
});

Deno.test("text to speech: parts that are paid for and stored are neither created nor fetched again", async () => {
  await using at = storage(1);
  const speaking = provider(1);
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: speaking,
  });
  const paid = new Map([["text_to_speech:1", "a"], ["text_to_speech:2", "b"]]);
  at.stored.set("part-1.mp3", 1);
  await processor.run(job(3, paid));
  // The second part was paid for, but its sound is missing; the third is new.
  assertEquals([speaking.spoken, speaking.opened], [1, 1]);
});

Deno.test("text to speech: a joined speech whose completion was lost is used, with or without its parts", async () => {
  const ROUNDS = 2;
  await using at = storage(ROUNDS);
  const speaking = provider(ROUNDS);
  // With zero retention the history has nothing.
  speaking.open = () => Promise.resolve(null);
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: speaking,
  });
  const context = job(1);
  const lost = await processor.run(context);
  assertEquals([...at.stored.keys()], ["speech.mp3"]);
  context.job.spend = "incurred";
  assertEquals(await processor.run(context), lost);
  // The owner may have deleted the voice by now.
  const voiceId = crypto.randomUUID();
  context.job.metadata["voice_id"] = voiceId;
  assertEquals(await processor.run(context), {
    ...lost,
    resultData: { ...lost.resultData, voice_id: voiceId },
  });
  context.job.metadata["voice_id"] = "pNInz6obpgDQGcFmaJgB";
  // The isolate may also end before it removes the parts.
  at.stored.set("part-1.mp3", 1);
  assertEquals(await processor.run(context), lost);
  assertEquals([speaking.spoken, [...at.stored.keys()]], [1, ["speech.mp3"]]);
});

Deno.test("text to speech: a part is sent with the text around it, cut between characters", async () => {
  await using at = storage(1);
  const speaking = provider(1);
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: speaking,
  });
  const context = job(1);
  context.job.metadata["text"] = ["a", "b", "c"].map((name) =>
    `${name}${"😀".repeat(2_000)}.`
  ).join(" ");
  await processor.run(context);
  assertEquals(
    speaking.requests.map(({ text, previousText, nextText }) => [
      text.length,
      previousText,
      nextText,
    ]),
    [
      [4_002, undefined, `b${"😀".repeat(149)}`],
      [4_002, `${"😀".repeat(149)}.`, `c${"😀".repeat(149)}`],
      [4_002, `${"😀".repeat(149)}.`, undefined],
    ],
  );
});

Deno.test("text to speech: a part does not start when the isolate is about to end; the first always does", async () => {
  await using at = storage(1);
  const speaking = provider(1);
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: speaking,
  });
  await assertRejects(
    () => processor.run(job(3, new Map(), () => 1000)),
    Snooze,
  );
  assertEquals([speaking.spoken, [...at.stored.keys()]], [1, ["part-1.mp3"]]);
});

Deno.test("text to speech: sound that was paid for weeks ago is looked up at the time of its call", async () => {
  const secondsAgo = 40 * 86_400;
  await using at = storage(1, secondsAgo);
  const speaking = provider(1);
  const { open } = speaking;
  const windows: number[][] = [];
  speaking.open = (id, request, { after, before }, signal) => {
    windows.push([after, before].map((time) => Date.now() - time.getTime()));
    return open(id, request, { after, before }, signal);
  };
  const processor = createTextToSpeechProcessor({
    supabase: at.supabase,
    journal: createCallJournal(at.supabase),
    speech: speaking,
  });
  await processor.run(job(1, new Map([["text_to_speech:1", "a"]])));
  assertEquals([speaking.spoken, speaking.opened], [0, 1]);
  const [[after = 0, before = 0] = []] = windows;
  const settled = secondsAgo * 1000;
  assert(after > settled + CALL_MS && before < settled, `${after}, ${before}`);
  assert(after - before < 3_600_000, "of a busy account, a page or two");
});

Deno.test("text to speech: missing sound of a paid part is awaited for ten minutes, and not paid for again", async () => {
  for (
    const [secondsAgo, isWaitedFor] of [[570, true], [630, false]] as const
  ) {
    await using at = storage(1, secondsAgo);
    const speaking = provider(1);
    speaking.open = () => Promise.resolve(null);
    const processor = createTextToSpeechProcessor({
      supabase: at.supabase,
      journal: createCallJournal(at.supabase),
      speech: speaking,
    });
    const ending = await assertRejects(() =>
      processor.run(job(1, new Map([["text_to_speech:1", "a"]])))
    );
    if (isWaitedFor) {
      assert(ending instanceof Snooze);
      assertEquals([ending.seconds, ending.stage], [
        15,
        "waiting_for_recovery",
      ]);
    } else {
      assert(ending instanceof JobFailure);
      assertEquals([ending.code, ending.isRetryable], [
        "provider_unavailable",
        false,
      ]);
    }
    assertEquals(speaking.spoken, 0);
  }
});
