/** The new files of a job type, as CONTRIBUTING describes them: it sends a text to ElevenLabs and stores a sound. */

/** The name of a job type in the spellings that the files need. */
export interface Names {
  /** `sound_effect` */
  snake: string;
  /** `sound-effect` */
  kebab: string;
  /** `SoundEffect` */
  pascal: string;
  /** `soundEffect` */
  camel: string;
  /** `sound effect` */
  words: string;
}

/** @throws {RangeError} when `ai_job_types` would not take the name. */
export function namesOf(jobType: string): Names {
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(jobType) || jobType.length > 40) {
    throw new RangeError(
      `${jobType} is not a valid job type name: use lower-case words joined by _, at most 40 characters, as in sound_effect`,
    );
  }
  const parts = jobType.split("_");
  const pascal = parts.map((part) =>
    part.charAt(0).toUpperCase() + part.slice(1)
  ).join("");
  return {
    snake: jobType,
    kebab: parts.join("-"),
    pascal,
    camel: pascal.charAt(0).toLowerCase() + pascal.slice(1),
    words: parts.join(" "),
  };
}

/** The new files by path, for a migration with this version. */
export function filesOf(
  names: Names,
  migrationVersion: string,
): Record<string, string> {
  const { kebab, snake } = names;
  const functions = "supabase/functions";
  return {
    [`supabase/schemas/jobs/${snake}.sql`]: schema(names),
    [`supabase/migrations/${migrationVersion}_core_${snake}.sql`]: schema(
      names,
    ),
    [`${functions}/_shared/contracts/${kebab}.ts`]: contract(names),
    [`${functions}/_shared/providers/elevenlabs/${kebab}.ts`]: wire(names),
    [`${functions}/process-ai-job/processors/${kebab}.ts`]: processor(names),
    [`tests/unit/process-ai-job/${kebab}.test.ts`]: test(names),
  };
}

function schema({ snake, words }: Names): string {
  return `-- The job type ${snake}: ElevenLabs makes a ${words} from a text.

insert into public.ai_job_types (job_type, provider, is_input_required, input_max_bytes)
values ('${snake}', 'elevenlabs', false, 1);

-- The price in your plan, in millionths of a US dollar; the processor counts the characters of the text.
insert into public.ai_prices (job_type, provider, unit, per_units, price_micros)
values ('${snake}', 'elevenlabs', 'character', 1000, 0);
`;
}

function contract({ snake, pascal, camel, words }: Names): string {
  return `/** The job type \`${snake}\`: its parameters, request and result. */
import { z } from "zod";
import { jobOptions } from "./job-request.ts";
import { plainText } from "./plain-text.ts";

/** Parameters of a ${words}. */
export const ${camel}MetadataSchema = z.strictObject({
  text: plainText(1000).describe("What it is made from."),
});
/** See {@link ${camel}MetadataSchema}. */
export type ${pascal}Metadata = z.infer<typeof ${camel}MetadataSchema>;

/** A request for a ${words}. It has no input object: the text is in the metadata. */
export const ${camel}RequestSchema = z.strictObject({
  ...jobOptions,
  job_type: z.literal("${snake}"),
  metadata: ${camel}MetadataSchema,
});

/** Result of a ${words}; the file is the job's output. */
export const ${camel}ResultSchema = z.object({
  provider_${snake}_id: z.string().min(1),
  size_bytes: z.number().int().positive(),
  content_type: z.string(),
});
/** See {@link ${camel}ResultSchema}. */
export type ${pascal}Result = z.infer<typeof ${camel}ResultSchema>;
`;
}

