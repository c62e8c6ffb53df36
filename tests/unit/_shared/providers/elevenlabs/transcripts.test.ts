import { assert, assertEquals, assertRejects } from "@std/assert";
import { startSimulators } from "../../../../../dev/simulators/server.ts";
import { ProviderFailure } from "../../../../../supabase/functions/_shared/failures/provider-failure.ts";
import {
  createElevenLabsTranscripts,
  type TranscriptRequest,
  type TranscriptSubmission,
} from "../../../../../supabase/functions/_shared/providers/elevenlabs/transcripts.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const never = new AbortController().signal;
const bytes = await Deno.readFile(
  new URL("../../../../fixtures/recordings/speech-24s.mp3", import.meta.url),
);

function request(values: Partial<TranscriptRequest> = {}): TranscriptRequest {
  return {
    recording: new Blob([bytes]).stream(),
    contentType: "audio/mpeg",
    marker: `job:${JOB}`,
    tagAudioEvents: false,
    ...values,
  };
}

async function provider(timeoutSeconds = 60) {
  const simulators = await startSimulators();
  return {
    simulators,
    transcripts: createElevenLabsTranscripts({
      apiKey: "sk_test_key_1234",
      baseUrl: `${simulators.url}/elevenlabs`,
      timeoutSeconds,
      fetch,
    }),
    paid: () =>
      simulators.ledger.list({ operation: "transcripts", marker: JOB }),
    fail: (fault: Record<string, unknown>, operation = "transcripts") => {
      simulators.faults.add({ provider: "elevenlabs", operation, fault });
    },
    set: (settings: Record<string, unknown>) => {
      simulators.providers.find(({ name }) => name === "elevenlabs")
        ?.changeSettings(settings);
    },
    [Symbol.asyncDispose]: () => simulators.stop(),
  };
}

async function failureOf(work: Promise<unknown>): Promise<ProviderFailure> {
  return await assertRejects(() => work, ProviderFailure);
}

Deno.test("createElevenLabsTranscripts: sends the recording unchanged, and returns words with speakers", async () => {
  await using at = await provider();
  const { id, transcript } = await at.transcripts.transcribe(
    request({ languageCode: "en", speakers: 2 }),
    never,
  );
  assert(transcript.text.startsWith("And Mister John Dashwood"));
  assertEquals(
    [...new Set(transcript.words.map(({ speaker_id }) => speaker_id))],
    ["speaker_0", "speaker_1"],
  );
  const [entry, ...more] = at.paid();
  assertEquals([more, entry?.id, entry?.bytes], [[], id, bytes.length]);
  assertEquals(
    ["model_id", "diarize", "tag_audio_events", "language_code", "num_speakers"]
      .map((field) => entry?.request[field]),
    ["scribe_v2", "true", "false", "en", "2"],
  );
  assertEquals(await at.transcripts.get(id, never), transcript);
  assertEquals(await at.transcripts.get("unknown", never), null);
});

Deno.test("createElevenLabsTranscripts: a file without sound is refused finally", async () => {
  await using at = await provider();
  const failure = await failureOf(at.transcripts.transcribe(
    request({ recording: new Blob(["this is a text file"]).stream() }),
    never,
  ));
  assertEquals(
    [failure.code, failure.certainty, failure.isRetryable],
    ["provider_rejected_input", "rejected", false],
  );
});

Deno.test("createElevenLabsTranscripts: a recording whose stream fails has cost nothing, and may be sent again", async () => {
  await using at = await provider();
  let turn = 0;
  const failure = await failureOf(at.transcripts.transcribe(
    request({
      recording: new ReadableStream({
        pull(controller) {
          if (turn++ < 3) controller.enqueue(bytes.subarray(0, 20_000));
          else controller.error(new TypeError("connection reset"));
        },
      }),
    }),
    never,
  ));
  assertEquals(
    [failure.code, failure.certainty, failure.isRetryable],
    ["storage_unavailable", "rejected", true],
  );
  assertEquals(at.paid(), []);
});

