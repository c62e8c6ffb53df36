/** The dialog that orders a printed book. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Badge, type Tone } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { type Fields, numberOf, textOf } from "../shell/config.ts";
import {
  copiesOf,
  countryOf,
  listCountries,
  MOST_COPIES,
} from "../words/orders.ts";
import { minorOf } from "../words/times.ts";
import { idOf, rowsOf, useStudio } from "./studio.ts";

const ADDRESS = [
  ["name", "Name", "name"],
  ["line1", "Street and number", "address-line1"],
  ["postal_code", "Postcode", "postal-code"],
  ["city", "Town", "address-level2"],
  ["country", "Country", "country"],
] as const;

const STATES: Readonly<Record<string, [name: string, tone: Tone]>> = {
  placed: ["Ordered, not paid yet", "busy"],
  paid: ["Paid", "busy"],
  in_production: ["Being printed", "busy"],
  shipped: ["On its way", "good"],
  delivered: ["Delivered", "good"],
  cancelled: ["Order cancelled", "plain"],
  refunded: ["Refunded", "plain"],
};

function priceOf(product: Fields, quantity: number): string {
  return minorOf(
    (numberOf(product, "unit_price_minor") ?? 0) * quantity,
    textOf(product, "currency") ?? "EUR",
  );
}

function OrderDialog(
  { pdfId, title, onClose }: {
    pdfId: string;
    title: string;
    onClose: (wasOrdered: boolean) => void;
  },
) {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const products = useSignal<readonly Fields[] | null>(null);
  const chosen = useSignal("");
  const copies = useSignal("1");
  const address = useSignal<Readonly<Record<string, string>>>({
    country: countryOf(navigator.language),
  });
  const countries = useMemo(listCountries, []);
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  useEffect(() => {
    void studio.attempt(async () => {
      products.value = rowsOf(
        await supabase.from("vendor_products").select(
          "id,name,unit_price_minor,currency,vendor_id",
        ).eq("is_active", true).order("unit_price_minor", { ascending: false }),
      );
      chosen.value = textOf(products.value[0] ?? {}, "id") ?? "";
    });
  }, []);
  const product = products.value?.find((one) => one["id"] === chosen.value);
  const quantity = copiesOf(copies.value);
  const fill = (name: string, value: string) => {
    problem.value = null;
    address.value = { ...address.value, [name]: value };
  };

  async function order(): Promise<void> {
    const missing = ADDRESS.find(([name]) => !address.value[name]?.trim());
    problem.value = missing === undefined
      ? null
      : `Fill in: ${missing[1].toLowerCase()}.`;
    if (
      product === undefined || quantity === undefined || missing !== undefined
    ) return;
    isBusy.value = true;
    try {
      const order_id = idOf(
        await supabase.from("orders").insert({
          vendor_id: product["vendor_id"],
          currency: product["currency"],
          shipping_address: address.value,
        }).select("id").single(),
      );
      rowsOf(
        await supabase.from("order_items").insert({
          order_id,
          product_id: product["id"],
          pdf_id: pdfId,
          quantity,
        }).select("id"),
      );
      rowsOf(
        await supabase.from("orders").update({ status: "placed" })
          .eq("id", order_id).select("id"),
      );
      toast(`“${title}” is ordered.`);
      onClose(true);
    } catch (error) {
      problem.value = studio.explain(error);
    } finally {
      isBusy.value = false;
    }
  }

  return (
    <Dialog
      title={`Order “${title}”`}
      onClose={() => onClose(false)}
      actions={
        <Button
          kind="primary"
          isBusy={isBusy.value}
          isDisabled={product === undefined || quantity === undefined}
          onClick={order}
        >
          {product === undefined || quantity === undefined
            ? "Order"
            : `Order for ${priceOf(product, quantity)}`}
        </Button>
      }
    >
      {products.value?.length === 0 && (
        <Notice kind="warn">No printer is set up here yet.</Notice>
      )}
      <div class="two">
        <Field label="Print as">
          {(id) => (
            <select
              id={id}
              value={chosen.value}
              onChange={(event) => chosen.value = event.currentTarget.value}
            >
              {products.value?.map((one) => (
                <option key={textOf(one, "id")} value={textOf(one, "id") ?? ""}>
                  {textOf(one, "name")}, {priceOf(one, 1)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field
          label="Copies"
          problem={quantity === undefined
            ? `Enter a whole number from 1 to ${MOST_COPIES}.`
            : undefined}
        >
          {(id, describedBy) => (
            <input
              id={id}
              aria-describedby={describedBy}
              aria-invalid={quantity === undefined}
              type="number"
              min={1}
              max={MOST_COPIES}
              value={copies.value}
              onInput={({ currentTarget }) => {
                problem.value = null;
                copies.value = currentTarget.value;
              }}
            />
          )}
        </Field>
        {ADDRESS.map(([name, label, complete]) => (
          <Field key={name} label={label}>
            {(id) =>
              name === "country"
                ? (
                  <select
                    id={id}
                    autocomplete={complete}
                    value={address.value[name]}
                    onChange={(event) => fill(name, event.currentTarget.value)}
                  >
                    <option value="">Choose a country</option>
                    {countries.map(([code, country]) => (
                      <option key={code} value={code}>{country}</option>
                    ))}
                  </select>
                )
                : (
                  <input
                    id={id}
                    autocomplete={complete}
                    maxLength={200}
                    value={address.value[name] ?? ""}
                    onInput={(event) => fill(name, event.currentTarget.value)}
                  />
                )}
          </Field>
        ))}
      </div>
      {problem.value !== null && <Notice kind="bad">{problem.value}</Notice>}
      <p class="small soft">
        This page only places the order. Your app takes the payment.
      </p>
    </Dialog>
  );
}

/** A button that orders the book of a job, and the status of its newest order. */
export function OrderBook({ jobId, title }: { jobId: string; title: string }) {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const pdfId = useSignal<string | null>(null);
  const status = useSignal<string | null>(null);
  const isOpen = useSignal(false);
  const load = () =>
    studio.attempt(async () => {
      const [pdf] = rowsOf(
        await supabase.from("pdfs").select("id").eq("job_id", jobId),
      );
      pdfId.value = textOf(pdf ?? {}, "id") ?? null;
      if (pdfId.value === null) return;
      const [item] = rowsOf(
        await supabase.from("order_items").select("orders(status)")
          .eq("pdf_id", pdfId.value).order("created_at", { ascending: false })
          .limit(1),
      );
      const order = item?.["orders"];
      status.value = typeof order === "object" && order !== null
        ? String(Reflect.get(order, "status"))
        : null;
    });
  useEffect(() => {
    void load();
  }, [jobId]);
  if (pdfId.value === null) return null;
  const [words, tone] = STATES[status.value ?? ""] ?? [];
  return (
    <>
      <Button isSmall icon="box" onClick={() => isOpen.value = true}>
        {words === undefined ? "Order a print" : "Order again"}
      </Button>
      {words !== undefined && <Badge tone={tone ?? "plain"}>{words}</Badge>}
      {isOpen.value && (
        <OrderDialog
          pdfId={pdfId.value}
          title={title}
          onClose={(wasOrdered) => {
            isOpen.value = false;
            if (wasOrdered) void load();
          }}
        />
      )}
    </>
  );
}
