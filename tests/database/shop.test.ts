/** The shop's rules: who may write what, the transitions of a status, and consistent amounts. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type postgres from "postgres";
import {
  type TestDatabase,
  type Transaction,
  withDatabase,
} from "../_support/database.ts";
import { backendOf, refusalOf, untilBlocked } from "./_support/factories.ts";
import {
  addItem,
  ADDRESS,
  draftOrder,
  insertPayment,
  insertPdf,
  openShop,
  ORDER_STATUSES,
  orderIn,
  type OrderStatus,
  payFor,
  PAYMENT_STATUSES,
  paymentIn,
  type PaymentStatus,
  readOrder,
  refund,
  rolledBack,
  setStatus,
  ship,
  type Shop,
} from "./_support/shop-fixtures.ts";

interface Bench {
  db: TestDatabase;
  shop: Shop;
  /** The customer. */
  anna: string;
}

function withShop(run: (bench: Bench) => Promise<void>): Promise<void> {
  return withDatabase(async (db) => {
    const anna = (await db.createUser()).id;
    await run({ db, shop: await openShop(db), anna });
  });
}

const ORDER_TRANSITIONS: Record<OrderStatus, OrderStatus[]> = {
  draft: ["placed", "cancelled"],
  placed: ["paid", "cancelled"],
  paid: ["in_production", "refunded"],
  in_production: ["shipped", "refunded"],
  shipped: ["delivered", "refunded"],
  delivered: ["refunded"],
  cancelled: [],
  refunded: [],
};

/** Further statements that an order needs before it can change to the status. */
const PREPARED: Partial<
  Record<OrderStatus, (sql: Transaction, id: string) => Promise<unknown>>
> = {
  paid: (sql, id) =>
    sql`
    insert into public.payments (order_id, provider, provider_payment_id, status, amount_minor, currency)
    select o.id, 'stripe', gen_random_uuid(), 'captured', o.total_minor, 'EUR' from public.orders as o where o.id = ${id}`,
  shipped: (sql, id) =>
    sql`
    insert into public.deliveries (order_id, carrier, tracking_number, status)
    values (${id}, 'dhl', 'SHIPPED-1', 'shipped')`,
  delivered: (sql, id) =>
    sql`
    update public.deliveries set status = 'delivered' where order_id = ${id}`,
  refunded: (sql, id) =>
    sql`
    update public.payments set status = 'refunded', refunded_minor = amount_minor where order_id = ${id}`,
};

Deno.test("orders: every change of status that is not a transition is refused, and every transition is possible", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const from of ORDER_STATUSES) {
      const id = await orderIn(db, shop, anna, from);
      await t.step(from, async () => {
        const possible: OrderStatus[] = [];
        for (const to of ORDER_STATUSES.filter((to) => to !== from)) {
          if (ORDER_TRANSITIONS[from].includes(to)) {
            const after = await rolledBack(db, async (sql) => {
              await PREPARED[to]?.(sql, id);
              const [row] = await sql<{ status: OrderStatus }[]>`
                update public.orders set status = ${to} where id = ${id} returning status`;
              return row?.status;
            });
            if (after === to) possible.push(to);
            continue;
          }
          const { code, detail, message } = await refusalOf(() =>
            setStatus(db, id, to)
          );
          assertEquals([code, detail], ["AJ062", "status"], to);
          assertMatch(message, /^an order cannot change from /);
        }
        assertEquals(possible, ORDER_TRANSITIONS[from]);
        assertEquals((await readOrder(db, id)).status, from);
      });
    }
  });
});

Deno.test("docs/data-model.md: its diagram has the transitions of an order", async () => {
  const page = await Deno.readTextFile(
    new URL("../../docs/data-model.md", import.meta.url),
  );
  const diagram = /stateDiagram-v2\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const drawn = [...diagram.matchAll(/^ +(\w+) --> (\w+)/gm)].map((
    [, from, to],
  ) => `${from} to ${to}`);
  assertEquals(
    drawn.sort(),
    Object.entries(ORDER_TRANSITIONS).flatMap(([from, all]) =>
      all.map((to) => `${from} to ${to}`)
    ).sort(),
  );
});

Deno.test("orders: a customer can only place and cancel", async (t) => {
  const MAY: Partial<Record<OrderStatus, OrderStatus[]>> = {
    draft: ["placed", "cancelled"],
    placed: ["cancelled"],
  };
  await withShop(async ({ db, shop, anna }) => {
    for (const from of ORDER_STATUSES) {
      await t.step(from, async () => {
        const possible: OrderStatus[] = [];
        for (const to of ORDER_STATUSES.filter((to) => to !== from)) {
          const id = await orderIn(db, shop, anna, from);
          // Everything that the service would need exists, so only the right is missing.
          if (from === "placed" && to === "paid") await payFor(db, id);
          if (from === "in_production" && to === "shipped") await ship(db, id);
          if (to === "refunded") await refund(db, id);
          const attempt = () =>
            db.asUser(
              anna,
              (sql) =>
                sql`update public.orders set status = ${to} where id = ${id}`,
            );
          if (MAY[from]?.includes(to)) {
            assertEquals((await attempt()).count, 1);
            possible.push(to);
          } else {
            assertEquals((await refusalOf(attempt)).code, "AJ062", to);
          }
        }
        assertEquals(possible, MAY[from] ?? []);
      });
    }
  });
});