function wire({ kebab, pascal, words }: Names): string {
  return `/** ElevenLabs: ${words}. Compare URLs, fields and responses with the provider's API reference. */
import { z } from "zod";
import { ProviderFailure } from "../../failures/provider-failure.ts";
import type { ProviderAccess } from "../wire.ts";
import { createElevenLabsWire } from "./client.ts";

/** The parameters of one request. */
export interface ${pascal}Request {
  text: string;
  /** An operator finds the object at the provider by this text. */
  marker: string;
}

/** Both methods throw only {@link ProviderFailure}. */
export interface ElevenLabs${pascal} {
  /** Creates one and returns its id. Sends one paid request, which is never repeated. */
  make(request: ${pascal}Request, signal: AbortSignal): Promise<string>;
  /** Streams the file of an existing one. Costs nothing. */
  open(id: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

const madeSchema = z.object({ id: z.string().min(1) });

/** The calls of an ElevenLabs account. */
export function createElevenLabs${pascal}(
  access: ProviderAccess,
): ElevenLabs${pascal} {
  const wire = createElevenLabsWire(access);
  return {
    async make(request, signal) {
      const made = await wire.json(
        { method: "POST", path: "/v1/${kebab}", json: { ...request } },
        madeSchema,
        signal,
      );
      return made.id;
    },

    async open(id, signal) {
      const { body } = await wire.send({
        method: "GET",
        path: \`/v1/${kebab}/\${encodeURIComponent(id)}/audio\`,
      }, signal);
      if (body !== null) return body;
      throw ProviderFailure.unknown("provider_answer_invalid");
    },
  };
}
`;
}

function processor({ snake, kebab, pascal, camel, words }: Names): string {
  return `/** The job type \`${snake}\`: a text becomes a ${words}. */
import type { SupabaseClient } from "@supabase/supabase-js";
import {
  ${camel}MetadataSchema,
  type ${pascal}Result,
} from "../../_shared/contracts/${kebab}.ts";
import type { Database } from "../../_shared/database.types.ts";
import { ProviderFailure } from "../../_shared/failures/provider-failure.ts";
import { readMetadata } from "../../_shared/jobs/metadata.ts";
import type { Processor } from "../../_shared/jobs/job-context.ts";
import type { ElevenLabs${pascal} } from "../../_shared/providers/elevenlabs/${kebab}.ts";
import { storeOutput } from "../../_shared/storage/outputs.ts";

const MAX_FILE_BYTES = 20_971_520;

/** The processor. Progress: 20 when the call is sent, 70 after it, 80 while the file is stored, 100 at the end. */
export function create${pascal}Processor(deps: {
  supabase: SupabaseClient<Database>;
  maker: ElevenLabs${pascal};
}): Processor {
  return {
    jobType: "${snake}",
    async run({ job, signal, progress, pay }) {
      const { text } = readMetadata(job, ${camel}MetadataSchema);
      const id = await pay({
        operation: "make_${snake}", // one paid step of the job
        stage: "calling_provider",
        progressBefore: 20,
        progressAfter: 70,
        units: [...text].length, // as ai_prices counts
        send: (signal) => deps.maker.make({ text, marker: \`job:\${job.id}\` }, signal),
        // If the provider can be searched by the marker, do it here: then a lost response needs no manual check.
        find: () =>
          Promise.reject(
            ProviderFailure.unknown("outcome_unknown", {
              isRetryable: false,
              details: "ElevenLabs has no list of what it created.",
            }),
          ),
      });
      // Paid for by this attempt or an earlier one: fetched, never created again.
      progress(80, "storing_output");
      const { outputUrl, bytes } = await storeOutput(deps.supabase, {
        userId: job.user_id,
        jobId: job.id,
        fileName: "${kebab}.mp3",
        contentType: "audio/mpeg",
        body: await deps.maker.open(id, signal),
        maxBytes: MAX_FILE_BYTES,
        signal,
      });
      return {
        outputUrl,
        resultData: {
          provider_${snake}_id: id,
          size_bytes: bytes,
          content_type: "audio/mpeg",
        } satisfies ${pascal}Result,
      };
    },
  };
}
`;
}

