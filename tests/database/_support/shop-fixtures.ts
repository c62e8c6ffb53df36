/**
 * A shop for tests: a vendor with a price list, customers, and orders in a chosen status, created through the usual
 * steps.
 */
import { assert } from "@std/assert";
import type { TestDatabase, Transaction } from "../../_support/database.ts";

/** Every status of an order. */
export const ORDER_STATUSES = [
  "draft",
  "placed",
  "paid",
  "in_production",
  "shipped",
  "delivered",
  "cancelled",
  "refunded",
] as const;

/** A status of an order. */
export type OrderStatus = typeof ORDER_STATUSES[number];

/** A vendor, a member of its staff, and two products: a book for 24.90 and a card for 3.50 EUR. */
export interface Shop {
  vendorId: string;
  clerkId: string;
  bookId: string;
  cardId: string;
}

/** A row of `orders`; amounts are texts, as Postgres's bigint is. */
export interface Order {
  id: string;
  user_id: string | null;
  vendor_id: string;
  status: OrderStatus;
  currency: string;
  items_total_minor: string;
  shipping_minor: string;
  tax_minor: string;
  total_minor: string;
  shipping_address: Record<string, string> | null;
  placed_at: Date | null;
  paid_at: Date | null;
  completed_at: Date | null;
  updated_at: Date;
}

/** The shipping address of all orders. */
export const ADDRESS = {
  name: "Anna Berger",
  line1: "Lindenweg 4",
  postal_code: "4020",
  city: "Linz",
  country: "AT",
};

/** Opens a vendor. */
export async function openShop(db: TestDatabase): Promise<Shop> {
  const clerkId = (await db.createUser()).id;
  const [vendor] = await db.sql<{ id: string }[]>`
    insert into public.vendors (name, country) values (${crypto.randomUUID()}, 'AT') returning id`;
  assert(vendor !== undefined);
  await db
    .sql`insert into public.vendor_members (vendor_id, user_id) values (${vendor.id}, ${clerkId})`;
  const product = async (sku: string, name: string, price: number) => {
    const [row] = await db.sql<{ id: string }[]>`
      insert into public.vendor_products (vendor_id, sku, name, unit_price_minor, currency)
      values (${vendor.id}, ${sku}, ${name}, ${price}, 'EUR') returning id`;
    assert(row !== undefined);
    return row.id;
  };
  return {
    vendorId: vendor.id,
    clerkId,
    bookId: await product("BOOK-A5", "Photo book A5", 2490),
    cardId: await product("CARD", "Card", 350),
  };
}

/** A keepsake of this user with its file. */
export async function insertPdf(
  db: TestDatabase,
  userId: string,
): Promise<{ id: string; path: string }> {
  const path = await db.putObject({
    bucket: "pdfs",
    path: `${userId}/${crypto.randomUUID()}.pdf`,
    mimetype: "application/pdf",
    size: 1000,
  });
  const [row] = await db.sql<{ id: string }[]>`
    insert into public.pdfs (user_id, title, pdf_url, page_count, size_bytes)
    values (${userId}, 'Our year', ${path}, 24, 1000) returning id`;
  assert(row !== undefined);
  return { id: row.id, path };
}

/** An empty draft, created by this customer. */
export async function draftOrder(
  db: TestDatabase,
  shop: Shop,
  userId: string,
): Promise<string> {
  const [order] = await db.asUser(userId, (sql) =>
    sql<{ id: string }[]>`
      insert into public.orders (vendor_id, currency, shipping_address)
      values (${shop.vendorId}, 'EUR', ${sql.json(ADDRESS)}) returning id`);
  assert(order !== undefined);
  return order.id;
}

/** Adds an item as the customer, and returns its id. */
export async function addItem(
  db: TestDatabase,
  userId: string,
  item: {
    order_id: string;
    product_id: string;
    quantity: number;
    pdf_id?: string;
  },
): Promise<string> {
  const [row] = await db.asUser(userId, (sql) =>
    sql<{ id: string }[]>`
      insert into public.order_items ${sql(item)} returning id`);
  assert(row !== undefined);
  return row.id;
}

/** Changes the status of an order as `postgres`; the triggers check the transition. */
export async function setStatus(
  db: TestDatabase,
  orderId: string,
  status: string,
): Promise<void> {
  const { count } = await db
    .sql`update public.orders set status = ${status} where id = ${orderId}`;
  assert(count === 1, "no such order");
}

/** A captured payment of the whole order, by the service. Returns its id. */
export async function payFor(
  db: TestDatabase,
  orderId: string,
): Promise<string> {
  const id = crypto.randomUUID();
  await db.asService((sql) =>
    sql`
    insert into public.payments (id, order_id, provider, provider_payment_id, status, amount_minor, currency)
    select ${id}, o.id, 'stripe', 'pi_' || o.id, 'captured', o.total_minor, o.currency
    from public.orders as o where o.id = ${orderId}`
  );
  return id;
}