Deno.test("orders: a new order is an empty draft with a customer, and keeps vendor, currency and customer", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const other = await openShop(db);
    const refusals = async (statements: Record<string, string>) => {
      const codes: Record<string, string> = {};
      for (const [name, statement] of Object.entries(statements)) {
        codes[name] = (await refusalOf(() =>
          db.asService((sql) => sql.unsafe(statement))
        )).code;
      }
      return codes;
    };
    const insert = (columns: string, values: string) =>
      `insert into public.orders (vendor_id, currency, user_id, ${columns})
       values ('${shop.vendorId}', 'EUR', '${anna}', ${values})`;
    assertEquals(
      await refusals({
        status: insert("status, placed_at", "'placed', now()"),
        total: insert("items_total_minor", "1"),
        nobody: `insert into public.orders (vendor_id, currency, user_id)
          values ('${shop.vendorId}', 'EUR', null)`,
      }),
      { status: "AJ062", total: "AJ062", nobody: "AJ060" },
    );

    const id = await orderIn(db, shop, anna, "draft");
    const otherUser = (await db.createUser()).id;
    const set = (change: string) =>
      `update public.orders set ${change} where id = '${id}'`;
    assertEquals(
      await refusals({
        vendor: set(`vendor_id = '${other.vendorId}'`),
        currency: set("currency = 'USD'"),
        customer: set(`user_id = '${otherUser}'`),
        total: set("items_total_minor = items_total_minor + 1"),
        // A generated column.
        sum: set("total_minor = 1"),
      }),
      {
        vendor: "AJ060",
        currency: "AJ060",
        customer: "AJ060",
        total: "AJ060",
        sum: "428C9",
      },
    );
  });
});

Deno.test("orders: only a draft can be deleted, with its items, by its customer or the service", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const id = await orderIn(db, shop, anna, status);
        const remove = (sql: Transaction) =>
          sql`delete from public.orders where id = ${id}`;
        const otherUser = (await db.createUser()).id;
        assertEquals((await db.asUser(otherUser, remove)).count, 0);
        if (status === "draft") {
          assertEquals((await db.asUser(anna, remove)).count, 1);
          assertEquals(
            (await db
              .sql`select 1 from public.order_items where order_id = ${id}`)
              .length,
            0,
          );
          return;
        }
        assertEquals((await db.asUser(anna, remove)).count, 0);
        assertEquals(
          (await refusalOf(() => db.asService(remove))).code,
          "AJ060",
        );
        assertEquals((await readOrder(db, id)).status, status);
      });
    }
  });
});

Deno.test("orders: placing needs items, an address, and products that are on sale at their current price", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const place = (id: string) =>
      db.asUser(
        anna,
        (sql) =>
          sql`update public.orders set status = 'placed' where id = ${id}`,
      );
    const refused = async (id: string, detail: string) => {
      const refusal = await refusalOf(() => place(id));
      assertEquals([refusal.code, refusal.detail], ["AJ062", detail]);
    };

    await t.step("items", async () => {
      await refused(await draftOrder(db, shop, anna), "status");
    });
    await t.step("an address", async () => {
      const id = await orderIn(db, shop, anna, "draft");
      await db.asUser(
        anna,
        (sql) =>
          sql`update public.orders set shipping_address = null where id = ${id}`,
      );
      await refused(id, "shipping_address");
    });
    for (
      const [name, change, back] of [
        [
          "the price",
          "update public.vendor_products set unit_price_minor = unit_price_minor + 1",
          "update public.vendor_products set unit_price_minor = unit_price_minor - 1",
        ],
        [
          "the product",
          "update public.vendor_products set is_active = false",
          "update public.vendor_products set is_active = true",
        ],
        [
          "the vendor",
          "update public.vendors set is_active = false",
          "update public.vendors set is_active = true",
        ],
      ] as const
    ) {
      await t.step(name, async () => {
        const id = await orderIn(db, shop, anna, "draft");
        await db.sql.unsafe(change);
        await refused(id, "order_items");
        await db.sql.unsafe(back);
        await place(id);
        const order = await readOrder(db, id);
        assertEquals([order.status, order.total_minor], ["placed", "3190"]);
        assert(order.placed_at !== null);
      });
    }
    await t.step(
      "an item that is updated has the current price",
      async () => {
        const id = await orderIn(db, shop, anna, "draft");
        await db
          .sql`update public.vendor_products set unit_price_minor = unit_price_minor + 10`;
        await refused(id, "order_items");
        await db.asUser(
          anna,
          (sql) =>
            sql`update public.order_items set quantity = quantity where order_id = ${id}`,
        );
        await place(id);
        assertEquals((await readOrder(db, id)).total_minor, "3220");
      },
    );
  });
});

Deno.test("orders: paid needs captured payments that cover the total, including shipping and tax", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const PAYMENTS: Record<string, { rows: string[]; isEnough: boolean }> = {
      "no payment": { rows: [], isEnough: false },
      "an authorised payment": {
        rows: ["'authorised', 4000, 0"],
        isEnough: false,
      },
      "a pending one": { rows: ["'pending', 4000, 0"], isEnough: false },
      "a failed one": { rows: ["'failed', 4000, 0"], isEnough: false },
      "one cent too little": { rows: ["'captured', 3999, 0"], isEnough: false },
      "one cent refunded": {
        rows: ["'partially_refunded', 4000, 1"],
        isEnough: false,
      },
      "everything refunded": {
        rows: ["'refunded', 4000, 4000"],
        isEnough: false,
      },
      "the exact sum": { rows: ["'captured', 4000, 0"], isEnough: true },
      "two payments that add up to the sum": {
        rows: ["'captured', 1000, 0", "'captured', 3000, 0"],
        isEnough: true,
      },
      "more than the sum": { rows: ["'captured', 4001, 0"], isEnough: true },
    };
    const id = await orderIn(db, shop, anna, "placed");
    await db.asService((sql) =>
      sql`
      update public.orders set shipping_minor = 490, tax_minor = 320 where id = ${id}`
    );
    assertEquals((await readOrder(db, id)).total_minor, "4000");
    for (const [name, { rows, isEnough }] of Object.entries(PAYMENTS)) {
      await t.step(name, async () => {
        const paid = () =>
          rolledBack(db, async (sql) => {
            for (const row of rows) {
              await sql.unsafe(`
                insert into public.payments (
                  order_id, provider, provider_payment_id, currency, captured_at, status, amount_minor, refunded_minor
                ) select '${id}', 'stripe', gen_random_uuid(), 'EUR',
                  case when v.status in ('captured', 'partially_refunded', 'refunded') then now() end, v.*
                from (values (${row})) as v (status, amount, refunded)`);
            }
            const [order] = await sql<{ paid_at: Date | null }[]>`
              update public.orders set status = 'paid' where id = ${id} returning paid_at`;
            return order?.paid_at;
          });
        if (isEnough) assert(await paid() instanceof Date);
        else assertEquals((await refusalOf(paid)).code, "AJ062");
      });
    }
  });
});

