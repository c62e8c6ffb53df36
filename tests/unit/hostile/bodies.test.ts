/** Thousands of invalid bodies, sent to the endpoints directly: the only effect is an error response. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "../../_support/fast-check.ts";
import { Webhook } from "standardwebhooks";
import type { AppDeps } from "../../../supabase/functions/_shared/http/endpoint.ts";
import { createHandler as cancelAiJob } from "../../../supabase/functions/cancel-ai-job/handler.ts";
import { createHandler as createAiJob } from "../../../supabase/functions/create-ai-job/handler.ts";
import { createHandler as createDownloadUrl } from "../../../supabase/functions/create-download-url/handler.ts";
import { createHandler as createUploadUrl } from "../../../supabase/functions/create-upload-url/handler.ts";
import { createHandler as getAiJob } from "../../../supabase/functions/get-ai-job/handler.ts";
import { createHandler as listAiJobs } from "../../../supabase/functions/list-ai-jobs/handler.ts";
import { createWorkerHandler } from "../../../supabase/functions/_shared/worker/handler.ts";
import { createHandler as retryAiJob } from "../../../supabase/functions/retry-ai-job/handler.ts";
import { COMPLETE_ENV } from "../../_support/fake-platform.ts";
import { FakeRepository } from "../../_support/fake-repository.ts";
import { assertNames, refusalOf } from "../../_support/hostile-answers.ts";
import {
  DISPATCH,
  downloadShape,
  formless,
  hostileBodies,
  JOB_ID,
  jobShapes,
  type Shape,
  UPLOAD,
} from "../../_support/hostile-bodies.ts";
import { tryCases } from "../../_support/try-cases.ts";
import {
  CALLER,
  depsWithoutNetwork,
  inProcess,
} from "../_support/in-process.ts";

type CreateHandler = (
  deps: AppDeps,
) => (request: Request) => Promise<Response>;

const POSTS: [string, CreateHandler, Record<string, Shape>][] = [
  [
    "create-ai-job",
    createAiJob,
    jobShapes({
      recording: `voice-samples/${CALLER}/a.mp3`,
      photo: `uploads/${CALLER}/a.png`,
    }),
  ],
  ["cancel-ai-job", cancelAiJob, { "": JOB_ID }],
  ["retry-ai-job", retryAiJob, { "": JOB_ID }],
  ["create-upload-url", createUploadUrl, { "": UPLOAD }],
  [
    "create-download-url",
    createDownloadUrl,
    { "": downloadShape(`${CALLER}/photo.png`) },
  ],
];

for (const [slug, createHandler, shapes] of POSTS) {
  Deno.test(`${slug}: every wrong member is named, and no service is called`, async () => {
    const endpoint = await inProcess(createHandler, "POST");
    for (const [kind, shape] of Object.entries(shapes)) {
      await tryCases(
        `${slug} ${kind}`.trim(),
        hostileBodies(shape),
        2000,
        async ({ text, fields, isOneEnough }) => {
          const problem = await refusalOf(await endpoint.call({ body: text }));
          assertEquals(problem.status, 400);
          assertNames(problem, fields, isOneEnough);
        },
      );
      const right = await endpoint.call({ body: JSON.stringify(shape.right) });
      await right.body?.cancel();
      // The twin: a valid body causes a request, so only the invalid member was refused.
      assert(endpoint.outside.length > 0, `${kind}: ${right.status}`);
      endpoint.outside.length = 0;
    }
  });

  Deno.test(`${slug}: an unreadable body is refused, and no service is called`, async () => {
    const endpoint = await inProcess(createHandler, "POST");
    await tryCases(`${slug}, formless`, formless, 500, async (text) => {
      const problem = await refusalOf(await endpoint.call({ body: text }));
      if (problem.code !== "invalid_json") {
        assertMatch(problem.code, /^(invalid_request|payload_too_large)$/);
        assert((problem.errors?.length ?? 0) > 0);
      }
    });
    await tryCases(
      `${slug}, bytes`,
      fc.uint8Array({ maxLength: 300 }),
      500,
      async (bytes) => {
        const body = new Uint8Array(bytes);
        const { code } = await refusalOf(await endpoint.call({ body }));
        assertMatch(code, /^invalid_(json|request)$/);
      },
    );
    assertEquals(endpoint.outside, []);
  });
}

const text = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.constantFrom("1 or 1=1", "*", "null", "undefined", "../..", "%00", "a,b"),
);
const query = (pairs: Record<string, string>) =>
  `?${new URLSearchParams(pairs)}`;

Deno.test("get-ai-job: the error for an invalid id names the field", async () => {
  const endpoint = await inProcess(getAiJob, "GET");
  await tryCases("get-ai-job", text, 2000, async (id) => {
    const problem = await refusalOf(
      await endpoint.call({ query: query({ id }) }),
    );
    assertNames(problem, ["id"]);
  });
  assertNames(await refusalOf(await endpoint.call({})), ["id"]);
  assertEquals(endpoint.outside, []);
});

Deno.test("list-ai-jobs: every wrong parameter is named", async () => {
  const endpoint = await inProcess(listAiJobs, "GET");
  const notA = (right: RegExp) => text.filter((value) => !right.test(value));
  const wrong: Record<string, fc.Arbitrary<string>> = {
    // Everything that Number() reads as a whole number is valid, in any notation.
    limit: fc.oneof(
      text.filter((value) =>
        !(Number.isInteger(Number(value)) && Number(value) >= 1 &&
          Number(value) <= 100)
      ),
      fc.constantFrom("0", "-1", "101", "1.5", "1e9", "Infinity", "0x65"),
    ),
    status: text,
    job_type: notA(/^[a-z][a-z0-9_]{1,62}$/),
    cursor: fc.oneof(
      text,
      text.map((value) =>
        new TextEncoder().encode(JSON.stringify([value, value])).toBase64()
      ),
      fc.constantFrom("x".repeat(201), btoa('["2026-01-01T00:00:00Z"]')),
    ),
    user_id: fc.uuid(),
    "select": fc.constant("*"),
  };
  const one = fc.constantFrom(...Object.keys(wrong)).chain((name) =>
    (wrong[name] ?? text).map((value) => ({ name, value }))
  );
  await tryCases("list-ai-jobs", one, 3000, async ({ name, value }) => {
    const answer = await endpoint.call({ query: query({ [name]: value }) });
    assertNames(await refusalOf(answer), [name]);
  });
  assertEquals(endpoint.outside, []);
});

/**
 * process-ai-job with a worker that must not claim, and correctly signed bodies, so that only their content is wrong.
 */