for (
  const [name, fault, code, certainty, paid] of [
    [
      "closed after it was created",
      { kind: "close_after" },
      "provider_unavailable",
      "unknown",
      1,
    ],
    [
      "closed before it was created",
      { kind: "close_before" },
      "provider_unavailable",
      "unknown",
      0,
    ],
    [
      "half a JSON",
      { kind: "truncated_json" },
      "provider_answer_invalid",
      "unknown",
      1,
    ],
    [
      "an empty JSON",
      { kind: "missing_fields" },
      "provider_answer_invalid",
      "unknown",
      1,
    ],
    [
      "a socket closed within the body",
      { kind: "close_in_body" },
      "provider_unavailable",
      "unknown",
      1,
    ],
    [
      "a 503",
      { kind: "status", status: 503 },
      "provider_unavailable",
      "unknown",
      0,
    ],
    [
      "an HTML 502",
      { kind: "html", processed: "before" },
      "provider_unavailable",
      "unknown",
      1,
    ],
    [
      "too many requests",
      { kind: "status", error: "concurrent_limit_exceeded" },
      "provider_concurrency_limited",
      "rejected",
      0,
    ],
    [
      "no credits",
      { kind: "status", error: "quota_exceeded" },
      "provider_quota_exceeded",
      "rejected",
      0,
    ],
  ] as const
) {
  Deno.test(`createElevenLabsTranscripts: ${name} is ${code}, ${certainty}, and sent once`, async () => {
    await using at = await provider();
    at.fail(fault);
    const failure = await failureOf(
      at.transcripts.transcribe(request(), never),
    );
    assertEquals([failure.code, failure.certainty], [code, certainty]);
    assertEquals(at.paid().length, paid);
    assertEquals(
      at.simulators.requests.list({ operation: "transcripts" }).length,
      1,
    );
  });
}

Deno.test("createElevenLabsTranscripts: a response that stalls ends as unknown", async () => {
  await using at = await provider(1);
  at.fail({ kind: "delay_body", ms: 60_000 });
  const failure = await failureOf(at.transcripts.transcribe(request(), never));
  assertEquals([failure.code, failure.certainty], [
    "provider_timeout",
    "unknown",
  ]);
});

Deno.test("createElevenLabsTranscripts: a large recording is streamed in bounded memory", async () => {
  const total = 256 * 1024 * 1024;
  const chunk = new Uint8Array(65_536);
  let made = 0, arrived = 0, ahead = 0;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (incoming) => {
      for await (const part of incoming.body ?? []) {
        arrived += part.byteLength;
        ahead = Math.max(ahead, made - arrived);
      }
      return Response.json({ text: "", words: [], transcription_id: "t1" });
    },
  );
  try {
    const transcripts = createElevenLabsTranscripts({
      apiKey: "k",
      baseUrl: `http://127.0.0.1:${server.addr.port}`,
      timeoutSeconds: 60,
      fetch,
    });
    const recording = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (made >= total) return controller.close();
        made += chunk.length;
        controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
    assertEquals(
      (await transcripts.transcribe(request({ recording }), never)).id,
      "t1",
    );
    assert(arrived > total);
    // Bytes that the server has not received: those in the kernel's buffers, on some machines tens of megabytes.
    assert(ahead < total / 2, `${ahead} bytes were ahead`);
  } finally {
    await server.shutdown();
  }
});

const ENDPOINT = { url: "http://127.0.0.1:1/", secret: "of-the-test" };

function submission(
  values: Partial<TranscriptSubmission> = {},
): TranscriptSubmission {
  return {
    jobId: JOB,
    tagAudioEvents: false,
    source: request(),
    ...values,
  };
}