Deno.test("orders: neither cancelled nor refunded while a part of the payment is not returned", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    await t.step(
      "no role can cancel a placed order with a captured payment",
      async () => {
        const id = await orderIn(db, shop, anna, "placed");
        await payFor(db, id);
        for (
          const attempt of [
            () => setStatus(db, id, "cancelled"),
            () =>
              db.asUser(
                anna,
                (sql) =>
                  sql`update public.orders set status = 'cancelled' where id = ${id}`,
              ),
          ]
        ) {
          assertEquals((await refusalOf(attempt)).code, "AJ062");
        }
        await refund(db, id);
        await setStatus(db, id, "cancelled");
      },
    );
    await t.step(
      "a refund of all but one cent does not make an order refunded",
      async () => {
        const id = await orderIn(db, shop, anna, "delivered");
        await db.sql`
        update public.payments set status = 'partially_refunded', refunded_minor = amount_minor - 1
        where order_id = ${id}`;
        assertEquals(
          (await refusalOf(() => setStatus(db, id, "refunded"))).code,
          "AJ062",
        );
        await refund(db, id);
        await setStatus(db, id, "refunded");
      },
    );
  });
});

Deno.test("orders: shipped needs a shipped delivery, delivered needs all of them", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const id = await orderIn(db, shop, anna, "in_production");
    const refused = async (status: OrderStatus) =>
      assertEquals(
        (await refusalOf(() => setStatus(db, id, status))).code,
        "AJ062",
      );
    await refused("shipped");
    await db.sql`insert into public.deliveries (order_id) values (${id})`;
    await refused("shipped");
    const first = await ship(db, id);
    await setStatus(db, id, "shipped");
    await db
      .sql`update public.deliveries set status = 'delivered' where id = ${first}`;
    await refused("delivered");
    await db.sql`
      update public.deliveries set status = 'shipped', carrier = 'ups', tracking_number = 'SECOND-1'
      where order_id = ${id} and status = 'preparing'`;
    await refused("delivered");
    await db
      .sql`update public.deliveries set status = 'lost' where tracking_number = 'SECOND-1'`;
    await setStatus(db, id, "delivered");
    assert((await readOrder(db, id)).completed_at !== null);
  });
});

Deno.test("orders: amounts are fixed once paid, and the customer can change the address only in a draft", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const id = await orderIn(db, shop, anna, status);
        const amounts = () =>
          db.asService((sql) =>
            sql`update public.orders set shipping_minor = 100 where id = ${id}`
          );
        if (["draft", "placed"].includes(status)) await amounts();
        else assertEquals((await refusalOf(amounts)).code, "AJ060");

        const move = () =>
          db.asUser(anna, (sql) =>
            sql`
            update public.orders set shipping_address = ${
              sql.json({ ...ADDRESS, city: "Wels" })
            }
            where id = ${id}`);
        if (status === "draft") assertEquals((await move()).count, 1);
        else assertEquals((await refusalOf(move)).code, "AJ060");
      });
    }
  });
});

Deno.test("order items: name and price come from the vendor's product, for the customer and for the service", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const id = await draftOrder(db, shop, anna);
    for (
      const column of [
        "unit_price_minor",
        "description",
        "currency",
        "vendor_id",
      ]
    ) {
      const { code } = await refusalOf(() =>
        db.asUser(anna, (sql) =>
          sql`
          insert into public.order_items (order_id, product_id, quantity, ${
            sql(column)
          })
          values (${id}, ${shop.bookId}, 1, null)`)
      );
      assertEquals(code, "42501", column);
    }
    await db.asService((sql) =>
      sql`
      insert into public.order_items (order_id, product_id, quantity, unit_price_minor, description)
      values (${id}, ${shop.bookId}, 3, 1, 'nearly free')`
    );
    const [item] = await db.sql`
      select description, unit_price_minor, line_total_minor, currency, vendor_id
      from public.order_items where order_id = ${id}`;
    assertEquals(item, {
      description: "Photo book A5",
      unit_price_minor: "2490",
      line_total_minor: "7470",
      currency: "EUR",
      vendor_id: shop.vendorId,
    });
    assertEquals((await readOrder(db, id)).total_minor, "7470");
  });
});

Deno.test("orders: a draft with a closed vendor gets the same error as one with a missing vendor", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const draft = (vendor: string) =>
      db.asUser(
        anna,
        (sql) =>
          sql`insert into public.orders (vendor_id, currency) values (${vendor}, 'EUR')`,
      );
    await draft(shop.vendorId);
    await db
      .sql`update public.vendors set is_active = false where id = ${shop.vendorId}`;
    const closed = await refusalOf(() => draft(shop.vendorId));
    const none = await refusalOf(() => draft(crypto.randomUUID()));
    assertEquals([closed.code, closed.detail], ["AJ061", "vendor_id"]);
    assertEquals(closed, none);
  });
});

