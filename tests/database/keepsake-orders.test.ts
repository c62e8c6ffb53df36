/** Keepsakes in orders: what the deletion of one does to the orders that contain it, also in parallel. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { backendOf, refusalOf, untilBlocked } from "./_support/factories.ts";
import {
  addItem,
  draftOrder,
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

Deno.test("keepsakes: not deleted while an open order contains them; a draft loses the item", async (t) => {
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
        if (status === "draft") {
          assertEquals(items.map((item) => item.pdf_id), [null]);
          const { items_total_minor } = await readOrder(db, id);
          assertNotEquals(items_total_minor, before.items_total_minor);
          return;
        }
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

Deno.test("keepsakes: an order that is placed while its only keepsake is deleted waits, and is then refused", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const pdf = await insertPdf(db, anna);
    const id = await draftOrder(db, shop, anna);
    await addItem(db, anna, {
      order_id: id,
      product_id: shop.bookId,
      quantity: 1,
      pdf_id: pdf.id,
    });
    const [placing, deleting] = await db.connections(2);
    assert(placing !== undefined && deleting !== undefined);
    const pid = await backendOf(placing);
    let refused: Promise<string[]> = Promise.resolve([]);
    await deleting.begin(async (sql) => {
      await sql`delete from public.pdfs where id = ${pdf.id}`;
      refused = refusalOf(() =>
        placing`update public.orders set status = 'placed' where id = ${id}`
      ).then(({ code, message }) => [code, message]);
      await untilBlocked(db, pid);
    });
    assertEquals(await refused, [
      "AJ062",
      "an order without items cannot be placed",
    ]);
  });
});

Deno.test("keepsakes: orders get and lose items while the keepsake is deleted, and nothing deadlocks", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const ids = await Promise.all(
      [0, 1, 2].map(() => draftOrder(db, shop, anna)),
    );
    const connections = await db.connections(4);
    const codes: string[] = [];
    for (let round = 0; round < 12; round++) {
      const pdf = await insertPdf(db, anna);
      await Promise.all(connections.map(async (sql, index) => {
        const orderId = ids[index];
        try {
          if (orderId === undefined) {
            await sql`delete from public.pdfs where id = ${pdf.id}`;
            return;
          }
          await sql`
            insert into public.order_items (order_id, product_id, quantity, pdf_id)
            values (${orderId}, ${shop.bookId}, 1, ${pdf.id})`;
          await sql`
            update public.order_items set quantity = 2 where order_id = ${orderId}`;
        } catch (error) {
          codes.push(Reflect.get(Object(error), "code"));
        }
      }));
    }
    // The keepsake is gone before the item comes, or the item goes with it.
    assertEquals(codes.filter((code) => code !== "AJ061"), []);
    const left = await db.sql`select 1 from public.order_items`;
    assertEquals(left.length, 0);
  });
});
