/**
 * CPU time and peak resident memory of each request of `pdf_render`, each in a fresh isolate, for demanding books and
 * photos. A hosted isolate has 2 s and 256 MB.
 *
 * usage: deno task bench:pdf-render [--only NAME]
 *
 * The function runs in a process as in the embedded stack. The figures are those of the whole process, from its
 * readiness to the end of the request, as Linux counts them. Storage is on the same machine, without TLS.
 */
import { parseArgs } from "@std/cli/parse-args";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { Webhook } from "standardwebhooks";
import { z } from "zod";
import { startFunctionProcess } from "../../dev/stack/functions/process.ts";
import { denoCommand } from "../../dev/stack/functions/deno.ts";
import { type Stack, startStack } from "../../dev/stack/stack.ts";
import { fromFileUrl } from "@std/path";
import { cameraPhoto, endlessPhoto, photoRow, png } from "./photos.ts";

/** The most that a request may use. */
const GOAL = { cpuMs: 1500, megabytes: 180 };
const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const SLUG = "render-ai-job";
/** Time limit of a claim on a busy machine. */
const TIME_LIMIT_MS = 120_000;

interface Photo {
  bytes: Uint8Array<ArrayBuffer>;
  contentType: "image/jpeg" | "image/png";
}

/** A book to render. */
interface Case {
  name: string;
  photos: () => Promise<Photo[]>;
  caption?: (slide: number) => string;
  description?: string;
  title?: string;
}

const jpeg = (bytes: Uint8Array<ArrayBuffer>): Photo => ({
  bytes,
  contentType: "image/jpeg",
});
const small = () =>
  cameraPhoto({ width: 1200, height: 900, scanBytes: 100_000, orientation: 1 });

async function noisyPng(
  options: { width: number; height: number; bits: 8 | 16; colorType: 2 | 6 },
): Promise<Photo> {
  const samples = options.colorType === 6 ? 4 : 3;
  return {
    contentType: "image/png",
    bytes: await png(
      { ...options, filter: 1 },
      photoRow(samples, options.bits / 8),
    ),
  };
}

/** Words that occur nowhere else, so that no cached measurement helps. */
function words(length: number, seed: number): string {
  let text = "";
  for (let at = 0; text.length < length; at++) {
    text += `${(seed * 7919 + at * 104_729).toString(36)}ąłőЖηёÅ `;
  }
  return text.slice(0, length).trim();
}

const CASES: Case[] = [
  {
    name: "100 photos of 12 MP as cameras write them, 3.6 MB each",
    photos: () =>
      Promise.resolve(
        Array.from({ length: 100 }, (_, index) =>
          jpeg(cameraPhoto({
            width: 4032,
            height: 3024,
            scanBytes: 3_600_000,
            orientation: index % 3 === 0 ? 6 : 1,
          }))),
      ),
    caption: (slide) => slide % 2 === 0 ? `At the lake, day ${slide}` : "",
  },
  {
    name: "a PNG of 10,000 × 10,000 without transparency",
    photos: async () => [
      {
        contentType: "image/png",
        bytes: await png(
          { width: 10_000, height: 10_000, bits: 8, colorType: 2, filter: 0 },
          // Fifteen rows in sixteen repeat: 20 MB, and not 300.
          (() => {
            const draw = photoRow(3, 1);
            return (bytes, y) => {
              if (y % 16 === 0) draw(bytes, y);
            };
          })(),
        ),
      },
    ],
  },
  {
    name: "a PNG of 10,000 × 10,000 with transparency, which is refused",
    photos: async () => [
      {
        contentType: "image/png",
        bytes: await png(
          { width: 10_000, height: 10_000, bits: 8, colorType: 6, filter: 0 },
          () => {},
        ),
      },
    ],
  },
  {
    name: "four JPEGs whose scan is FF D9 D9 …, 50 MB each",
    photos: () =>
      Promise.resolve(
        Array.from({ length: 4 }, () => jpeg(endlessPhoto(50_000_000))),
      ),
  },
  {
    name: "a 16-bit PNG of 6 MP with transparency",
    photos: async () => [
      await noisyPng({ width: 3000, height: 2000, bits: 16, colorType: 6 }),
    ],
  },
  {
    name: "a PNG of 16 MP with an alpha channel, the largest that is unpacked",
    photos: async () => [
      await noisyPng({ width: 4000, height: 4000, bits: 8, colorType: 6 }),
    ],
  },
  {
    name: "captions of 30,000 characters, the maximum, no word twice",
    photos: () =>
      Promise.resolve(Array.from({ length: 100 }, () => jpeg(small()))),
    caption: (slide) => words(slide % 2 === 0 ? 500 : 100, slide + 1),
    description: words(2000, 1000),
    title: words(200, 2000),
  },
  {
    name: "a small book: 12 photos of 12 MP",
    photos: () =>
      Promise.resolve(Array.from({ length: 12 }, () =>
        jpeg(cameraPhoto({
          width: 4032,
          height: 3024,
          scanBytes: 3_600_000,
          orientation: 1,
        })))),
    caption: (slide) => `Day ${slide}`,
  },
];