Deno.test("order items: product of the order's vendor and currency, keepsake of the customer, or refused", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const other = await openShop(db);
    const otherUser = (await db.createUser()).id;
    const foreignPdf = await insertPdf(db, otherUser);
    const [dollars] = await db.sql<{ id: string }[]>`
      insert into public.vendor_products (vendor_id, sku, name, unit_price_minor, currency)
      values (${shop.vendorId}, 'BOOK-US', 'Photo book', 2900, 'USD') returning id`;
    const [old] = await db.sql<{ id: string }[]>`
      insert into public.vendor_products (vendor_id, sku, name, unit_price_minor, currency, is_active)
      values (${shop.vendorId}, 'OLD', 'Old', 100, 'EUR', false) returning id`;
    assert(dollars !== undefined && old !== undefined);
    const order_id = await draftOrder(db, shop, anna);
    const of = (values: { product_id?: string; pdf_id?: string }) => ({
      order_id,
      product_id: shop.bookId,
      quantity: 1,
      ...values,
    });
    for (
      const [values, detail] of [
        [{ product_id: other.bookId }, "product_id"],
        [{ product_id: dollars.id }, "product_id"],
        [{ product_id: old.id }, "product_id"],
        [{ product_id: crypto.randomUUID() }, "product_id"],
        [{ pdf_id: foreignPdf.id }, "pdf_id"],
        [{ pdf_id: crypto.randomUUID() }, "pdf_id"],
      ] as const
    ) {
      const refusal = await refusalOf(() => addItem(db, anna, of(values)));
      assertEquals([refusal.code, refusal.detail], ["AJ061", detail]);
    }
    const own = await insertPdf(db, anna);
    const item = await addItem(db, anna, of({ pdf_id: own.id }));
    for (
      const change of [{ product_id: shop.cardId }, {
        order_id: await draftOrder(db, shop, anna),
      }]
    ) {
      const { code } = await refusalOf(() =>
        db.asService((sql) =>
          sql`update public.order_items set ${sql(change)} where id = ${item}`
        )
      );
      assertEquals(code, "AJ060");
    }
    await db.sql`update public.vendors set is_active = false`;
    assertEquals(
      (await refusalOf(() => addItem(db, anna, of({})))).code,
      "AJ061",
    );
    assertEquals(
      (await refusalOf(() =>
        db.asService((sql) =>
          sql`
        insert into public.order_items (order_id, product_id, quantity)
        values (${crypto.randomUUID()}, ${shop.bookId}, 1)`
        )
      )).detail,
      "order_id",
    );
  });
});

Deno.test("order items: fixed once the order is placed, for the customer and for the service", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const status of ORDER_STATUSES.filter((one) => one !== "draft")) {
      await t.step(status, async () => {
        const pdf = await insertPdf(db, anna);
        const id = await orderIn(db, shop, anna, status, pdf.id);
        const before = await readOrder(db, id);
        const item = { order_id: id, product_id: shop.bookId, quantity: 1 };
        for (
          const statement of [
            (sql: Transaction) =>
              sql`insert into public.order_items ${sql(item)}`,
            (sql: Transaction) =>
              sql`update public.order_items set quantity = 9 where order_id = ${id}`,
            (sql: Transaction) =>
              sql`update public.order_items set pdf_id = null where pdf_id = ${pdf.id}`,
            (sql: Transaction) =>
              sql`update public.order_items set pdf_id = null, quantity = 9 where order_id = ${id}`,
            (sql: Transaction) =>
              sql`delete from public.order_items where order_id = ${id}`,
          ]
        ) {
          assertEquals(
            (await refusalOf(() => db.asService(statement))).code,
            "AJ060",
          );
        }
        assertEquals(
          (await refusalOf(() => addItem(db, anna, item))).code,
          "AJ060",
        );
        assertEquals(await readOrder(db, id), before);
      });
    }
  });
});

Deno.test("order items: the error for another user's order is always the same, and does not wait for it", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const mallory = (await db.createUser()).id;
    const targets = [
      await orderIn(db, shop, anna, "draft"),
      await orderIn(db, shop, anna, "paid"),
      crypto.randomUUID(),
    ];
    const pdf = await insertPdf(db, anna);
    // If the refusal locked the order, this would wait until the timeout of the role.
    const refusals = await db.sql.begin(async (sql) => {
      await sql`select 1 from public.orders for update`;
      const seen: unknown[] = [];
      for (const order_id of targets) {
        for (const product_id of [shop.bookId, crypto.randomUUID()]) {
          seen.push(
            await refusalOf(() =>
              addItem(db, mallory, {
                order_id,
                product_id,
                quantity: 1,
                pdf_id: pdf.id,
              })
            ),
          );
        }
      }
      return { seen };
    });
    assertEquals(refusals.seen.length, 6);
    for (const refusal of refusals.seen) {
      assertEquals(refusal, {
        code: "42501",
        detail: "",
        message:
          'new row violates row-level security policy for table "order_items"',
        constraint: "",
      });
    }
  });
});

Deno.test("totals: follow every change of the items, also of many in one statement", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const id = await draftOrder(db, shop, anna);
    const total = async () => (await readOrder(db, id)).items_total_minor;
    const asAnna = (text: string) => db.asUser(anna, (sql) => sql.unsafe(text));
    assertEquals(await total(), "0");
    await asAnna(`
      insert into public.order_items (order_id, product_id, quantity)
      select '${id}', '${shop.cardId}', n from generate_series(1, 10) as n`);
    assertEquals(await total(), String(55 * 350));
    await asAnna(
      `update public.order_items set quantity = 1 where order_id = '${id}'`,
    );
    assertEquals(await total(), "3500");
    await asAnna(
      `delete from public.order_items where id in (select id from public.order_items where order_id = '${id}' limit 9)`,
    );
    assertEquals(await total(), "350");
    await asAnna(`delete from public.order_items where order_id = '${id}'`);
    assertEquals(await total(), "0");
  });
});

