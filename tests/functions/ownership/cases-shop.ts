/** Orders, items, payments and deliveries: the rules that triggers enforce, for customers and for the service. */
import { type Case, writerOf } from "./case.ts";
import { relationNamed } from "./catalogue.ts";
import type { Values } from "./fixture.ts";
import { CLOSED_VENDOR, productOf } from "./fixture-shop.ts";
import { rowOf } from "./function-attempts.ts";
import type { Stage } from "./stage.ts";
import { write } from "./writing.ts";

/** All cases of the shop. */
export function shopCases(stage: Stage): Case[] {
  const A = writerOf(stage, "A");
  const service = writerOf(stage, "service");
  const item = (order: Values, more: Values) => {
    const { quantity, product_id } = stage.fixture["order_items"]?.fresh("A") ??
      {};
    return {
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
      ["an order that does not exist", {
        id: "00000000-0000-4000-8000-000000000000",
      }],
    ].map(([name, of]): Case => ({
      ...items,
      what: `add an item to ${name}`,
      expected: "against the policy",
      run: () =>
        A.insert("order_items", item(typeof of === "object" ? of : {}, {})),
    })),
    ...[
      ["a vendor that is closed", CLOSED_VENDOR],
      ["a vendor that does not exist", "00000000-0000-4000-8000-000000000000"],
    ].map(([name, vendor]): Case => ({
      ...orders,
      operation: "insert",
      what: `draft an order with ${name}`,
      expected: "refused AJ061",
      run: () =>
        A.insert("orders", { vendor_id: vendor ?? null, currency: "EUR" }),
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
      changes: "in the outcome",
      run: () => A.change("A", "orders", "draft", { status: "placed" }),
    },
    {
      subjects: ["table pdfs", "table orders"],
      actor: "A",
      operation: "delete",
      what: "delete a keepsake that is in an order of theirs",
      expected: "refused AJ065; changed A's orders",
      changes: "in the outcome",
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
      ...kept("payments", "revert a capture"),
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
      ...kept("payments", "record a payment for an order that does not exist"),
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
      changes: "in the outcome",
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
      changes: "in the outcome",
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
      changes: "in the outcome",
      run: () =>
        service.insert("deliveries", {
          ...stage.fixture["deliveries"]?.fresh("A"),
          vendor_id: productOf("other vendor")["vendor_id"] ?? null,
        }),
    },
    {
      ...kept(
        "vendor_products",
        "delete a product that a customer has ordered",
      ),
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