const usageSchema = z.object({ cpuMs: z.number(), megabytes: z.number() });
type Usage = z.infer<typeof usageSchema>;

/** The resources that a process has used so far: proc(5). */
async function usageOf(pid: number): Promise<Usage> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return {
    cpuMs: ((fields[11] ?? 0) + (fields[12] ?? 0)) * 10,
    megabytes: Math.round(
      Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024 / 1e6,
    ),
  };
}

const jobSchema = z.object({
  status: z.string(),
  stage: z.string().nullable(),
  error_code: z.string().nullable(),
  error_message: z.string().nullable(),
  result_data: z.looseObject({
    page_count: z.number(),
    size_bytes: z.number(),
  }).nullable(),
});

/** Runs one request in a fresh isolate. Returns its CPU time and memory, and the state of the job. */
async function request(stack: Stack, sql: postgres.Sql, jobId: string) {
  const definition = stack.functions.definition(SLUG);
  if (definition === undefined) throw new Error(`there is no ${SLUG}`);
  const isolate = await startFunctionProcess(
    definition,
    {
      projectDir: ROOT,
      deno: denoCommand(undefined),
      env: {
        SUPABASE_URL: stack.apiUrl,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({
          default: stack.publishableKey,
        }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: stack.secretKey }),
        DISPATCH_SECRET: stack.dispatchSecret,
      },
      // No limits, to measure the full need.
      limits: { wallClockMs: 400_000, cpuMs: 0, memoryBytes: 0 },
      bootTimeoutMs: 60_000,
      logs: stack.logs,
    },
    new AbortController().signal,
  );
  try {
    const before = await usageOf(isolate.pid);
    const body = JSON.stringify({
      type: "INSERT",
      table: "ai_jobs",
      schema: "public",
      record: { id: jobId },
      old_record: null,
      job_ids: [jobId],
    });
    const id = `msg_${crypto.randomUUID()}`, now = new Date();
    const answer = await fetch(`${isolate.origin}/${SLUG}`, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
        "webhook-signature": new Webhook(stack.dispatchSecret)
          .sign(id, now, body),
      },
    });
    const text = await answer.text();
    if (answer.status !== 202 || !text.includes(jobId)) {
      throw new Error(`the job was not claimed: ${answer.status} ${text}`);
    }
    const deadline = performance.now() + TIME_LIMIT_MS;
    for (;;) {
      const [row] = await sql`
        select status, stage, error_code, error_message, result_data from public.ai_jobs where id = ${jobId}`;
      const job = jobSchema.parse(row);
      if (job.status !== "processing") {
        const after = await usageOf(isolate.pid);
        return {
          job,
          usage: {
            cpuMs: after.cpuMs - before.cpuMs,
            megabytes: after.megabytes,
          },
          before: before.megabytes,
        };
      }
      if (performance.now() > deadline) throw new Error("the request hangs");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await isolate.end();
  }
}