/**
 * One connection places the order and has not committed; another adds an item. Returns the item's outcome and the
 * total.
 */
async function raceItemAgainstPlacing({ db, shop, anna }: Bench) {
  const id = await orderIn(db, shop, anna, "draft");
  const [placing, adding] = await db.connections(2);
  assert(placing !== undefined && adding !== undefined);
  const pid = await backendOf(adding);
  const place = Promise.withResolvers<void>();
  const placed = placing.begin(async (sql) => {
    await sql`update public.orders set status = 'placed' where id = ${id}`;
    place.resolve();
    await untilBlocked(db, pid);
  });
  await place.promise;
  const added = adding`
    insert into public.order_items (order_id, product_id, quantity) values (${id}, ${shop.bookId}, 1)`
    .then(() => "added", (error: postgres.PostgresError) => error.code);
  const [, outcome] = await Promise.all([placed, added]);
  return { outcome, total: (await readOrder(db, id)).items_total_minor };
}

Deno.test("totals: an item added while the order is being placed waits, and is then refused", async (t) => {
  await withShop(async (bench) => {
    assertEquals(await raceItemAgainstPlacing(bench), {
      outcome: "AJ060",
      total: "3190",
    });

    await t.step("(without the lock it is added)", async () => {
      await bench.db.sql.unsafe(await withoutLock(bench.db, "fill_order_item"));
      assertEquals(await raceItemAgainstPlacing(bench), {
        outcome: "added",
        total: "5680",
      });
    });
  });
});

/** The definition of a private function without its row lock, to show that the lock matters. */
async function withoutLock(db: TestDatabase, name: string): Promise<string> {
  const [row] = await db.sql<{ definition: string }[]>`
    select pg_get_functiondef(p.oid) as definition from pg_proc as p
    where p.pronamespace = 'private'::regnamespace and p.proname = ${name}`;
  assert(row !== undefined);
  assert(row.definition.includes("for update"));
  return row.definition.replaceAll("for update", "");
}

Deno.test("totals: placing an order while an item is being added waits, and the total includes the item", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const id = await orderIn(db, shop, anna, "draft");
    const [placing, adding] = await db.connections(2);
    assert(placing !== undefined && adding !== undefined);
    const pid = await backendOf(placing);
    let placed: Promise<unknown> = Promise.resolve();
    await adding.begin(async (sql) => {
      await sql`
        insert into public.order_items (order_id, product_id, quantity) values (${id}, ${shop.bookId}, 1)`;
      placed =
        placing`update public.orders set status = 'placed' where id = ${id}`
          .execute();
      await untilBlocked(db, pid);
    });
    await placed;
    const order = await readOrder(db, id);
    assertEquals([order.status, order.total_minor], ["placed", "5680"]);
  });
});

Deno.test("totals: eight connections add, change and remove items while a ninth places the order", async () => {
  await withShop(async ({ db, shop, anna }) => {
    for (let round = 0; round < 5; round++) {
      const id = await orderIn(db, shop, anna, "draft");
      const connections = await db.connections(8);
      const [placing] = await db.connections(1);
      assert(placing !== undefined);
      const outcomes: string[] = [];
      const write = async (sql: postgres.Sql, n: number) => {
        for (let turn = 0; turn < 6; turn++) {
          const statement = turn % 3 === 2
            ? sql`delete from public.order_items where id = (
                select id from public.order_items where order_id = ${id} order by created_at limit 1)`
            : turn % 3 === 1
            ? sql`update public.order_items set quantity = ${
              n + 1
            } where order_id = ${id}`
            : sql`insert into public.order_items (order_id, product_id, quantity)
                values (${id}, ${shop.cardId}, ${n + 1})`;
          await statement.then(
            () => outcomes.push("done"),
            (error: postgres.PostgresError) => outcomes.push(error.code),
          );
        }
      };
      const placed = async () => {
        for (let waited = 0; waited < round * 4; waited++) {
          await placing`select 1`;
        }
        const place = (): Promise<unknown> =>
          placing`update public.orders set status = 'placed' where id = ${id}`
            // A client that gets a deadlock error retries.
            .catch((error: postgres.PostgresError) => {
              if (error.code !== "40P01") throw error;
              return place();
            });
        await place();
      };
      await Promise.all([...connections.map(write), placed()]);

      const [row] = await db.sql<{ sum: string; items: number }[]>`
        select sum(line_total_minor)::text as sum, count(*)::int as items
        from public.order_items where order_id = ${id}`;
      const order = await readOrder(db, id);
      assertEquals(order.status, "placed");
      assertEquals(order.items_total_minor, row?.sum);
      assertEquals(outcomes.length, 48);
      // After a deadlock the sender knows that the write was lost. Every other refusal means that it came too late.
      assertEquals(
        outcomes.filter((one) => !["done", "AJ060", "40P01"].includes(one)),
        [],
      );
    }
  });
});