Deno.test("createElevenLabsTranscripts: a submission returns an id, by which the transcript is read later", async () => {
  await using at = await provider();
  at.set({
    webhook_endpoint: ENDPOINT,
    webhooks: "lost",
    transcript_ms: 60_000,
  });
  const id = await at.transcripts.submit(submission({ speakers: 2 }), never);
  assertEquals(await at.transcripts.get(id, never), null);
  at.simulators.advanceClock(60_000);
  const transcript = await at.transcripts.get(id, never);
  assert(transcript !== null && transcript !== "in_progress");
  assert(transcript.text.startsWith("And Mister John Dashwood"));
  const [entry, ...more] = at.paid();
  assertEquals([more, entry?.id, entry?.bytes], [[], id, bytes.length]);
  assertEquals(
    ["webhook", "webhook_metadata", "num_speakers", "diarize"].map((field) =>
      entry?.request[field]
    ),
    ["true", `{"job_id":"${JOB}"}`, "2", "true"],
  );
});

Deno.test("createElevenLabsTranscripts: a submission has the URL of the file, not the file", async () => {
  let received: FormData | undefined;
  const transcripts = createElevenLabsTranscripts({
    apiKey: "k",
    baseUrl: "https://provider.test",
    timeoutSeconds: 60,
    fetch: async (_, init) => {
      received = await new Response(init?.body, init).formData();
      return Response.json({ message: "ok", request_id: "r1" });
    },
  });
  const url = "https://project.test/storage/v1/object/sign/a?token=t";
  assertEquals(
    await transcripts.submit(submission({ source: { url } }), never),
    "r1",
    "without the transcript's id in the response, the request's id is used",
  );
  assertEquals(
    [received?.get("cloud_storage_url"), received?.get("file")],
    [url, null],
  );
});

Deno.test("createElevenLabsTranscripts: 404 is a transcript that does not exist, 425 one that is in progress", async () => {
  await using at = await provider();
  for (const [status, answer] of [[404, null], [425, "in_progress"]] as const) {
    at.fail({ kind: "status", status }, "transcripts.get");
    assertEquals(await at.transcripts.get("t1", never), answer);
  }
});

Deno.test("createElevenLabsTranscripts: a submission whose response is lost is unknown, and sent once", async () => {
  await using at = await provider();
  for (
    const [fault, code] of [
      [{ kind: "close_after" }, "provider_unavailable"],
      [{ kind: "missing_fields" }, "provider_answer_invalid"],
      [{ kind: "truncated_json" }, "provider_answer_invalid"],
    ] as const
  ) {
    await at.simulators.reset();
    at.set({ webhook_endpoint: ENDPOINT, webhooks: "lost" });
    at.fail(fault);
    const failure = await failureOf(at.transcripts.submit(submission(), never));
    assertEquals([failure.code, failure.certainty], [code, "unknown"]);
    assertEquals(at.paid().length, 1);
  }
});

Deno.test("createElevenLabsTranscripts: an account without a webhook accepts no submission", async () => {
  await using at = await provider();
  const failure = await failureOf(at.transcripts.submit(submission(), never));
  assertEquals([failure.code, failure.certainty], [
    "provider_rejected_input",
    "rejected",
  ]);
  assertEquals(at.paid(), []);
});

Deno.test("createElevenLabsTranscripts: a transcript of over 20 MiB is a final failure", async () => {
  const chunk = new Uint8Array(1_048_576).fill(0x20);
  let sent = 0;
  const transcripts = createElevenLabsTranscripts({
    apiKey: "sk_test_key_1234",
    baseUrl: "https://provider.example",
    timeoutSeconds: 60,
    fetch: () =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            pull(controller) {
              sent++;
              controller.enqueue(chunk);
              if (sent === 100) controller.close();
            },
          }, { highWaterMark: 0 }),
        ),
      ),
  });
  const failure = await failureOf(transcripts.get("t1", never));
  assertEquals([failure.code, failure.certainty, failure.isRetryable, sent], [
    "provider_answer_too_large",
    "unknown",
    false,
    21,
  ]);
});
