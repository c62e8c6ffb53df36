/** Jobs: which inputs they accept, whose results they reuse, and what their functions reveal. */
import { z } from "zod";
import { refusalOf, rest } from "./attempt.ts";
import { type Case, writerOf } from "./case.ts";
import { keptObject, type Values } from "./fixture.ts";
import { call, jobRecord, rowOf } from "./function-attempts.ts";
import type { Stage } from "./stage.ts";

const jobSchema = z.array(z.object({
  status: z.string(),
  cached_from_job_id: z.string().nullable(),
}));

/** Inserted jobs, and jobs that the service changes. */
export function jobCases(stage: Stage): Case[] {
  const { ids, actors } = stage.people;
  const A = writerOf(stage, "A");
  const service = writerOf(stage, "service");
  /** A new job without its id, which the database draws. */
  const fresh = (owner: "A" | "B"): Values => {
    const { id: _id, ...row } = stage.fixture["ai_jobs"]?.fresh(owner) ?? {};
    return row;
  };
  const job = (owner: "A" | "B", input: string): Values => ({
    ...fresh(owner),
    cached_from_job_id: null,
    depends_on_job_id: null,
    input_url: `voice-samples/${input}`,
  });
  const speech = (metadata: Values): Values => ({
    ...fresh("A"),
    cached_from_job_id: null,
    depends_on_job_id: null,
    input_url: null,
    job_type: "text_to_speech",
    metadata: { text: "Hello.", ...metadata },
  });
  /** The id of B's only row. */
  const idIn = (table: "voices" | "calls") =>
    rowOf(stage, "B", table, table.slice(0, -1)).values["id"] ?? null;
  const common = {
    subjects: ["table ai_jobs"],
    actor: "A" as const,
    operation: "insert" as const,
  };
  /** Creates a finished job that differs only in its owner from one that a new job of A may reuse. */
  const reuse = async (owner: "A" | "B") => {
    const row = job("A", keptObject(ids.A));
    const source = rowOf(stage, owner, "ai_jobs", "finished").stored["id"] ??
      "";
    const voice = rowOf(stage, "A", "voices", "voice").stored["id"] ?? "";
    await stage.sql.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`
        update public.ai_jobs as j
        set completed_at = now(),
          result_data = ${
        JSON.stringify({
          voice_id: voice,
          provider_voice_id: "voice_A",
          voice_name: "A voice",
        })
      }::text::jsonb,
          input_hash = public.ai_job_input_hash(
            ${ids.A}, 'voice_clone', ${`${row["input_url"]}`}, ${
        JSON.stringify(row["metadata"])
      }::text::jsonb
          )
        where j.id = ${source}`;
    });
    const answer = await rest(
      stage.apiUrl,
      actors.A,
      "POST",
      "ai_jobs?select=status,cached_from_job_id",
      {
        body: { ...row, cached_from_job_id: source },
        prefer: "return=representation",
      },
    );
    const refusal = refusalOf(answer);
    if (refusal !== undefined) return refusal;
    const [made] = jobSchema.parse(answer.body);
    return `${made?.status}${
      made?.cached_from_job_id === null ? "" : ", from the other one"
    }`;
  };
  const keepsake = (of: "A" | "B"): Values => ({
    ...job("A", ""),
    job_type: "pdf_render",
    input_url: null,
    metadata: {
      slideshow_id: rowOf(stage, of, "slideshows", "private").stored["id"] ??
        null,
    },
  });
  /** Whether the hash of a job that names a recording reveals the version of that recording. */
  const hashNaming = async (owner: "A" | "B") => {
    const recording = `voice-samples/${keptObject(ids[owner])}`;
    const input = `voice-samples/${keptObject(ids.A)}`;
    const metadata = { voice_name: "A voice", audio_url: recording };
    const answer = await rest(
      stage.apiUrl,
      actors.A,
      "POST",
      "ai_jobs?select=input_hash",
      {
        body: { ...job("A", keptObject(ids.A)), metadata },
        prefer: "return=representation",
      },
    );
    const refusal = refusalOf(answer);
    if (refusal !== undefined) return refusal;
    const [made] = z.array(z.object({ input_hash: z.string() }))
      .parse(answer.body);
    const [known] = await stage.sql<{ hash: string }[]>`
      select encode(sha256(convert_to(jsonb_build_object(
        'user_id', ${ids.A}::text, 'job_type', 'voice_clone', 'input_url', ${input}::text,
        'input_version', (
          select concat_ws(':', coalesce(o.version, o.metadata ->> 'eTag'), o.id)
          from storage.objects as o where o.bucket_id || '/' || o.name = ${input}
        ),
        'metadata', ${
      JSON.stringify(metadata)
    }::text::jsonb, 'audio_version', null
      )::text, 'UTF8')), 'hex') as hash`;
    return made?.input_hash === known?.hash
      ? "nothing of the recording"
      : "its version";
  };
  return [
    {
      ...common,
      what:
        "insert a job that names B's recording in a field that its type does not use",
      expected: "nothing of the recording",
      changes: "not compared",
      run: () => hashNaming("B"),
    },
    {
      ...common,
      what: "insert a job that names their own recording there",
      expected: "its version",
      changes: "not compared",
      run: () => hashNaming("A"),
    },
    {
      ...common,
      what: "insert a keepsake of B's slideshow",
      expected: "refused AJ090",
      run: () => A.insert("ai_jobs", keepsake("B")),
    },
    {
      ...common,
      actor: "service",
      what: "insert a keepsake of A's with B's slideshow",
      expected: "refused AJ090",
      run: () => service.insert("ai_jobs", keepsake("B")),
    },
    {
      ...common,
      what: "insert a job on B's recording",
      expected: "refused AJ015",
      run: () => A.insert("ai_jobs", job("A", keptObject(ids.B))),
    },
    {
      ...common,
      what: "insert a job on a missing object in B's folder",
      expected: "refused AJ015",
      run: () => A.insert("ai_jobs", job("A", `${ids.B}/missing.bin`)),
    },
    {
      ...common,
      what: "insert a job whose photo speaks B's recording",
      expected: "refused AJ015",
      run: () =>
        A.insert("ai_jobs", {
          ...job("A", keptObject(ids.A)),
          job_type: "avatar_video",
          input_url: `profile-photos/${keptObject(ids.A)}`,
          metadata: { audio_url: `voice-samples/${keptObject(ids.B)}` },
        }),
    },
    {
      ...common,
      what: "insert a job that speaks in B's voice",
      expected: "refused AJ018",
      run: () => A.insert("ai_jobs", speech({ voice_id: idIn("voices") })),
    },
    {
      ...common,
      what: "insert a job that speaks in B's voice, by the provider's id",
      expected: "refused AJ018",
      run: () => A.insert("ai_jobs", speech({ voice_id: "voice_B" })),
    },
    {
      ...common,
      what: "insert a job that writes to B's call",
      expected: "refused AJ019",
      run: () =>
        A.insert("ai_jobs", {
          ...job("A", keptObject(ids.A)),
          job_type: "transcription",
          metadata: { call_id: idIn("calls") },
        }),
    },
    {
      ...common,
      what: "insert a job of B's on something that does not exist",
      expected: "against the policy",
      run: () => A.insert("ai_jobs", job("B", `${ids.B}/missing.bin`)),
    },
    {
      ...common,
      what: "insert a job that an equal one of B's would answer",
      expected: "pending",
      changes: "not compared",
      run: () => reuse("B"),
    },
    {
      ...common,
      what: "insert a job that an equal one of their own answers",
      expected: "completed, from the other one",
      changes: "not compared",
      run: () => reuse("A"),
    },
    {
      subjects: ["table ai_jobs"],
      actor: "service",
      operation: "update",
      what: "requeue a finished job",
      expected: "refused AJ050",
      run: () =>
        service.change("B", "ai_jobs", "finished", { status: "pending" }),
    },
    {
      subjects: ["table ai_jobs"],
      actor: "service",
      operation: "update",
      what: "record an event",
      expected: "B's running; added B's ai_job_events, changed B's ai_jobs",
      changes: "in the outcome",
      run: () =>
        service.change("B", "ai_jobs", "running", {
          event_seq: 2,
          last_event: "progress",
        }),
    },
  ];
}