function signedDispatches() {
  const { deps, outside } = depsWithoutNetwork();
  const handle = createWorkerHandler("process-ai-job", {
    ...deps,
    repository: new FakeRepository(),
    worker: {
      claim() {
        throw new Error("it was about to claim");
      },
    },
  });
  const webhook = new Webhook(COMPLETE_ENV.DISPATCH_SECRET);
  const at = new Date("2026-01-01T00:00:00Z");
  return {
    outside,
    call: (body: string) =>
      handle(
        new Request("https://project.test/functions/v1/process-ai-job", {
          method: "POST",
          body,
          headers: {
            "webhook-id": "msg_1",
            "webhook-timestamp": String(at.getTime() / 1000),
            "webhook-signature": webhook.sign("msg_1", at, body),
          },
        }),
      ),
  };
}

Deno.test("process-ai-job: every wrong member of a signed dispatch is named, and nothing is claimed", async () => {
  const { call, outside } = signedDispatches();
  await tryCases(
    "process-ai-job",
    hostileBodies(DISPATCH),
    2000,
    async ({ text, fields }) =>
      assertNames(await refusalOf(await call(text)), fields),
  );
  await tryCases("process-ai-job, formless", formless, 1000, async (text) => {
    const wellFormed = text.isWellFormed() ? text : text.toWellFormed();
    await refusalOf(await call(wellFormed));
  });
  const right = await call(JSON.stringify(DISPATCH.right));
  // The twin: a valid body reaches the claim.
  assertEquals(right.status, 500);
  assertEquals(outside, []);
});