Deno.test("payments: a refund parallel to the change to paid never leaves a paid order with refunded money", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const race = async () => {
      const id = await orderIn(db, shop, anna, "placed");
      const paymentId = await payFor(db, id);
      const [refunding, marking] = await db.connections(2);
      assert(refunding !== undefined && marking !== undefined);
      const marked = Promise.withResolvers<string>();
      await refunding.begin(async (sql) => {
        await sql`
          update public.payments set status = 'refunded', refunded_minor = amount_minor where id = ${paymentId}`;
        const pid = await backendOf(marking);
        const attempt =
          marking`update public.orders set status = 'paid' where id = ${id}`
            .then(() => "paid", (error: postgres.PostgresError) => error.code);
        attempt.then(marked.resolve);
        await Promise.race([attempt, untilBlocked(db, pid)]);
      });
      return await marked.promise;
    };
    assertEquals(await race(), "AJ062");
    await t.step("(without the lock it is marked paid)", async () => {
      await db.sql.unsafe(
        await withoutLock(db, "guard_payment"),
      );
      assertEquals(await race(), "paid");
    });
  });
});

const PAYMENT_TRANSITIONS: Record<PaymentStatus, PaymentStatus[]> = {
  pending: ["authorised", "captured", "failed", "cancelled"],
  authorised: ["captured", "failed", "cancelled"],
  captured: ["partially_refunded", "refunded"],
  partially_refunded: ["refunded"],
  refunded: [],
  failed: [],
  cancelled: [],
};

Deno.test("payments: every change of status but the listed transitions is refused; captured stays captured", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const orderId = await orderIn(db, shop, anna, "placed");
    for (const from of PAYMENT_STATUSES) {
      const id = await insertPayment(db, orderId, from);
      await t.step(from, async () => {
        const possible: PaymentStatus[] = [];
        for (const to of PAYMENT_STATUSES.filter((to) => to !== from)) {
          const change = () =>
            rolledBack(db, (sql) =>
              sql`update public.payments set ${
                sql({
                  ...paymentIn(to),
                  refunded_minor: Math.max(
                    paymentIn(from).refunded_minor,
                    paymentIn(to).refunded_minor,
                  ),
                })
              } where id = ${id}`);
          if (PAYMENT_TRANSITIONS[from].includes(to)) {
            await change();
            possible.push(to);
          } else assertEquals((await refusalOf(change)).code, "AJ063", to);
        }
        assertEquals(possible, PAYMENT_TRANSITIONS[from]);
      });
    }
  });
});

Deno.test("payments: order, amount, currency, ids and time of capture never change, and a refund only grows", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const orderId = await orderIn(db, shop, anna, "placed");
    const other = await orderIn(db, shop, anna, "placed");
    const otherUser = (await db.createUser()).id;
    const id = await insertPayment(db, orderId, "partially_refunded");
    const set = (change: string) => () =>
      db.asService((sql) =>
        sql.unsafe(`update public.payments set ${change} where id = '${id}'`)
      );
    for (
      const change of [
        `order_id = '${other}'`,
        "amount_minor = 2000",
        "currency = 'USD'",
        "provider = 'paypal'",
        "provider_payment_id = 'other'",
        `user_id = '${otherUser}'`,
        "captured_at = now()",
        "captured_at = null",
        "refunded_minor = 399",
      ]
    ) {
      assertEquals((await refusalOf(set(change))).code, "AJ063", change);
    }
    await set("refunded_minor = 999")();
    for (
      const change of ["refunded_minor = 1000", "refunded_minor = 1001"]
    ) {
      assertEquals((await refusalOf(set(change))).code, "23514", change);
    }
    await set("refunded_minor = 1000, status = 'refunded'")();
  });
});

Deno.test("payments: they belong to placed orders and their customer, for any user_id that is sent", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const otherUser = (await db.createUser()).id;
    const draft = await orderIn(db, shop, anna, "draft");
    const refusal = await refusalOf(() => insertPayment(db, draft, "pending"));
    assertEquals([refusal.code, refusal.detail], ["AJ063", "order_id"]);
    assertEquals(
      (await refusalOf(() => insertPayment(db, crypto.randomUUID(), "pending")))
        .code,
      "23503",
    );
    const placed = await orderIn(db, shop, anna, "placed");
    await db.asService((sql) =>
      sql`
      insert into public.payments (order_id, user_id, provider, provider_payment_id, amount_minor, currency)
      values (${placed}, ${otherUser}, 'stripe', 'pi_1', 100, 'EUR')`
    );
    const read = (userId: string) =>
      db.asUser(userId, (sql) => sql`select user_id from public.payments`);
    assertEquals([...await read(anna)], [{ user_id: anna }]);
    assertEquals((await read(otherUser)).length, 0);
    assertEquals((await read(shop.clerkId)).length, 0);
  });
});

Deno.test("deliveries: they belong to the order's customer and vendor, for any ids that are sent", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const otherUser = await openShop(db);
    const id = await orderIn(db, shop, anna, "paid");
    await db.asService((sql) =>
      sql`
      insert into public.deliveries (order_id, user_id, vendor_id)
      values (${id}, ${otherUser.clerkId}, ${otherUser.vendorId})`
    );
    const read = (userId: string) =>
      db.asUser(
        userId,
        (sql) => sql`select user_id, vendor_id from public.deliveries`,
      );
    const expected = [{ user_id: anna, vendor_id: shop.vendorId }];
    assertEquals([...await read(anna)], expected);
    assertEquals([...await read(shop.clerkId)], expected);
    assertEquals((await read(otherUser.clerkId)).length, 0);
    const { code, detail } = await refusalOf(() =>
      db.asService((sql) =>
        sql`update public.deliveries set user_id = ${otherUser.clerkId}`
      )
    );
    assertEquals([code, detail], ["AJ064", "user_id"]);
  });
});

