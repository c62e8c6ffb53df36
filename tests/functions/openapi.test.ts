/** Every example of docs/openapi.json, sent to the stack unchanged; the response must equal the documented one. */
import { assert, assertEquals } from "@std/assert";
import {
  callFunction,
  readRecording,
  signUp,
  type TestUser,
} from "../_support/as-user.ts";
import { hmacHex } from "../_support/hmac.ts";
import {
  type DocumentedExample,
  documentedExamples,
} from "../_support/openapi-examples.ts";
import { type TestStack, useStack } from "../_support/stack.ts";
import { signUpOperator } from "../_support/operators.ts";
import { sweepJob, waitForJob } from "../_support/wait-for.ts";
import { secondsAgo, signed, waitingJob } from "./_support/signed-dispatch.ts";

const SECRET = "whsec_of-the-test-0123456789abcdef0123";
const running = useStack({
  env: {
    HEYGEN_WEBHOOK_SECRET: SECRET,
    DID_WEBHOOK_SECRET: SECRET,
    ELEVENLABS_WEBHOOK_SECRET: SECRET,
  },
});

const examples = documentedExamples(
  JSON.parse(
    await Deno.readTextFile(
      new URL("../../docs/openapi.json", import.meta.url),
    ),
  ),
);

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** The ids in the document, and the corresponding ids of this stack. */
class Ids {
  readonly #real = new Map<string, string>();

  set(documented: string, real: string): void {
    this.#real.set(documented, real);
  }

  /** A text of the document with this stack's ids. */
  fill(text: string): string {
    return text.replaceAll(UUID, (id) => this.#real.get(id) ?? id);
  }

  /** Maps the document's ids to those at the same place of a response. */
  learn(documented: string, answered: string): void {
    const real = answered.match(UUID) ?? [];
    for (const [index, id] of (documented.match(UUID) ?? []).entries()) {
      const there = real[index];
      if (there !== undefined && !this.#real.has(id)) this.#real.set(id, there);
    }
  }
}

/** The value without everything that differs between runs: times, tokens, origins, unknown ids. */
function withoutVolatile(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutVolatile);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [
        key,
        key === "request_id" ? "<request>" : withoutVolatile(one),
      ]),
    );
  }
  if (typeof value !== "string") return value;
  return value
    .replaceAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "<token>")
    .replaceAll(/^https?:\/\/[^/]+/g, "<origin>")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)/g, "<time>")
    .replaceAll(/^[A-Za-z0-9]{20}$/g, "<provider's id>");
}

/** The preparation that an example needs before it is sent. */
type Preparation = (
  stack: TestStack,
  user: TestUser,
  ids: Ids,
  example: DocumentedExample,
) => Promise<void>;

async function newVoice(
  user: TestUser,
  name: string,
  scheduledAt = new Date(),
): Promise<string> {
  const { data, error } = await user.client.from("ai_jobs").insert({
    job_type: "voice_clone",
    input_url: sample,
    metadata: { voice_name: name },
    scheduled_at: scheduledAt.toISOString(),
  }).select("id").single();
  if (error) throw error;
  return data.id;
}

let sample = "";

/** The id that a body names. */
function idIn(example: DocumentedExample): string {
  const [id] = JSON.stringify(example.body).match(UUID) ?? [];
  assert(id !== undefined);
  return id;
}

const preparations: Record<string, Preparation> = {
  // Jobs do not run while the examples create them, so that every response is reproducible.
  "createAiJob/voice_clone": async (stack) => await stack.pauseNet(),
  "createAiJob/pdf_render": async (_stack, { client }, ids, { body }) => {
    const { data: media } = await client.from("media").insert({
      media_type: "image",
      storage_path: portrait,
      file_name: "grandma.jpg",
      content_type: "image/jpeg",
      size_bytes: 3147,
    }).select("id").single();
    const { data: show } = await client.from("slideshows").insert({
      title: "Summers",
    }).select("id").single();
    assert(media && show);
    await client.from("slideshow_items").insert({
      slideshow_id: show.id,
      media_id: media.id,
      position: 0,
    });
    const [slideshow] = JSON.stringify(body).match(UUID) ?? [];
    assert(slideshow !== undefined);
    ids.set(slideshow, show.id);
  },
  "getAiJob/completed": async (stack, user, ids, { parameters }) => {
    const clone = ids.fill(parameters[0]?.value ?? "");
    await stack.resumeNet();
    await sweepJob(stack, clone);
    await waitForJob(stack, user, clone, "completed");
  },
  // Not due yet: a worker that has just finished another job claims due ones.
  "cancelAiJob/waiting": async (_stack, user, ids, example) => {
    ids.set(idIn(example), await newVoice(user, "Not wanted", secondsAgo(-60)));
  },
  "retryAiJob/failed": async (stack, user, ids, example) => {
    await stack.simulator.fail({
      times: null,
      fault: { kind: "status", error: "invalid_api_key" },
    });
    await stack.resumeNet();
    const id = await newVoice(user, "Fails at first");
    await waitForJob(stack, user, id, "failed");
    await stack.pauseNet();
    await stack.simulator.clearFaults();
    ids.set(idIn(example), id);
  },
  "processAiJob/dispatch": async (stack, _user, ids, example) => {
    ids.set(idIn(example), (await waitingJob(stack)).jobId);
  },
};