/** Functions about jobs that users may call. */
export function functionCases(stage: Stage): Case[] {
  const { ids, actors } = stage.people;
  const common = { actor: "A" as const, operation: "execute" as const };
  const hashOf = async (owner: "A" | "B", caller: "A" | "service") => {
    const input = `voice-samples/${keptObject(ids[owner])}`;
    const [wanted] = await stage.sql<{ there: string; nowhere: string }[]>`
      select
        public.ai_job_input_hash(${
      ids[owner]
    }, 'voice_clone', ${input}, '{}') as there,
        encode(sha256(convert_to(jsonb_build_object(
          'user_id', ${
      ids[owner]
    }::text, 'job_type', 'voice_clone', 'input_url', ${input}::text, 'input_version', null,
          'metadata', '{}'::jsonb
        )::text, 'UTF8')), 'hex') as nowhere`;
    const found = await call(stage, actors[caller], "ai_job_input_hash", {
      p_user_id: ids[owner],
      p_job_type: "voice_clone",
      p_input_url: input,
      p_metadata: {},
    });
    return found === `"${wanted?.there}"`
      ? "the hash of the object"
      : found === `"${wanted?.nowhere}"`
      ? "the hash of no object"
      : found;
  };
  const cached = (owner: "A" | "B") =>
    call(stage, actors.A, "get_ai_result_cache", {
      p_cache_key: rowOf(stage, owner, "ai_result_cache", "entry").values[
        "cache_key"
      ] ?? null,
    });
  const hash = {
    ...common,
    subjects: ["function ai_job_input_hash", "table storage.objects"],
  };
  const cache = {
    ...common,
    subjects: ["function get_ai_result_cache", "table ai_result_cache"],
  };
  const costs = {
    ...common,
    subjects: ["function get_ai_costs", "table ai_provider_calls"],
  };
  const place = { ...common, subjects: ["function jobs_ahead"] };
  const creation = {
    ...common,
    subjects: ["function create_ai_job", "table ai_jobs"],
  };
  /** A job that A creates on a recording of this owner. */
  const creates = (owner: "A" | "B") =>
    call(stage, actors.A, "create_ai_job", {
      p_job_type: "voice_clone",
      p_metadata: { voice_name: "A voice" },
      p_input_url: `voice-samples/${keptObject(ids[owner])}`,
      p_is_cache_searched: true,
    });
  /** The place in the queue that A reads of a waiting job. */
  const placeOf = async (owner: "A" | "B") => {
    const id = `${rowOf(stage, owner, "ai_jobs", "waiting").values["id"]}`;
    const queue = (key: number | null) =>
      stage.sql.begin(async (sql) => {
        await sql`set local session_replication_role = replica`;
        await sql`update public.ai_jobs set queue_key = ${key} where id = ${id}`;
      });
    await queue(1);
    try {
      return await call(stage, actors.A, "jobs_ahead", {
        p_job: jobRecord(stage, id),
      });
    } finally {
      await queue(null);
    }
  };
  const callsOf = async (owner: "A" | "B") => {
    const answer = await call(stage, actors.A, "get_ai_costs", {
      p_user_id: ids[owner],
    });
    const rows = z.array(z.object({ paid_calls: z.number() }))
      .parse(JSON.parse(answer));
    return `${rows.reduce((sum, row) => sum + row.paid_calls, 0)} calls`;
  };
  return [
    {
      ...common,
      subjects: ["function get_ai_budget", "table ai_limits"],
      what: "get their own budget, and no other",
      expected: "[1000000]",
      run: async () => {
        const answer = await call(stage, actors.A, "get_ai_budget", {});
        const rows = z.array(z.object({ budget_micros: z.number().nullable() }))
          .parse(JSON.parse(answer));
        return JSON.stringify(rows.map((row) => row.budget_micros));
      },
    },
    {
      ...place,
      what: "get the place of B's waiting job",
      expected: "null",
      run: () => placeOf("B"),
    },
    {
      ...place,
      what: "get the place of their own waiting job",
      expected: "a place",
      run: async () => (await placeOf("A")).replace(/^\d+$/, "a place"),
    },
    {
      ...costs,
      what: "get B's costs",
      expected: "0 calls",
      run: () => callsOf("B"),
    },
    {
      ...costs,
      what: "get their own costs",
      expected: "1 calls",
      run: () => callsOf("A"),
    },
    {
      ...hash,
      what: "get the hash of B's recording",
      expected: "the hash of no object",
      run: () => hashOf("B", "A"),
    },
    {
      ...hash,
      what: "get the hash of their own recording",
      expected: "the hash of the object",
      run: () => hashOf("A", "A"),
    },
    {
      ...creation,
      what: "create a job on B's recording",
      expected: "refused AJ015",
      run: () => creates("B"),
    },
    {
      ...creation,
      what: "create a job on their own recording",
      expected: "created",
      changes: "not compared",
      run: async () =>
        (await creates("A")).includes('"status":"pending"') ? "created" : "not",
    },
    {
      ...cache,
      what: "get B's cached result",
      expected: "null",
      run: () => cached("B"),
    },
    {
      ...cache,
      what: "get their own cached result",
      expected: JSON.stringify(
        rowOf(stage, "A", "ai_result_cache", "entry").values["value"],
      ),
      run: () => cached("A"),
    },
  ];
}