Deno.test("deliveries: a deleted account leaves no tracking number, and none is accepted afterwards", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const shipped = await orderIn(db, shop, anna, "shipped");
    const printing = await orderIn(db, shop, anna, "in_production");
    await db.sql`delete from auth.users where id = ${anna}`;
    const read = () =>
      db.sql`select order_id, user_id, carrier, tracking_number, status from public.deliveries`;
    const forgotten = { user_id: null, carrier: null, tracking_number: null };
    assertEquals([...await read()], [
      { order_id: shipped, ...forgotten, status: "shipped" },
    ]);
    await db.sql`update public.deliveries set status = 'delivered'`;
    const refusal = await refusalOf(() => ship(db, printing));
    assertEquals(
      [refusal.code, refusal.constraint],
      ["23514", "deliveries_forgotten_has_no_tracking"],
    );
    await db.asService((sql) =>
      sql`insert into public.deliveries (order_id, status) values (${printing}, 'shipped')`
    );
  });
});

Deno.test("payments and deliveries: a provider's id and a carrier's number are unique", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const one = await orderIn(db, shop, anna, "shipped");
    const two = await orderIn(db, shop, anna, "in_production");
    const pay = (provider: string) =>
      db.sql`
        insert into public.payments (order_id, provider, provider_payment_id, amount_minor, currency)
        values (${two}, ${provider}, ${`pi_${one}`}, 100, 'EUR')`;
    assertEquals(
      (await refusalOf(() => pay("stripe"))).constraint,
      "payments_provider_payment_id_key",
    );
    await pay("paypal");

    const [given] = await db.sql<{ tracking_number: string }[]>`
      select tracking_number from public.deliveries where order_id = ${one}`;
    assert(given !== undefined);
    const send = (carrier: string, number: string) =>
      db.sql`
        insert into public.deliveries (order_id, carrier, tracking_number, status)
        values (${two}, ${carrier}, ${number}, 'shipped')`;
    assertEquals(
      (await refusalOf(() => send("dhl", given.tracking_number))).constraint,
      "deliveries_tracking_number_key",
    );
    // Another spelling of the same number counts as the same.
    for (
      const [carrier, number] of [
        ["dhl", given.tracking_number.toLowerCase()],
        ["dhl", ` ${given.tracking_number}`],
        ["DHL", given.tracking_number],
      ] as const
    ) {
      assertEquals(
        (await refusalOf(() => send(carrier, number))).code,
        "23514",
      );
    }
    await send("ups", given.tracking_number);
    await db
      .sql`insert into public.deliveries (order_id) values (${two}), (${two})`;
  });
});

const DELIVERY_STATUSES = [
  "preparing",
  "shipped",
  "delivered",
  "returned",
  "lost",
] as const;
type DeliveryStatus = typeof DELIVERY_STATUSES[number];

const DELIVERY_TRANSITIONS: Record<DeliveryStatus, DeliveryStatus[]> = {
  preparing: ["shipped"],
  shipped: ["delivered", "returned", "lost"],
  delivered: [],
  returned: [],
  lost: ["delivered"],
};

Deno.test("deliveries: every change of status that is not a transition is refused, and times are set", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const orderId = await orderIn(db, shop, anna, "in_production");
    const ways: Record<DeliveryStatus, DeliveryStatus[]> = {
      preparing: [],
      shipped: ["shipped"],
      delivered: ["shipped", "delivered"],
      returned: ["shipped", "returned"],
      lost: ["shipped", "lost"],
    };
    for (const from of DELIVERY_STATUSES) {
      await t.step(from, async () => {
        const id = crypto.randomUUID();
        await db.sql`
          insert into public.deliveries (id, order_id, carrier, tracking_number)
          values (${id}, ${orderId}, 'dhl', ${id.toUpperCase()})`;
        for (const status of ways[from]) {
          await db
            .sql`update public.deliveries set status = ${status} where id = ${id}`;
        }
        const possible: DeliveryStatus[] = [];
        for (const to of DELIVERY_STATUSES.filter((to) => to !== from)) {
          const change = () =>
            rolledBack(db, async (sql) => {
              const [row] = await sql<
                { shipped_at: Date | null; delivered_at: Date | null }[]
              >`
                update public.deliveries set status = ${to}, delivered_at =
                  case ${from} when 'delivered' then null else delivered_at end
                where id = ${id} returning shipped_at, delivered_at`;
              return row;
            });
          if (!DELIVERY_TRANSITIONS[from].includes(to)) {
            assertEquals((await refusalOf(change)).code, "AJ064", to);
            continue;
          }
          const row = await change();
          assert(row?.shipped_at instanceof Date);
          assertEquals(row.delivered_at !== null, to === "delivered");
          possible.push(to);
        }
        assertEquals(possible, DELIVERY_TRANSITIONS[from]);
      });
    }
  });
});

Deno.test("deliveries: belong to paid orders, and keep their order", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const id = await orderIn(db, shop, anna, status);
        const insert = () =>
          db.asService((sql) =>
            sql`insert into public.deliveries (order_id) values (${id})`
          );
        if (["paid", "in_production", "shipped"].includes(status)) {
          await insert();
        } else assertEquals((await refusalOf(insert)).code, "AJ064");
      });
    }
    const one = await orderIn(db, shop, anna, "shipped");
    const two = await orderIn(db, shop, anna, "paid");
    assertEquals(
      (await refusalOf(() =>
        db.sql`
        update public.deliveries set order_id = ${two} where order_id = ${one}`
      )).code,
      "AJ064",
    );
  });
});

Deno.test("service: payments and deliveries are never deleted", async () => {
  await withShop(async ({ db, shop, anna }) => {
    await orderIn(db, shop, anna, "delivered");
    for (const table of ["payments", "deliveries"]) {
      const { code } = await refusalOf(() =>
        db.asService((sql) => sql`delete from public.${sql(table)}`)
      );
      assertEquals(code, "42501", table);
    }
  });
});

