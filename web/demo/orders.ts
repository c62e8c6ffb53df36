/** Orders of one book in the shop's tables. An order is placed in three writes; what a failure leaves behind is used again. */
import { type Fields, isFields, numberOf, textOf } from "../shell/config.ts";
import type { Backend } from "../shell/backend.ts";
import { idOf, rowsOf } from "./studio.ts";

type Database = Pick<Backend["supabase"], "from">;

/** An order that was begun and not placed. */
export interface DraftOrder {
  id: string;
  productId: string;
  quantity: number;
  address: Readonly<Record<string, string>>;
}

/** The newest order of a book, and the draft if there is one. */
export interface BookOrders {
  placed: { id: string; status: string } | null;
  draft: DraftOrder | null;
}

/** What the customer ordered. */
export interface Choice {
  pdfId: string;
  product: Fields;
  quantity: number;
  address: Readonly<Record<string, string>>;
}

/** Reads the orders of a book. @throws the error of the Data API. */
export async function readOrders(
  database: Database,
  pdfId: string,
): Promise<BookOrders> {
  const items = rowsOf(
    await database.from("order_items").select(
      "product_id,quantity,orders(id,status,shipping_address)",
    ).eq("pdf_id", pdfId).order("created_at", { ascending: false }).limit(20),
  );
  const orders: BookOrders = { placed: null, draft: null };
  for (const item of items) {
    const order = isFields(item["orders"]) ? item["orders"] : {};
    const id = textOf(order, "id") ?? "";
    const status = textOf(order, "status") ?? "";
    if (status !== "draft") {
      orders.placed ??= { id, status };
      continue;
    }
    const address = order["shipping_address"];
    orders.draft ??= {
      id,
      productId: textOf(item, "product_id") ?? "",
      quantity: numberOf(item, "quantity") ?? 1,
      address: isFields(address)
        ? Object.fromEntries(
          Object.entries(address).map(([name, value]) => [name, String(value)]),
        )
        : {},
    };
  }
  return orders;
}

/** An own draft of the vendor that has no items: what is left when the second write failed. */
async function emptyDraft(
  database: Database,
  { product }: Choice,
): Promise<string | undefined> {
  const drafts = rowsOf(
    await database.from("orders").select("id,order_items(id)").eq(
      "status",
      "draft",
    )
      .eq("vendor_id", product["vendor_id"]).eq("currency", product["currency"])
      .limit(20),
  );
  const empty = drafts.find(({ order_items: items }) =>
    Array.isArray(items) && items.length === 0
  );
  return empty === undefined ? undefined : textOf(empty, "id");
}

/** An attempt to order a book, which may take several calls of {@link placeOrder}. */
export interface OrderAttempt {
  /** The order that an earlier call, or an earlier visit, has begun. */
  id: string | null;
  /** What that call was to order. */
  choice: string | null;
}

/** Why an order was not placed, in words for the customer. */
export class OrderProblem extends Error {}

/** The status of an order; undefined when there is none. */
async function statusOf(
  database: Database,
  id: string,
): Promise<string | undefined> {
  const [row] = rowsOf(
    await database.from("orders").select("status").eq("id", id),
  );
  return textOf(row ?? {}, "status");
}

/**
 * Places an order, in place of the one that the attempt has begun. When the response to an earlier call was lost and
 * its order is placed, nothing is ordered again.
 *
 * @throws the error of the Data API; {@link OrderProblem} when the order was removed meanwhile, or when an earlier call
 * has placed it with another choice. The attempt knows what is left: an order without items is removed again, one with
 * items stays as a draft.
 */
export async function placeOrder(
  database: Database,
  choice: Choice,
  attempt: OrderAttempt,
): Promise<void> {
  const { pdfId, product, quantity, address } = choice;
  if (attempt.id !== null) {
    // Its vendor may be another one, so the draft is replaced rather than changed.
    const isRemoved = await removeDraft(database, attempt.id);
    const status = isRemoved ? undefined : await statusOf(database, attempt.id);
    const isPlaced = status !== undefined && status !== "cancelled";
    if (isPlaced && attempt.choice === JSON.stringify(choice)) return;
    if (isPlaced) {
      throw new OrderProblem(
        "This book is already ordered as you entered it first. To change the order, close this and cancel it.",
      );
    }
    attempt.id = null;
  }
  attempt.choice = JSON.stringify(choice);
  const found = await emptyDraft(database, choice);
  const id = attempt.id = found ?? idOf(
    await database.from("orders").insert({
      vendor_id: product["vendor_id"],
      currency: product["currency"],
      shipping_address: address,
    }).select("id").single(),
  );
  try {
    if (found !== undefined) {
      rowsOf(
        await database.from("orders").update({ shipping_address: address }).eq(
          "id",
          id,
        )
          .select("id"),
      );
    }
    rowsOf(
      await database.from("order_items").insert({
        order_id: id,
        product_id: product["id"],
        pdf_id: pdfId,
        quantity,
      }).select("id"),
    );
  } catch (error) {
    await removeDraft(database, id).catch(() => {});
    throw error;
  }
  let placed: unknown[] = [];
  let failure: unknown = new OrderProblem(
    "The order was removed meanwhile. Order again.",
  );
  try {
    placed = rowsOf(
      await database.from("orders").update({ status: "placed" }).eq("id", id)
        .select("id"),
    );
  } catch (error) {
    failure = error;
  }
  // The response may have been lost.
  if (placed.length === 0 && await statusOf(database, id) !== "placed") {
    throw failure;
  }
}

/** Removes a draft with its items, and resolves with whether it was there. @throws the error of the Data API. */
export async function removeDraft(
  database: Database,
  id: string,
): Promise<boolean> {
  const removed = rowsOf(
    await database.from("orders").delete().eq("id", id).select("id"),
  );
  return removed.length > 0;
}

/** Cancels an order that is not paid. @throws the error of the Data API. */
export async function cancelOrder(
  database: Database,
  id: string,
): Promise<void> {
  rowsOf(
    await database.from("orders").update({ status: "cancelled" }).eq("id", id)
      .select("id"),
  );
}
