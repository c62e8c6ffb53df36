/** Keepsakes in orders: what the deletion of one does to the orders that contain it, also in parallel. */
import { assert, assertEquals } from "@std/assert";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { backendOf, refusalOf, untilBlocked } from "./_support/factories.ts";
import {
  insertPdf,
  openShop,
  ORDER_STATUSES,
  orderIn,
  readOrder,
  type Shop,
} from "./_support/shop-fixtures.ts";

function withShop(
  run: (bench: { db: TestDatabase; shop: Shop; anna: string }) => Promise<void>,
): Promise<void> {
  return withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    await run({ db, shop: await openShop(db), anna });
  });
}

Deno.test("keepsakes: not deleted while an open order contains them; otherwise the item is kept without it", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const pdf = await insertPdf(db, anna);
        const id = await orderIn(db, shop, anna, status, pdf.id);
        const before = await readOrder(db, id);
        const remove = () =>
          db.asUser(
            anna,
            (sql) => sql`delete from public.pdfs where id = ${pdf.id}`,
          );
        if (["placed", "paid", "in_production"].includes(status)) {
          const refusal = await refusalOf(remove);
          assertEquals([refusal.code, refusal.detail], ["AJ065", "pdf_id"]);
          return;
        }
        assertEquals((await remove()).count, 1);
        const items = await db.sql<{ pdf_id: string | null }[]>`
          select pdf_id from public.order_items where order_id = ${id}`;
        assertEquals(items.map((item) => item.pdf_id), [null, null]);
        assertEquals(await readOrder(db, id), before);
      });
    }
  });
});

Deno.test("keepsakes: a deletion parallel to the placing of their order waits, and is then refused", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const pdf = await insertPdf(db, anna);
    const id = await orderIn(db, shop, anna, "draft", pdf.id);
    const [placing, deleting] = await db.connections(2);
    assert(placing !== undefined && deleting !== undefined);
    const pid = await backendOf(deleting);
    let refused: Promise<string> = Promise.resolve("");
    await placing.begin(async (sql) => {
      await sql`update public.orders set status = 'placed' where id = ${id}`;
      refused = refusalOf(() =>
        deleting`delete from public.pdfs where id = ${pdf.id}`
      ).then(({ code }) => code);
      await untilBlocked(db, pid);
    });
    assertEquals(await refused, "AJ065");
  });
});

Deno.test("keepsakes: an order whose keepsake is deleted is not placed, also when both happen at the same time", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const [placing, deleting] = await db.connections(2);
    assert(placing !== undefined && deleting !== undefined);
    const make = async () => {
      const pdf = await insertPdf(db, anna);
      return { pdf, id: await orderIn(db, shop, anna, "draft", pdf.id) };
    };
    const refusalOfPlacing = async (id: string) => {
      const { code, detail, message } = await refusalOf(() =>
        placing`update public.orders set status = 'placed' where id = ${id}`
      );
      return [code, detail, message];
    };
    const refusal = [
      "AJ062",
      "order_items",
      "the keepsake of an item was deleted; remove the item, or give it another keepsake",
    ];
    await t.step("at the same time: the placing waits", async () => {
      const { pdf, id } = await make();
      const pid = await backendOf(placing);
      let refused: Promise<string[]> = Promise.resolve([]);
      await deleting.begin(async (sql) => {
        await sql`delete from public.pdfs where id = ${pdf.id}`;
        refused = refusalOfPlacing(id);
        await untilBlocked(db, pid);
      });
      assertEquals(await refused, refusal);
    });
    for (const change of ["another keepsake", "no such item"] as const) {
      await t.step(`before, then ${change}`, async () => {
        const { pdf, id } = await make();
        await db.asUser(
          anna,
          (sql) => sql`delete from public.pdfs where id = ${pdf.id}`,
        );
        assertEquals(await refusalOfPlacing(id), refusal);
        // A change of anything else does not help.
        await db.asUser(
          anna,
          (sql) =>
            sql`update public.order_items set quantity = 3 where order_id = ${id}`,
        );
        assertEquals(await refusalOfPlacing(id), refusal);
        const other = await insertPdf(db, anna);
        await db.asUser(anna, (sql) =>
          change === "another keepsake"
            ? sql`
              update public.order_items set pdf_id = ${other.id} where order_id = ${id} and is_pdf_deleted`
            : sql`delete from public.order_items where order_id = ${id} and is_pdf_deleted`);
        await placing`update public.orders set status = 'placed' where id = ${id}`;
        assertEquals((await readOrder(db, id)).status, "placed");
      });
    }
  });
});