Deno.test("vendors: they see only their own paid orders with items and deliveries, and never payments", async (t) => {
  await withShop(async ({ db, shop, anna }) => {
    const otherVendor = await openShop(db);
    const otherUser = (await db.createUser()).id;
    const VISIBLE = [
      "paid",
      "in_production",
      "shipped",
      "delivered",
      "refunded",
    ];
    for (const status of ORDER_STATUSES) {
      await t.step(status, async () => {
        const id = await orderIn(db, shop, anna, status);
        const seenBy = (userId: string) =>
          db.asUser(userId, async (sql) => {
            const [row] = await sql<Record<string, number>[]>`
              select
                (select count(*)::int from public.orders where id = ${id}) as orders,
                (select count(*)::int from public.order_items where order_id = ${id}) as items,
                (select count(*)::int from public.deliveries where order_id = ${id}) as deliveries,
                (select count(*)::int from public.payments where order_id = ${id}) as payments`;
            return row;
          });
        const [there] = await db.sql<
          { deliveries: number; payments: number }[]
        >`
          select (select count(*)::int from public.deliveries where order_id = ${id}) as deliveries,
            (select count(*)::int from public.payments where order_id = ${id}) as payments`;
        assertEquals(await seenBy(anna), { orders: 1, items: 2, ...there });
        const nothing = { orders: 0, items: 0, deliveries: 0, payments: 0 };
        assertEquals(
          await seenBy(shop.clerkId),
          VISIBLE.includes(status)
            ? {
              orders: 1,
              items: 2,
              deliveries: there?.deliveries ?? 0,
              payments: 0,
            }
            : nothing,
        );
        assertEquals(await seenBy(otherVendor.clerkId), nothing);
        assertEquals(await seenBy(otherUser), nothing);
      });
    }
  });
});

Deno.test("vendors: a member of two vendors sees the orders of both and none of a third", async () => {
  await withShop(async ({ db, anna }) => {
    const temp = (await db.createUser()).id;
    // The third vendor's id is between the two, because the policy has bounds of ids.
    const shops = [await openShop(db), await openShop(db), await openShop(db)]
      .sort((a, b) => a.vendorId < b.vendorId ? -1 : 1);
    const orders: string[] = [];
    for (const shop of shops) {
      orders.push(await orderIn(db, shop, anna, "shipped"));
    }
    const [first, , last] = shops;
    assert(first !== undefined && last !== undefined);
    for (const { vendorId } of [first, last]) {
      await db
        .sql`insert into public.vendor_members (vendor_id, user_id) values (${vendorId}, ${temp})`;
    }
    const expected = [orders[0], orders[2]].sort();
    for (
      const query of [
        "select id from public.orders",
        "select order_id as id from public.deliveries",
        "select distinct order_id as id from public.order_items",
      ]
    ) {
      const seen = await db.asUser(
        temp,
        (sql) => sql.unsafe<{ id: string }[]>(query),
      );
      assertEquals(seen.map((row) => row.id).sort(), expected, query);
    }
  });
});

Deno.test("vendors: cannot change anything, not even the rows that they see", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const id = await orderIn(db, shop, anna, "shipped");
    const before = await readOrder(db, id);
    const changed = await db.asUser(shop.clerkId, async (sql) => [
      (await sql`update public.orders set status = 'delivered'`).count,
      (await sql`delete from public.orders`).count,
      (await sql`update public.order_items set quantity = 1`).count,
      (await sql`delete from public.order_items`).count,
    ]);
    assertEquals(changed, [0, 0, 0, 0]);
    for (
      const statement of [
        "update public.deliveries set status = 'delivered'",
        "insert into public.deliveries (order_id) select id from public.orders",
        "update public.vendor_products set unit_price_minor = 1",
        "update public.vendors set name = 'mine'",
        "insert into public.vendor_members (vendor_id, user_id) select vendor_id, gen_random_uuid() from public.orders",
      ]
    ) {
      const { code } = await refusalOf(() =>
        db.asUser(shop.clerkId, (sql) => sql.unsafe(statement))
      );
      assertEquals(code, "42501", statement);
    }
    assertEquals(await readOrder(db, id), before);
  });
});

Deno.test("vendors: signed-in users see vendors and products on sale; members also see their others", async () => {
  await withShop(async ({ db, shop, anna }) => {
    const closed = await openShop(db);
    await db
      .sql`update public.vendors set is_active = false where id = ${closed.vendorId}`;
    await db
      .sql`update public.vendor_products set is_active = false where id = ${shop.cardId}`;
    const seenBy = (userId: string) =>
      db.asUser(userId, async (sql) => ({
        vendors: (await sql`select id from public.vendors`).map((row) => row.id)
          .sort(),
        products: (await sql`select id from public.vendor_products`).map((
          row,
        ) => row.id).sort(),
      }));
    assertEquals(await seenBy(anna), {
      vendors: [shop.vendorId],
      products: [shop.bookId],
    });
    assertEquals(await seenBy(closed.clerkId), {
      vendors: [shop.vendorId, closed.vendorId].sort(),
      products: [shop.bookId, closed.bookId, closed.cardId].sort(),
    });
    assertEquals(
      (await refusalOf(() =>
        db.asAnon((sql) => sql`select 1 from public.vendors`)
      )).code,
      "42501",
    );
  });
});

Deno.test("vendors: one with orders or a price list cannot be deleted", async () => {
  await withShop(async ({ db, shop, anna }) => {
    await draftOrder(db, shop, anna);
    for (const table of ["vendors", "vendor_products"]) {
      await orderIn(db, shop, anna, "placed");
      const { code } = await refusalOf(() =>
        db.asService((sql) => sql`delete from public.${sql(table)}`)
      );
      assertEquals(code, "23503", table);
    }
  });
});
