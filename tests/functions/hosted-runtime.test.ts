/**
 * The functions under the Deno of the hosted runtime: its API, its TypeScript, and only the environment that a hosted
 * project gives. The rest of the stack runs under the Deno of this repository.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { parse as parseToml } from "@std/toml";
import { z } from "zod";
import {
  HOSTED_DENO_VERSION,
  locateHostedDeno,
} from "../../dev/tools/hosted-deno.ts";
import { startStack } from "../../dev/stack/stack.ts";
import {
  createAiJobResponseSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import { voiceCloneResultSchema } from "../../supabase/functions/_shared/contracts/voice-clone.ts";
import { pdfRenderResultSchema } from "../../supabase/functions/_shared/contracts/pdf-render.ts";
import { problemSchema } from "../_support/problem.ts";
import {
  callFunction,
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { makeProject } from "../_support/stack-fixture.ts";
import { useStack } from "../_support/stack.ts";
import { waitForJob } from "../_support/wait-for.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

const running = useStack(async () => ({
  functionsDeno: await locateHostedDeno(),
}));

/** Every function of config.toml, and whether it serves users. */
async function functionsOfProject(): Promise<
  { slug: string; isForUsers: boolean }[]
> {
  const { functions } = z.object({
    functions: z.record(z.string(), z.object({ verify_jwt: z.boolean() })),
  }).parse(
    parseToml(await Deno.readTextFile(join(root, "supabase/config.toml"))),
  );
  return Object.entries(functions).map(([slug, { verify_jwt }]) => ({
    slug,
    isForUsers: verify_jwt,
  }));
}

/** Uses a type that the TypeScript of the hosted runtime does not know. */
const TOO_NEW =
  "export const bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1);\n";

/**
 * The type errors in all functions and in a file with {@link TOO_NEW}, with the options of this repository's deno.json:
 * each with its place. One run, because each loads the compiler and its libraries.
 */
async function typeErrors(): Promise<{ ofFile: string[]; others: string[] }> {
  const entrypoints = (await functionsOfProject()).map(({ slug }) =>
    join(root, "supabase/functions", slug, "index.ts")
  );
  assert(entrypoints.length > 0);
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, TOO_NEW);
    const { program, cacheDir } = await locateHostedDeno();
    const { stderr } = await new Deno.Command(program, {
      args: [
        "check",
        "--no-lock",
        `--config=${join(root, "deno.json")}`,
        `--import-map=${join(root, "import_map.json")}`,
        ...entrypoints,
        file,
      ],
      cwd: root,
      env: {
        DENO_DIR: cacheDir,
        DENO_TLS_CA_STORE: "mozilla,system",
        NO_COLOR: "1",
      },
      stdin: "null",
    }).output();
    const said = new TextDecoder().decode(stderr);
    const errors = said.split(/^(?=(?:error: )?TS\d+ \[ERROR\])/m);
    const [before = ""] = errors.splice(0, 1);
    assert(!/error/i.test(before), said);
    return {
      ofFile: errors.filter((error) => error.includes(file)),
      others: errors.filter((error) => !error.includes(file)),
    };
  } finally {
    await Deno.remove(file);
  }
}

let checking: ReturnType<typeof typeErrors> | undefined;

Deno.test("hosted runtime: every function type-checks under the TypeScript of its Deno", async () => {
  const { others } = await (checking ??= typeErrors());
  assertEquals(others, []);
});

Deno.test("hosted runtime: a type that its TypeScript does not know is found", async () => {
  const { ofFile } = await (checking ??= typeErrors());
  assertEquals(ofFile.length, 1);
  assertMatch(ofFile[0] ?? "", /'Uint8Array' is not generic/);
});

