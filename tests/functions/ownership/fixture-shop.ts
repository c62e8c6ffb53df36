/** The fixture's vendors, price lists, orders, payments and deliveries. */
import {
  type FixtureTools,
  idOf,
  LAST_YEAR,
  LATER,
  type RelationFixture,
  type Values,
} from "./fixture.ts";
import type { Owner } from "./people.ts";

const ADDRESS = { name: "A Person", street: "1 Street", city: "Town" };

/** Ids in order: the other vendor's are between those of the vendor, so that a range of ids would include them. */
function vendorId(place: number, name: string): string {
  return `${place}${idOf(`vendors/${name}`).slice(1)}`;
}

/** Two active vendors, each with an active and an inactive product, and two closed ones; by who acts for them. */
const VENDORS = {
  vendor: vendorId(1, "press"),
  "other vendor": vendorId(2, "bindery"),
};
type Vendor = keyof typeof VENDORS;
const CLOSED = {
  vendor: vendorId(4, "closed press"),
  "other vendor": vendorId(3, "closed bindery"),
};
const PRODUCTS = {
  vendor: idOf("vendor_products/press/book"),
  "other vendor": idOf("vendor_products/bindery/book"),
};

/** A product on sale at a vendor; for attempts that mix two vendors. */
export function productOf(vendor: Vendor): Values {
  return { product_id: PRODUCTS[vendor], vendor_id: VENDORS[vendor] };
}

/** A vendor that accepts no orders; only its own members see it. */
export const CLOSED_VENDOR = CLOSED["other vendor"];

