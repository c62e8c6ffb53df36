/**
 * What no rule over the catalogue can say: functions that users may call, and the checks that triggers and functions
 * make. Each is one attempt among the others.
 */
import { z } from "zod";
import { type Attempt, type Operation, refusalOf, rest } from "./attempt.ts";
import { type Json, keptObject, type Values } from "./fixture.ts";
import { productOf } from "./fixture-shop.ts";
import { call, rowOf } from "./function-attempts.ts";
import { withChanges } from "./own-attempts.ts";
import type { ActorName } from "./people.ts";
import { filterFor } from "./rows.ts";
import { relationNamed } from "./catalogue.ts";
import type { Stage } from "./stage.ts";
import { write } from "./write-attempts.ts";

interface Case {
  subjects: string[];
  actor: ActorName;
  operation: Operation;
  what: string;
  expected: string;
  /** Absent: nothing may change. Otherwise whether the changes are part of the outcome. */
  changes?: "told" | "not told";
  run(): Promise<string>;
}

function asAttempt(stage: Stage, { changes, ...rest }: Case): Attempt {
  return {
    ...rest,
    mayChange: changes !== undefined,
    ...(changes === undefined ? {} : {
      judge: changes === "told"
        ? withChanges(stage)
        : (outcome: string) => outcome,
    }),
  };
}

const jobSchema = z.array(z.object({
  status: z.string(),
  cached_from_job_id: z.string().nullable(),
}));

/** Inserts, changes and deletes by name, as a caller. */
function writerOf(stage: Stage, name: ActorName) {
  const actor = stage.people.actors[name];
  const relation = (of: string) => relationNamed(stage.catalogue, of);
  return {
    insert: (of: string, body: Json) =>
      write(stage, actor, relation(of), "POST", "", body),
    change: (owner: "A" | "B", of: string, kind: string, body: Values) =>
      write(
        stage,
        actor,
        relation(of),
        "PATCH",
        filterFor(relation(of), rowOf(stage, owner, of, kind)),
        body,
      ),
    remove: (owner: "A" | "B", of: string, kind: string) =>
      write(
        stage,
        actor,
        relation(of),
        "DELETE",
        filterFor(relation(of), rowOf(stage, owner, of, kind)),
      ),
  };
}