Deno.test("hosted runtime: functions see hosted variables, and of this machine only proxy and certificates", async () => {
  await using project = await makeProject({
    "supabase/functions/hello/index.ts": `export default {
      fetch: () => Response.json({ version: Deno.version.deno, env: Object.keys(Deno.env.toObject()).sort() }),
    };`,
  });
  await using stack = await startStack({
    projectDir: project.dir,
    ephemeral: true,
    simulators: false,
    functionsDeno: await locateHostedDeno(),
  });
  const answer = await callFunction(stack, "hello", {
    headers: {
      authorization: `Bearer ${await stack.signToken({
        sub: crypto.randomUUID(),
        role: "authenticated",
      })}`,
    },
  });
  assertEquals(answer.status, 200);
  const { version, env } = z.object({
    version: z.string(),
    env: z.array(z.string()),
  }).parse(answer.body);
  assertEquals(version, HOSTED_DENO_VERSION);
  assertEquals(
    env.filter((name) => !/_proxy$|_CERT|^DENO_CERT$|^DENO_TLS/i.test(name)),
    [
      "DENO_DEPLOYMENT_ID",
      // A hosted project has the variable only if its operator sets it; the stack turns direct dispatch off.
      "DIRECT_DISPATCH",
      "DISPATCH_SECRET",
      "SB_EXECUTION_ID",
      "SB_REGION",
      "SUPABASE_DB_URL",
      "SUPABASE_JWKS",
      "SUPABASE_PUBLISHABLE_KEYS",
      "SUPABASE_SECRET_KEYS",
      "SUPABASE_URL",
    ],
  );
});

/** These accept only GET. */
const READ_ONLY = new Set(["health", "metrics"]);

Deno.test("hosted runtime: every function starts and answers a request", async () => {
  const stack = running();
  const user = await signUp(stack);
  const functions = await functionsOfProject();
  for (const { slug, isForUsers } of functions) {
    // A method that no function accepts, with a valid token: the function answers, not the gateway.
    const answer = await user.call(slug, { method: "PUT", body: {} });
    const { code } = problemSchema.parse(answer.body);
    assertEquals(
      [slug, answer.status, code],
      [slug, 405, "method_not_allowed"],
    );
    if (isForUsers) continue;
    const unsigned = await callFunction(stack, slug, { body: {} });
    // A function that accepts only GET refuses the method before it checks the caller.
    const refusals = READ_ONLY.has(slug) ? [405] : [401, 404];
    assert(
      refusals.includes(unsigned.status),
      `${slug}: ${unsigned.status} ${JSON.stringify(unsigned.body)}`,
    );
  }
});

/** Submits a job and resolves with it once it is completed. */
async function complete(user: TestUser, body: Record<string, unknown>) {
  const answer = await user.call("create-ai-job", { body });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const { job_id } = createAiJobResponseSchema.parse(answer.body);
  return await waitForJob(running(), user, job_id, "completed");
}

Deno.test("hosted runtime: a recording becomes a voice, the voice reads a text, and a slideshow becomes a PDF", async () => {
  const stack = running();
  const user = await signUp(stack);
  const cloneId = await requestVoice(user, await uploadRecording(user));
  const clone = await waitForJob(stack, user, cloneId, "completed");
  const { voice_id, provider_voice_id } = voiceCloneResultSchema.parse(
    clone.result_data,
  );
  const { data: voice } = await user.client.from("voices").select(
    "id,provider_voice_id",
  ).single();
  assertEquals(voice, { id: voice_id, provider_voice_id });

  const speech = await complete(user, {
    job_type: "text_to_speech",
    metadata: { text: "Good evening.", voice_id },
  });
  assertEquals(speech.output_url, `outputs/${user.id}/${speech.id}/speech.mp3`);

  const { data: slideshow } = await user.client.from("slideshows").insert({
    title: "Grandma's summers",
  }).select("id").single();
  const path = `${user.id}/${crypto.randomUUID()}/photo`;
  const photo = await Deno.readFile(
    new URL("../fixtures/photos/rgb.png", import.meta.url),
  );
  await user.client.storage.from("uploads").upload(path, photo, {
    contentType: "image/png",
  });
  const { data: media } = await user.client.from("media").insert({
    media_type: "image",
    storage_path: `uploads/${path}`,
    file_name: "photo",
    content_type: "image/png",
    size_bytes: photo.length,
  }).select("id").single();
  assert(slideshow && media);
  const { error } = await user.client.from("slideshow_items").insert({
    slideshow_id: slideshow.id,
    media_id: media.id,
    position: 0,
  });
  assertEquals(error, null);
  const book = await complete(user, {
    job_type: "pdf_render",
    metadata: { slideshow_id: slideshow.id },
  });
  assert(pdfRenderResultSchema.parse(book.result_data).page_count > 0);
});
