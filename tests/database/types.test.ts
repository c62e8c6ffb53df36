/** The generated types against the database: it fills in every column that they do not require of an insert. */
import { assert, assertEquals } from "@std/assert";
import { columnsFilledByTriggers } from "../../dev/tools/type-corrections.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { withDatabase } from "../_support/database.ts";
import { draftOrder, openShop, orderIn } from "./_support/shop-fixtures.ts";

type Tables = Database["public"]["Tables"];

Deno.test("types: every column that a trigger fills is optional on insert, and has a value afterwards", async () => {
  await withDatabase(async (db) => {
    const shop = await openShop(db);
    const customer = (await db.createUser()).id;
    const order = await orderIn(db, shop, customer, "paid");
    const inserts = {
      order_items: {
        order_id: await draftOrder(db, shop, customer),
        product_id: shop.bookId,
        quantity: 1,
      } satisfies Tables["order_items"]["Insert"],
      deliveries: {
        order_id: order,
      } satisfies Tables["deliveries"]["Insert"],
    };

    const columns = await columnsFilledByTriggers(db.sql);
    assertEquals(
      [...new Set(columns.map(({ table }) => table))].sort(),
      Object.keys(inserts).sort(),
    );
    for (const [table, values] of Object.entries(inserts)) {
      const [row] = await db.asService((sql) =>
        sql`insert into public.${sql(table)} ${sql(values)} returning *`
      );
      assert(row !== undefined);
      const empty = columns.filter((each) =>
        each.table === table && row[each.column] === null
      );
      assertEquals(empty, []);
    }
  });
});