function jobCases(stage: Stage): Case[] {
  const { ids, actors } = stage.people;
  const A = writerOf(stage, "A");
  const service = writerOf(stage, "service");
  const job = (owner: "A" | "B", input: string): Values => ({
    ...stage.fixture["ai_jobs"]?.fresh(owner),
    cached_from_job_id: null,
    input_url: `voice-samples/${input}`,
  });
  const common = {
    subjects: ["table ai_jobs"],
    actor: "A" as const,
    operation: "insert" as const,
  };
  /** Makes a finished job so alike a new one of A's that only its owner tells it from one that answers it. */
  const reuse = async (owner: "A" | "B") => {
    const row = job("A", keptObject(ids.A));
    const source = rowOf(stage, owner, "ai_jobs", "finished").stored["id"] ??
      "";
    await stage.sql.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`
        update public.ai_jobs as j
        set completed_at = now(),
          result_data = '{"voice_id": "voice_A", "voice_name": "A voice"}',
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
  return [
    {
      ...common,
      what: "insert a job on B's recording",
      expected: "refused AJ015",
      run: () => A.insert("ai_jobs", job("A", keptObject(ids.B))),
    },
    {
      ...common,
      what: "insert a job on something in B's folder that is not there",
      expected: "refused AJ015",
      run: () => A.insert("ai_jobs", job("A", `${ids.B}/missing.bin`)),
    },
    {
      ...common,
      what: "insert a job of B's on something that is not there",
      expected: "against the policy",
      run: () => A.insert("ai_jobs", job("B", `${ids.B}/missing.bin`)),
    },
    {
      ...common,
      what: "insert a job that an equal one of B's would answer",
      expected: "pending",
      changes: "not told",
      run: () => reuse("B"),
    },
    {
      ...common,
      what: "insert a job that an equal one of their own answers",
      expected: "completed, from the other one",
      changes: "not told",
      run: () => reuse("A"),
    },
    {
      subjects: ["table ai_jobs"],
      actor: "service",
      operation: "update",
      what: "make a finished job wait again",
      expected: "refused AJ050",
      run: () =>
        service.change("B", "ai_jobs", "finished", { status: "pending" }),
    },
    {
      subjects: ["table ai_jobs"],
      actor: "service",
      operation: "update",
      what: "note an event",
      expected: "B's running; added B's ai_job_events, changed B's ai_jobs",
      changes: "told",
      run: () =>
        service.change("B", "ai_jobs", "running", {
          event_seq: 2,
          last_event: "progress",
        }),
    },
  ];
}

function functionCases(stage: Stage): Case[] {
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
  const reorder = (slideshow: "A" | "B", item: "A" | "B") =>
    call(stage, actors.A, "reorder_slideshow", {
      p_slideshow_id: rowOf(stage, slideshow, "slideshows", "private").values[
        "id"
      ] ?? null,
      p_item_ids: [
        rowOf(stage, item, "slideshow_items", "in a private one").values[
          "id"
        ] ?? null,
      ],
    });
  const hash = {
    ...common,
    subjects: ["function ai_job_input_hash", "table storage.objects"],
  };
  const cache = {
    ...common,
    subjects: ["function get_ai_result_cache", "table ai_result_cache"],
  };
  const order = {
    ...common,
    subjects: [
      "function reorder_slideshow",
      "table slideshow_items",
      "table slideshows",
    ],
  };
  return [
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
    {
      ...order,
      what: "put B's slides in order",
      expected: "0",
      run: () => reorder("B", "B"),
    },
    {
      ...order,
      what: "put B's slide into their own slideshow",
      expected: "0",
      run: () => reorder("A", "B"),
    },
    {
      ...order,
      what: "put their own slides in order",
      expected: "1; changed A's slideshow_items",
      changes: "told",
      run: () => reorder("A", "A"),
    },
  ];
}

function sharingCases(stage: Stage): Case[] {
  const { actors } = stage.people;
  const subjects = [
    "function get_shared_slideshow",
    "table slideshows",
    "table slideshow_items",
  ];
  const tokenOf = (kind: string) =>
    rowOf(stage, "B", "slideshows", kind).stored["share_token"] ?? "";
  const shown = async (name: ActorName, token: string) => {
    const text = await call(stage, actors[name], "get_shared_slideshow", {
      p_share_token: token,
    });
    const parsed = z.object({ title: z.string(), slides: z.array(z.unknown()) })
      .safeParse(text.startsWith("{") ? JSON.parse(text) : undefined);
    return parsed.success
      ? `${parsed.data.title} with ${parsed.data.slides.length} slide`
      : text;
  };
  const A = writerOf(stage, "A");
  return [
    ...(["anon", "A", "B", "vendor"] as const).flatMap((actor): Case[] => {
      const common = { subjects, actor, operation: "execute" as const };
      return [
        {
          ...common,
          what: "open B's published slideshow by its link",
          expected: "B's published slideshow with 1 slide",
          run: () => shown(actor, tokenOf("published")),
        },
        {
          ...common,
          what: "open B's private slideshow by what would be its link",
          expected: "null",
          run: () => shown(actor, tokenOf("private")),
        },
        {
          ...common,
          what: "open a slideshow by a link to nothing",
          expected: "null",
          run: () => shown(actor, "0".repeat(64)),
        },
      ];
    }),
    {
      subjects,
      actor: "A",
      operation: "update",
      what: "withdraw a slideshow and look for public copies",
      expected: "nothing",
      changes: "not told",
      run: async () => {
        await A.change("A", "slideshows", "published", { is_published: false });
        const { body } = await rest(
          stage.apiUrl,
          actors.A,
          "GET",
          `slideshow_items?select=public_path&public_path=not.is.null&slideshow_id=eq.${
            rowOf(stage, "A", "slideshows", "published").stored["id"]
          }`,
        );
        const rows = z.array(z.object({ public_path: z.string() })).parse(body);
        return rows.map((row) => row.public_path).join(", ") || "nothing";
      },
    },
    {
      subjects,
      actor: "A",
      operation: "update",
      what: "withdraw a slideshow and publish it again: the link that was out",
      expected: "null",
      changes: "not told",
      run: async () => {
        const token = rowOf(stage, "A", "slideshows", "published").stored[
          "share_token"
        ] ?? "";
        for (const is_published of [false, true]) {
          await A.change("A", "slideshows", "published", { is_published });
        }
        return await shown("anon", token);
      },
    },
  ];
}

function shopCases(stage: Stage): Case[] {
  const A = writerOf(stage, "A");
  const service = writerOf(stage, "service");
  const item = (order: Values, more: Values) => {
    const { id, quantity, product_id } =
      stage.fixture["order_items"]?.fresh("A") ?? {};
    return {
      id: id ?? null,
      quantity: quantity ?? null,
      product_id: product_id ?? null,
      order_id: order["id"] ?? null,
      ...more,
    };
  };
  const order = (owner: "A" | "B", kind: string) =>
    rowOf(stage, owner, "orders", kind).values;
  const items = {
    subjects: ["table order_items"],
    actor: "A" as const,
    operation: "insert" as const,
  };
  const orders = {
    subjects: ["table orders"],
    actor: "A" as const,
    operation: "update" as const,
  };
  const kept = (of: string, what: string) => ({
    subjects: [`table ${of}`],
    actor: "service" as const,
    operation: "update" as const,
    what,
  });
  return [
    ...[
      ["B's paid order", order("B", "paid, with the vendor")],
      ["an order that is not there", {
        id: "00000000-0000-4000-8000-000000000000",
      }],
    ].map(([name, of]): Case => ({
      ...items,
      what: `add an item to ${name}`,
      expected: "against the policy",
      run: () =>
        A.insert("order_items", item(typeof of === "object" ? of : {}, {})),
    })),
    {
      ...items,
      what: "add an item to their own order that is placed",
      expected: "refused AJ060",
      run: () =>
        A.insert("order_items", item(order("A", "placed with the vendor"), {})),
    },
    {
      ...items,
      what: "add an item that another vendor sells",
      expected: "refused AJ061",
      run: () =>
        A.insert(
          "order_items",
          item(order("A", "draft"), {
            product_id: productOf("other vendor")["product_id"] ?? null,
          }),
        ),
    },
    {
      ...orders,
      what: "put their own order that is paid into production",
      expected: "refused AJ062",
      run: () =>
        A.change("A", "orders", "paid, with the vendor", {
          status: "in_production",
        }),
    },
    {
      ...orders,
      what: "redirect their own order that is paid",
      expected: "refused AJ060",
      run: () =>
        A.change("A", "orders", "paid, with the vendor", {
          shipping_address: { name: "Elsewhere" },
        }),
    },
    {
      ...orders,
      what: "place their own draft",
      expected: "A's draft; changed A's orders",
      changes: "told",
      run: () => A.change("A", "orders", "draft", { status: "placed" }),
    },
    {
      subjects: ["table pdfs", "table orders"],
      actor: "A",
      operation: "delete",
      what: "delete a keepsake that they have just ordered",
      expected: "refused AJ065; changed A's orders",
      changes: "told",
      run: async () => {
        await A.change("A", "orders", "draft", { status: "placed" });
        return await A.remove("A", "pdfs", "keepsake");
      },
    },
    {
      ...kept("orders", "give B's order to A"),
      expected: "refused AJ060",
      run: () =>
        service.change("B", "orders", "draft", {
          user_id: stage.people.ids.A,
        }),
    },
    {
      ...kept("orders", "give B's order to another vendor"),
      expected: "refused AJ060",
      run: () =>
        service.change("B", "orders", "draft", {
          vendor_id: productOf("other vendor")["vendor_id"] ?? null,
        }),
    },
    {
      ...kept("order_items", "move B's item to A's order"),
      expected: "refused AJ060",
      run: () =>
        service.change("B", "order_items", "in a draft", {
          order_id: order("A", "draft")["id"] ?? null,
        }),
    },
    {
      ...kept("payments", "take back a capture"),
      expected: "refused AJ063",
      run: () =>
        service.change("B", "payments", "payment", {
          status: "pending",
          captured_at: null,
        }),
    },
    {
      ...kept("payments", "give B's payment to A"),
      expected: "refused AJ063",
      run: () =>
        service.change("B", "payments", "payment", {
          user_id: stage.people.ids.A,
        }),
    },
    {
      ...kept("payments", "record a payment for an order that is not there"),
      operation: "insert",
      expected: "refused 23503",
      run: () =>
        service.insert("payments", {
          ...stage.fixture["payments"]?.fresh("A"),
          order_id: "00000000-0000-4000-8000-000000000000",
        }),
    },
    {
      ...kept("payments", "record a payment for A's order as B's"),
      operation: "insert",
      expected: "a new row; added A's payments",
      changes: "told",
      run: () =>
        service.insert("payments", {
          ...stage.fixture["payments"]?.fresh("A"),
          user_id: stage.people.ids.B,
        }),
    },
    {
      ...kept("deliveries", "record a delivery of A's order as B's"),
      operation: "insert",
      expected: "a new row; added A's deliveries",
      changes: "told",
      run: () =>
        service.insert("deliveries", {
          ...stage.fixture["deliveries"]?.fresh("A"),
          user_id: stage.people.ids.B,
        }),
    },
    {
      ...kept("deliveries", "record a delivery as another vendor's"),
      operation: "insert",
      expected: "a new row; added A's deliveries",
      changes: "told",
      run: () =>
        service.insert("deliveries", {
          ...stage.fixture["deliveries"]?.fresh("A"),
          vendor_id: productOf("other vendor")["vendor_id"] ?? null,
        }),
    },
    {
      ...kept("vendor_products", "delete what somebody has ordered"),
      subjects: ["table vendor_products", "table order_items"],
      operation: "delete",
      expected: "refused 23503",
      run: () =>
        write(
          stage,
          stage.people.actors.service,
          relationNamed(stage.catalogue, "vendor_products"),
          "DELETE",
          `id=eq.${productOf("vendor")["product_id"]}`,
        ),
    },
    {
      ...kept("deliveries", "give B's delivery to A"),
      expected: "refused AJ064",
      run: () =>
        service.change("B", "deliveries", "of the vendor", {
          user_id: stage.people.ids.A,
        }),
    },
    {
      ...kept("deliveries", "give B's delivery to another vendor"),
      expected: "refused AJ064",
      run: () =>
        service.change("B", "deliveries", "of the vendor", {
          vendor_id: productOf("other vendor")["vendor_id"] ?? null,
        }),
    },
  ];
}

/** All of them. */
export function caseAttempts(stage: Stage): Attempt[] {
  return [
    ...jobCases(stage),
    ...functionCases(stage),
    ...sharingCases(stage),
    ...shopCases(stage),
  ].map((one) => asAttempt(stage, one));
}