/** Every status of a payment. */
export const PAYMENT_STATUSES = [
  "pending",
  "authorised",
  "captured",
  "partially_refunded",
  "refunded",
  "failed",
  "cancelled",
] as const;

/** A status of a payment. */
export type PaymentStatus = typeof PAYMENT_STATUSES[number];

/** The other columns of a payment of 1,000 in this status. */
export function paymentIn(status: PaymentStatus) {
  return {
    status,
    refunded_minor: { partially_refunded: 400, refunded: 1000 }[
      String(status)
    ] ?? 0,
    captured_at: ["captured", "partially_refunded", "refunded"].includes(status)
      ? new Date("2026-01-02T03:04:05Z")
      : null,
  };
}

/** A payment of 1,000 of an order in this status, by the service. Returns its id. */
export async function insertPayment(
  db: TestDatabase,
  orderId: string,
  status: PaymentStatus,
): Promise<string> {
  const id = crypto.randomUUID();
  await db.asService((sql) =>
    sql`
    insert into public.payments ${
      sql({
        id,
        order_id: orderId,
        provider: "stripe",
        provider_payment_id: `pi_${id}`,
        amount_minor: 1000,
        currency: "EUR",
        ...paymentIn(status),
      })
    }`
  );
  return id;
}

/** Refunds all payments of an order. */
export async function refund(db: TestDatabase, orderId: string): Promise<void> {
  await db.sql`
    update public.payments set status = 'refunded', refunded_minor = amount_minor
    where order_id = ${orderId} and status in ('captured', 'partially_refunded')`;
}

/** A shipped delivery of an order. Returns its id. */
export async function ship(db: TestDatabase, orderId: string): Promise<string> {
  const id = crypto.randomUUID();
  await db.asService((sql) =>
    sql`
    insert into public.deliveries (id, order_id, carrier, tracking_number, status)
    values (${id}, ${orderId}, 'dhl', ${crypto.randomUUID().toUpperCase()}, 'shipped')`
  );
  return id;
}

/**
 * An order of one book and two cards (31.90 EUR) in the given status, reached through the usual steps: cancelled after
 * it was placed, refunded after it was paid.
 */
export async function orderIn(
  db: TestDatabase,
  shop: Shop,
  userId: string,
  status: OrderStatus,
  pdfId?: string,
): Promise<string> {
  const id = await draftOrder(db, shop, userId);
  await addItem(db, userId, {
    order_id: id,
    product_id: shop.bookId,
    quantity: 1,
    ...(pdfId === undefined ? {} : { pdf_id: pdfId }),
  });
  await addItem(db, userId, {
    order_id: id,
    product_id: shop.cardId,
    quantity: 2,
  });
  const place = () => setStatus(db, id, "placed");
  const pay = async () => {
    await payFor(db, id);
    await setStatus(db, id, "paid");
  };
  const print = () => setStatus(db, id, "in_production");
  const send = async () => {
    await ship(db, id);
    await setStatus(db, id, "shipped");
  };
  const deliver = async () => {
    await db
      .sql`update public.deliveries set status = 'delivered' where order_id = ${id}`;
    await setStatus(db, id, "delivered");
  };
  const refundAll = async () => {
    await refund(db, id);
    await setStatus(db, id, "refunded");
  };
  const way: Record<OrderStatus, (() => Promise<void>)[]> = {
    draft: [],
    placed: [place],
    cancelled: [place, () => setStatus(db, id, "cancelled")],
    paid: [place, pay],
    refunded: [place, pay, refundAll],
    in_production: [place, pay, print],
    shipped: [place, pay, print, send],
    delivered: [place, pay, print, send, deliver],
  };
  for (const step of way[status]) await step();
  return id;
}

/** The current row of the order. */
export async function readOrder(db: TestDatabase, id: string): Promise<Order> {
  const [order] = await db.sql<
    Order[]
  >`select * from public.orders where id = ${id}`;
  assert(order !== undefined, "the order is gone");
  return order;
}

class Undo extends Error {}

/** Runs in a transaction that is always rolled back. Returns what `run` returns; throws what it throws. */
export async function rolledBack<T>(
  db: TestDatabase,
  run: (sql: Transaction) => Promise<T>,
): Promise<T> {
  let box: { result: T } | undefined;
  try {
    await db.sql.begin(async (sql) => {
      box = { result: await run(sql) };
      throw new Undo();
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
  assert(box !== undefined);
  return box.result;
}
