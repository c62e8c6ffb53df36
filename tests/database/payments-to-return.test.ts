/** The list of payments that the service must refund or void at the payment provider is complete. */
import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { type TestDatabase, withDatabase } from "../_support/database.ts";
import { backendOf, refusalOf, untilBlocked } from "./_support/factories.ts";
import {
  insertPayment,
  openShop,
  orderIn,
  readOrder,
  refund,
  setStatus,
  ship,
  type Shop,
} from "./_support/shop-fixtures.ts";

/** A shop with two customers. */
interface Bench {
  db: TestDatabase;
  shop: Shop;
  anna: string;
  paul: string;
}

function withShop(run: (bench: Bench) => Promise<void>): Promise<void> {
  return withDatabase(async (db) => {
    await run({
      db,
      shop: await openShop(db),
      anna: (await db.createUser()).id,
      paul: (await db.createUser()).id,
    });
  });
}

/** The list, without columns that only repeat the rows. */
async function toReturn(db: TestDatabase) {
  const rows = await db.asService((sql) =>
    sql<
      {
        payment_id: string;
        order_status: string;
        payment_status: string;
        action: string;
        amount_minor: string;
      }[]
    >`select payment_id, order_status, payment_status, action, amount_minor from public.report_payments_to_return()`
  );
  return [...rows];
}

/** Changes a payment as the provider's notification does. */
function notify(db: TestDatabase, id: string, change: Record<string, unknown>) {
  return db.asService((sql) =>
    sql`update public.payments set ${sql(change)} where id = ${id}`
  );
}

Deno.test("payments to return: a payment captured after its order was cancelled is listed until refunded", async (t) => {
  await withShop(async ({ db, shop, anna, paul }) => {
    for (const status of ["pending", "authorised"] as const) {
      await t.step(`${status}, and the customer cancels`, async () => {
        const order = await orderIn(db, shop, anna, "placed");
        const payment = await insertPayment(db, order, status);
        assertEquals(await toReturn(db), []);
        await db.asUser(
          anna,
          (sql) =>
            sql`update public.orders set status = 'cancelled' where id = ${order}`,
        );
        const line = {
          payment_id: payment,
          order_status: "cancelled",
          payment_status: status,
          action: "cancel",
          amount_minor: "1000",
        };
        assertEquals(await toReturn(db), [line]);
        await notify(db, payment, { status: "captured" });
        const due = { ...line, payment_status: "captured", action: "refund" };
        assertEquals(await toReturn(db), [due]);
        await notify(db, payment, {
          status: "partially_refunded",
          refunded_minor: 400,
        });
        assertEquals(await toReturn(db), [{
          ...due,
          payment_status: "partially_refunded",
          amount_minor: "600",
        }]);
        await notify(db, payment, { status: "refunded", refunded_minor: 1000 });
        assertEquals(await toReturn(db), []);
      });
    }
    await t.step(
      "a payment whose first notification is its capture",
      async () => {
        const order = await orderIn(db, shop, anna, "cancelled");
        const payment = await insertPayment(db, order, "captured");
        assertEquals((await toReturn(db)).map((row) => row.payment_id), [
          payment,
        ]);
        await notify(db, payment, { status: "refunded", refunded_minor: 1000 });
      },
    );
    await t.step(
      "authorised, and the customer's account is deleted",
      async () => {
        const order = await orderIn(db, shop, paul, "placed");
        const payment = await insertPayment(db, order, "authorised");
        await db.sql`delete from auth.users where id = ${paul}`;
        await notify(db, payment, { status: "captured" });
        const [row] = await toReturn(db);
        assertEquals([row?.order_status, row?.action, row?.amount_minor], [
          "cancelled",
          "refund",
          "1000",
        ]);
      },
    );
  });
});

Deno.test("payments to return: the paid orders of a deleted account are listed in full unless they were shipped", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const orders: string[] = [];
    for (const status of ["paid", "in_production", "shipped"] as const) {
      orders.push(await orderIn(db, shop, anna, status));
    }
    // Its first parcel is on its way, the second is not.
    const partly = await orderIn(db, shop, anna, "in_production");
    await db.sql`insert into public.deliveries (order_id) values (${partly})`;
    await ship(db, partly);
    // Nothing of this one has left.
    const prepared = orders[1] ?? "";
    await db.sql`insert into public.deliveries (order_id) values (${prepared})`;
    assertEquals(await toReturn(db), []);
    await db.sql`delete from auth.users where id = ${anna}`;
    const due = await toReturn(db);
    assertEquals(
      due.map((row) => [row.order_status, row.action, row.amount_minor])
        .toSorted(),
      [["in_production", "refund", "3190"], ["paid", "refund", "3190"]],
    );
    await refund(db, orders[0] ?? "");
    assertEquals((await toReturn(db)).length, 1);
  });
});

Deno.test("payments to return: the surplus of an order that was paid twice is listed, from its last payments", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const order = await orderIn(db, shop, anna, "placed");
    // 31.90 are due: 10.00 and 30.00 are not enough, 8.10 of the fourth are too much, and the fifth is not needed.
    const payments: string[] = [];
    for (let n = 0; n < 5; n++) {
      payments.push(await insertPayment(db, order, "authorised"));
    }
    const capture = (n: number) =>
      notify(db, payments[n] ?? "", {
        status: "captured",
        captured_at: `2026-01-0${n + 1}T00:00:00Z`,
      });
    for (const n of [0, 1, 2]) await capture(n);
    assertEquals(await toReturn(db), []);
    await capture(3);
    await setStatus(db, order, "paid");
    const lines = async () =>
      (await toReturn(db)).map((row) => [
        payments.indexOf(row.payment_id),
        row.action,
        row.amount_minor,
      ]);
    assertEquals(await lines(), [[3, "refund", "810"], [4, "cancel", "1000"]]);
    await capture(4);
    assertEquals(await lines(), [[3, "refund", "810"], [4, "refund", "1000"]]);
  });
});

Deno.test("payments to return: of a parallel cancellation and capture, one is refused or the capture is listed", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const [one, other] = await db.connections(2, "service_role");
    assert(one !== undefined && other !== undefined);
    const pid = await backendOf(other);
    const cancel = (sql: postgres.ISql, order: string) =>
      sql`update public.orders set status = 'cancelled' where id = ${order}`;
    const capture = (sql: postgres.ISql, payment: string) =>
      sql`update public.payments set status = 'captured' where id = ${payment}`;

    await t.step("the cancellation is first", async () => {
      const order = await orderIn(db, shop, anna, "placed");
      const payment = await insertPayment(db, order, "authorised");
      const captured = await one.begin(async (sql) => {
        await cancel(sql, order);
        const waiting = capture(other, payment).execute();
        await untilBlocked(db, pid);
        return { waiting };
      });
      await captured.waiting;
      assertEquals((await toReturn(db)).map((row) => row.payment_id), [
        payment,
      ]);
      await refund(db, order);
    });
    await t.step("the capture is first", async () => {
      const order = await orderIn(db, shop, anna, "placed");
      const payment = await insertPayment(db, order, "authorised");
      const cancelled = await one.begin(async (sql) => {
        await capture(sql, payment);
        const waiting = refusalOf(() => cancel(other, order));
        await untilBlocked(db, pid);
        return { waiting };
      });
      assertEquals((await cancelled.waiting).code, "AJ062");
      assertEquals((await readOrder(db, order)).status, "placed");
      assertEquals(await toReturn(db), []);
    });
  });
});
