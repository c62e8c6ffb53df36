/** Slideshows: who can open one by its link, what a withdrawn link shows, and whose slides can be reordered. */
import { z } from "zod";
import { rest } from "./attempt.ts";
import { type Case, writerOf } from "./case.ts";
import { call, rowOf } from "./function-attempts.ts";
import type { ActorName } from "./people.ts";
import type { Stage } from "./stage.ts";

/** Slides in another order. */
export function orderingCases(stage: Stage): Case[] {
  const { actors } = stage.people;
  const common = { actor: "A" as const, operation: "execute" as const };
  const published = [
    "not shown in a published one",
    "in a published one",
  ];
  const reorder = (slideshow: "A" | "B", item: "A" | "B") =>
    call(stage, actors.A, "reorder_slideshow", {
      p_slideshow_id:
        rowOf(stage, slideshow, "slideshows", "published").values["id"] ?? null,
      p_item_ids: published.map((kind) =>
        rowOf(stage, item, "slideshow_items", kind).values["id"] ?? null
      ),
    });
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
      expected: "2; changed A's slideshow_items",
      changes: "in the outcome",
      run: () => reorder("A", "A"),
    },
  ];
}

/** Slideshows by their links. */
export function sharingCases(stage: Stage): Case[] {
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
          what: "open B's private slideshow by its token",
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
      changes: "not compared",
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
      what: "withdraw a slideshow and publish it again: the earlier link",
      expected: "null",
      changes: "not compared",
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