function test({ snake, kebab, pascal, camel }: Names): string {
  return `import { assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { ${camel}ResultSchema } from "../../../supabase/functions/_shared/contracts/${kebab}.ts";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { ProviderFailure } from "../../../supabase/functions/_shared/failures/provider-failure.ts";
import type { PaidCall } from "../../../supabase/functions/_shared/jobs/paid-call.ts";
import { createLogger } from "../../../supabase/functions/_shared/platform/log.ts";
import { createElevenLabs${pascal} } from "../../../supabase/functions/_shared/providers/elevenlabs/${kebab}.ts";
import { create${pascal}Processor } from "../../../supabase/functions/process-ai-job/processors/${kebab}.ts";

const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const USER = "9c1d7f04-1c8b-4b8e-8f53-2f9b0a6f7e22";
const NOW = "2026-11-22T10:00:00Z";
const SOUND = await Deno.readFile(
  new URL("../../fixtures/recordings/speech-24s.mp3", import.meta.url),
);
const never = new AbortController().signal;

/** Runs a job; \`pay\` decides the outcome of its paid call. */
async function run(pay: (call: PaidCall) => Promise<string>) {
  const asked: string[] = [];
  const stored: string[] = [];
  const maker = createElevenLabs${pascal}({
    apiKey: "key",
    baseUrl: "https://provider.test",
    timeoutSeconds: 60,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      asked.push(\`\${request.method} \${new URL(request.url).pathname} \${await request.text()}\`);
      return request.method === "POST"
        ? Response.json({ id: "made-1" })
        : new Response(SOUND);
    },
  });
  const supabase = createClient<Database>("http://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: async (input, init) => {
        const request = new Request(input, init);
        const { byteLength } = await request.arrayBuffer();
        stored.push(\`\${new URL(request.url).pathname} \${byteLength}\`);
        return Response.json({ Id: "1", Key: "k" });
      },
    },
  });
  const completion = await create${pascal}Processor({ supabase, maker }).run({
    job: {
      id: JOB,
      user_id: USER,
      job_type: "${snake}",
      provider: "elevenlabs",
      spend: "none",
      input_url: null,
      metadata: { text: "A door" },
      attempt: 1,
      max_attempts: 5,
      input_hash: null,
      depends_on_job_id: null,
      cached_from_job_id: null,
      lease_token: crypto.randomUUID(),
      lease_expires_at: NOW,
      started_at: NOW,
      updated_at: NOW,
    },
    log: createLogger({ now: () => new Date(), writeLine() {} }, {
      level: "error",
      secrets: [],
      fields: {},
    }),
    signal: never,
    remainingMs: () => 100_000,
    progress() {},
    pay,
    recordUsage: () => Promise.resolve(),
    reportMissing: () => Promise.resolve(),
    dependency: () => Promise.resolve(null),
  });
  return { asked, stored, completion };
}

const path = \`outputs/\${USER}/\${JOB}/${kebab}.mp3\`;

Deno.test("${snake}: one paid request with the job's marker, and the file is stored", async () => {
  const units: number[] = [];
  const { asked, stored, completion } = await run(async (call) => {
    units.push(call.units);
    const made = await call.send(never, 0);
    return typeof made === "string" ? made : made.providerObjectId;
  });
  assertEquals(asked, [
    \`POST /v1/${kebab} {"text":"A door","marker":"job:\${JOB}"}\`,
    "GET /v1/${kebab}/made-1/audio ",
  ]);
  assertEquals(units, [6]);
  assertEquals(stored, [\`/storage/v1/object/\${path} \${SOUND.byteLength}\`]);
  assertEquals(completion.outputUrl, path);
  assertEquals(${camel}ResultSchema.parse(completion.resultData), {
    provider_${snake}_id: "made-1",
    size_bytes: SOUND.byteLength,
    content_type: "audio/mpeg",
  });
});

Deno.test("${snake}: the result that an earlier attempt paid for is fetched, not created again", async () => {
  const { asked } = await run(() => Promise.resolve("made-1"));
  assertEquals(asked, ["GET /v1/${kebab}/made-1/audio "]);
});

Deno.test("${snake}: a lost response leaves the outcome unknown, and nothing is sent again", async () => {
  const failure = await assertRejects(
    () => run((call) => call.find(never).then(String)),
    ProviderFailure,
  );
  assertEquals([failure.code, failure.isRetryable], ["outcome_unknown", false]);
});
`;
}