async function prepare(
  sql: postgres.Sql,
  admin: SupabaseClient,
  userId: string,
  { photos, caption, description, title }: Case,
): Promise<string> {
  const [show] = await sql`
    insert into public.slideshows (user_id, title, description)
    values (${userId}, ${title ?? "Eighty Summers"}, ${
    description ?? null
  }) returning id`;
  const slideshow = z.string().parse(show?.["id"]);
  for (const [index, { bytes, contentType }] of (await photos()).entries()) {
    const path = `${userId}/${crypto.randomUUID()}/photo`;
    const { error } = await admin.storage.from("uploads").upload(path, bytes, {
      contentType,
    });
    if (error) throw error;
    const text = caption?.(index) ?? "";
    await sql`
      with photo as (
        insert into public.media (user_id, media_type, storage_path, file_name, content_type, size_bytes)
        values (${userId}, 'image', ${`uploads/${path}`}, 'photo', ${contentType}, ${bytes.length}) returning id
      )
      insert into public.slideshow_items (user_id, slideshow_id, media_id, position, caption)
      select ${userId}, ${slideshow}, id, ${index}, ${
      text === "" ? null : text
    } from photo`;
  }
  const [job] = await sql`
    insert into public.ai_jobs (user_id, job_type, metadata)
    values (${userId}, 'pdf_render', ${
    sql.json({ slideshow_id: slideshow })
  }) returning id`;
  return z.string().parse(job?.["id"]);
}

const read = z.strictObject({
  _: z.tuple([]),
  help: z.boolean(),
  only: z.string().default(""),
}).safeParse(parseArgs(Deno.args, { string: ["only"], boolean: ["help"] }));
const print = (line: string) =>
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
const USAGE = "usage: deno task bench:pdf-render [--only NAME]";
if (!read.success || read.data.help) {
  print(read.success ? USAGE : `${z.prettifyError(read.error)}\n${USAGE}`);
  Deno.exit(read.success ? 0 : 2);
}
const options = read.data;
if (!CASES.some(({ name }) => name.includes(options.only))) {
  const names = CASES.map(({ name }) => `  ${name}`).join("\n");
  print(
    `There is no book named ${options.only}. There are:\n${names}\n${USAGE}`,
  );
  Deno.exit(2);
}

await using stack = await startStack({ ephemeral: true });
// Only this program calls the function.
await stack.net.stop();
stack.cron.stop();
await using sql = Object.assign(
  postgres(stack.dbUrl, { max: 2, onnotice: () => {} }),
  {
    [Symbol.asyncDispose]: () => sql.end(),
  },
);
const admin = createClient(stack.apiUrl, stack.secretKey, {
  auth: { persistSession: false },
});
const app = createClient(stack.apiUrl, stack.publishableKey, {
  auth: { persistSession: false },
});
const { data, error } = await app.auth.signUp({
  email: "bench@example.com",
  password: crypto.randomUUID(),
});
if (error || !data.user) throw error ?? new Error("no user");

let isMet = true;
for (const one of CASES) {
  if (!one.name.includes(options.only)) continue;
  const jobId = await prepare(sql, admin, data.user.id, one);
  const requests: Usage[] = [];
  let last: Awaited<ReturnType<typeof request>>;
  do {
    last = await request(stack, sql, jobId);
    requests.push(last.usage);
  } while (last.job.status === "pending");
  const { job } = last;
  const cpuMs = Math.max(...requests.map((usage) => usage.cpuMs));
  const megabytes = Math.max(...requests.map((usage) => usage.megabytes));
  isMet &&= cpuMs < GOAL.cpuMs && megabytes < GOAL.megabytes;
  await print(one.name);
  await print(
    job.status === "completed"
      ? `  ${job.result_data?.page_count} pages, ${
        ((job.result_data?.size_bytes ?? 0) / 1e6).toFixed(1)
      } MB`
      : `  ${job.status}: ${job.error_code}: ${job.error_message}`,
  );
  await print(
    `  ${requests.length} request(s); at most ${
      (cpuMs / 1000).toFixed(2)
    } s and ${megabytes} MB (${last.before} MB before)`,
  );
  await print(
    `  each: ${
      requests.map((usage) =>
        `${(usage.cpuMs / 1000).toFixed(2)} s ${usage.megabytes} MB`
      ).join(", ")
    }`,
  );
}
await print(
  isMet
    ? `all below ${GOAL.cpuMs / 1000} s and ${GOAL.megabytes} MB`
    : `NOT all below ${GOAL.cpuMs / 1000} s and ${GOAL.megabytes} MB`,
);
if (!isMet) Deno.exitCode = 1;