/** The shop. Each customer has an order in each state that matters for who sees it. */
export function shopRows(
  { ids, next, forEach, shared, namesOf }: FixtureTools,
): Record<string, RelationFixture> {
  const order = (
    owner: Owner,
    kind: string,
    vendor: Vendor,
    more: Values,
  ): Values => ({
    id: namesOf(owner)("orders", kind),
    user_id: ids[owner],
    vendor_id: VENDORS[vendor],
    currency: "EUR",
    shipping_address: ADDRESS,
    items_total_minor: 2500,
    ...more,
  });
  const item = (
    owner: Owner,
    kind: string,
    orderKind: string,
    vendor: Vendor,
    more: Values = {},
  ): Values => ({
    id: namesOf(owner)("order_items", kind),
    order_id: namesOf(owner)("orders", orderKind),
    currency: "EUR",
    description: "A book",
    quantity: 1,
    unit_price_minor: 2500,
    ...productOf(vendor),
    ...more,
  });
  const placed = { status: "placed", placed_at: LAST_YEAR };
  const paid = { status: "paid", placed_at: LAST_YEAR, paid_at: LATER };
  const payment = (owner: Owner, kind: string, orderKind: string): Values => ({
    id: namesOf(owner)("payments", kind),
    order_id: namesOf(owner)("orders", orderKind),
    user_id: ids[owner],
    provider: "pay",
    provider_payment_id: `pay_${owner}_${kind}`,
    status: "captured",
    amount_minor: 2500,
    currency: "EUR",
    captured_at: LAST_YEAR,
  });
  const delivery = (
    owner: Owner,
    kind: string,
    vendor: Vendor,
    orderKind: string,
  ): Values => ({
    id: namesOf(owner)("deliveries", kind),
    order_id: namesOf(owner)("orders", orderKind),
    vendor_id: VENDORS[vendor],
    user_id: ids[owner],
    status: "preparing",
    carrier: "post",
    tracking_number: `T-${owner}-${kind}`.toUpperCase(),
  });
  const product = (
    id: string,
    vendorId: string,
    sku: string,
    more: Values = {},
  ): Values => ({
    id,
    vendor_id: vendorId,
    sku,
    name: "A book",
    unit_price_minor: 2500,
    currency: "EUR",
    ...more,
  });

  return {
    vendors: {
      rows: shared("vendors", [
        ["active", { id: VENDORS.vendor, name: "Press", country: "DE" }],
        ["active", {
          id: VENDORS["other vendor"],
          name: "Bindery",
          country: "FR",
        }],
        ["inactive, of the vendor", {
          id: CLOSED.vendor,
          name: "Closed press",
          country: "DE",
          is_active: false,
        }],
        ["inactive, of another", {
          id: CLOSED["other vendor"],
          name: "Closed bindery",
          country: "FR",
          is_active: false,
        }],
      ]),
      fresh: () => ({
        id: idOf(`vendors/${next()}`),
        name: `Vendor ${next()}`,
        country: "IT",
      }),
    },
    vendor_members: {
      rows: (["vendor", "other vendor"] as const).flatMap((owner) =>
        shared(
          "vendor_members",
          [VENDORS[owner], CLOSED[owner]].map((vendor_id) => [
            "membership",
            { vendor_id, user_id: ids[owner] },
            owner,
          ]),
        )
      ),
      fresh: (owner) => ({ vendor_id: VENDORS.vendor, user_id: ids[owner] }),
    },
    vendor_products: {
      rows: shared("vendor_products", [
        ["active", product(PRODUCTS.vendor, VENDORS.vendor, "BOOK")],
        [
          "active",
          product(PRODUCTS["other vendor"], VENDORS["other vendor"], "BOOK"),
        ],
        [
          "inactive, of the vendor",
          product(idOf("press/old"), VENDORS.vendor, "OLD", {
            is_active: false,
          }),
        ],
        [
          "inactive, of another",
          product(idOf("bindery/old"), VENDORS["other vendor"], "OLD", {
            is_active: false,
          }),
        ],
        [
          "active, of an inactive vendor",
          product(idOf("closed/book"), CLOSED["other vendor"], "BOOK"),
        ],
      ]),
      fresh: () =>
        product(idOf(`products/${next()}`), VENDORS.vendor, `NEW-${next()}`),
    },
    orders: {
      rows: forEach("orders", (owner) => ({
        draft: order(owner, "draft", "vendor", {}),
        "placed with the vendor": order(owner, "placed", "vendor", placed),
        "paid, with the vendor": order(owner, "paid", "vendor", paid),
        "paid, with another": order(owner, "paid else", "other vendor", paid),
      })),
      fresh: (owner) => ({
        id: idOf(`orders/${next()}`),
        user_id: ids[owner],
        vendor_id: VENDORS.vendor,
        currency: "EUR",
        shipping_address: ADDRESS,
      }),
      change: () => ({
        shipping_address: { ...ADDRESS, street: "2 Street" },
        status: "cancelled",
      }),
    },
    order_items: {
      rows: forEach("order_items", (owner) => ({
        "in a draft": item(owner, "in a draft", "draft", "vendor", {
          pdf_id: namesOf(owner)("pdfs", "keepsake"),
        }),
        "in one placed with the vendor": item(
          owner,
          "in a placed one",
          "placed",
          "vendor",
        ),
        "in one paid, with the vendor": item(
          owner,
          "in a paid one",
          "paid",
          "vendor",
        ),
        "in one paid, with another": item(
          owner,
          "in another",
          "paid else",
          "other vendor",
        ),
      })),
      fresh: (owner) =>
        item(owner, `item ${next()}`, "draft", "vendor", {
          pdf_id: namesOf(owner)("pdfs", "keepsake"),
        }),
      change: () => ({ quantity: 2, pdf_id: null }),
    },
    payments: {
      rows: forEach("payments", (owner) => ({
        payment: [
          payment(owner, "one", "paid"),
          payment(owner, "two", "paid else"),
        ],
      })),
      fresh: (owner) => payment(owner, next(), "placed"),
    },
    deliveries: {
      rows: forEach("deliveries", (owner) => ({
        "of the vendor": delivery(owner, "one", "vendor", "paid"),
        "of another": delivery(owner, "two", "other vendor", "paid else"),
      })),
      fresh: (owner) => delivery(owner, next(), "vendor", "paid"),
    },
  };
}