let portrait = "";
let operator: TestUser | undefined;

/** Uploads a file to the URL from create-upload-url. */
async function putFile(answer: unknown): Promise<void> {
  assert(typeof answer === "object" && answer !== null);
  const url = String(Reflect.get(answer, "upload_url"));
  const inputUrl = String(Reflect.get(answer, "input_url"));
  const contentType = String(Reflect.get(answer, "content_type"));
  const isPhoto = contentType.startsWith("image/");
  const bytes = isPhoto
    ? await Deno.readFile(
      new URL("../fixtures/portraits/face.jpg", import.meta.url),
    )
    : await readRecording("speech-24s.mp3");
  const response = await fetch(url, {
    method: "PUT",
    headers: { "content-type": contentType },
    body: bytes,
  });
  assertEquals(response.status, 200, await response.text());
  if (isPhoto) portrait = inputUrl;
  else if (inputUrl.startsWith("voice-samples/")) sample = inputUrl;
}

/** The signature that an example's caller has, as headers or in the path. */
async function sign(
  stack: TestStack,
  { id, name, path }: DocumentedExample,
  body: string,
  filledPath: string,
): Promise<{ path: string; headers: Record<string, string> }> {
  const isSigned = name !== "unsigned";
  const secret = isSigned ? SECRET : "whsec_of-another-user-0123456789abcd";
  const time = String(Math.floor(Date.now() / 1000));
  switch (id) {
    case "processAiJob":
    case "renderAiJob":
    case "runJanitor": {
      const { headers } = signed(stack, {
        body,
        ...(isSigned ? {} : { secret: `whsec_${btoa("k".repeat(32))}` }),
      });
      return { path: filledPath, headers };
    }
    case "operate": {
      const { accessToken } = operator ??= await signUpOperator(stack);
      return {
        path: filledPath,
        headers: { authorization: `Bearer ${accessToken}` },
      };
    }
    case "receiveElevenLabsWebhook":
      return {
        path: filledPath,
        headers: {
          "elevenlabs-signature": `t=${time},v0=${await hmacHex(
            secret,
            `${time}.${body}`,
          )}`,
        },
      };
    case "receiveHeyGenWebhook":
      return {
        path: filledPath,
        headers: {
          "heygen-signature": await hmacHex(secret, body),
          "heygen-timestamp": time,
          "heygen-event-id": `evt_${crypto.randomUUID()}`,
        },
      };
    case "receiveDIdWebhook": {
      const [, , , jobId = ""] = filledPath.split("/");
      return isSigned
        ? {
          path: filledPath.replace(
            /[^/]+$/,
            await hmacHex(SECRET, `d-id-webhook:${jobId}`),
          ),
          headers: {},
        }
        : { path: filledPath, headers: {} };
    }
    default:
      throw new Error(`who signs ${path}?`);
  }
}

Deno.test("openapi: every example is answered as the document says", async (t) => {
  const stack = running();
  const user = await signUp(stack);
  const ids = new Ids();
  const [own] = JSON.stringify(examples[0]?.answer.body).match(UUID) ?? [];
  assert(own !== undefined);
  ids.set(own, user.id);

  for (const example of examples) {
    const title = `${example.id}/${example.name}`;
    await t.step(title, async () => {
      await preparations[title]?.(stack, user, ids, example);
      const query = new URLSearchParams();
      const headers: Record<string, string> = {};
      let path = example.path;
      for (const parameter of example.parameters) {
        const value = ids.fill(parameter.value);
        if (parameter.in === "query") query.set(parameter.name, value);
        else if (parameter.in === "header") headers[parameter.name] = value;
        else path = path.replace(`{${parameter.name}}`, value);
      }
      const body = example.body === undefined
        ? undefined
        : ids.fill(JSON.stringify(example.body));
      const isOfUser = /^(create|get|list|cancel|retry)/.test(example.id);
      const caller = isOfUser
        ? {
          path,
          headers: {
            apikey: stack.publishableKey,
            authorization: `Bearer ${user.accessToken}`,
          },
        }
        : await sign(stack, example, body ?? "", path);
      const answer = await callFunction(stack, caller.path.slice(1), {
        method: example.method,
        query: query.size === 0 ? "" : `?${query}`,
        headers: { ...headers, ...caller.headers },
        ...(body === undefined ? {} : { body }),
      });
      const { status, contentType, body: documented } = example.answer;
      assertEquals(answer.status, status, JSON.stringify(answer.body));
      assertEquals(
        answer.headers.get("content-type")?.split(";")[0],
        contentType,
      );
      ids.learn(JSON.stringify(documented), JSON.stringify(answer.body));
      assertEquals(
        withoutVolatile(answer.body),
        withoutVolatile(JSON.parse(ids.fill(JSON.stringify(documented)))),
      );
      if (example.id === "createUploadUrl" && status === 201) {
        await putFile(answer.body);
      }
    });
  }
});
