/** The dialog that orders a printed book. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Notice } from "../parts/notice.tsx";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { toast } from "../parts/toast.tsx";
import { type Fields, numberOf, textOf } from "../shell/config.ts";
import {
  copiesOf,
  countryOf,
  listCountries,
  MAX_COPIES,
} from "../words/orders.ts";
import { minorOf } from "../words/times.ts";
import { BookRemarks } from "./book-remarks.tsx";
import {
  type DraftOrder,
  type OrderAttempt,
  OrderProblem,
  placeOrder,
} from "./orders.ts";
import { rowsOf, useStudio } from "./studio.ts";

const ADDRESS = [
  ["name", "Name", "name"],
  ["line1", "Street and number", "address-line1"],
  ["postal_code", "Postcode", "postal-code"],
  ["city", "Town", "address-level2"],
  ["country", "Country", "country"],
] as const;

function priceOf(product: Fields, quantity: number): string {
  return minorOf(
    (numberOf(product, "unit_price_minor") ?? 0) * quantity,
    textOf(product, "currency") ?? "EUR",
  );
}

/** Asks what to order and where to send it, and places the order. Cannot be closed while it sends. */
export function OrderDialog(
  { pdfId, title, remarks, draft, onClose }: {
    pdfId: string;
    title: string;
    /** What is not perfect in the book. */
    remarks: readonly string[];
    /** An order that was begun before. */
    draft: DraftOrder | null;
    onClose: () => void;
  },
) {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const products = useSignal<readonly Fields[] | null>(null);
  const chosen = useSignal("");
  const copies = useSignal(String(draft?.quantity ?? 1));
  const address = useSignal<Readonly<Record<string, string>>>({
    country: countryOf(navigator.language),
    ...draft?.address,
  });
  const attempt = useRef<OrderAttempt>({
    id: draft?.id ?? null,
    choice: null,
  });
  const countries = useMemo(listCountries, []);
  const problem = useSignal<string | null>(null);
  const isBusy = useSignal(false);
  const unread = useSignal<string | null>(null);
  const readProducts = async () => {
    unread.value = null;
    try {
      products.value = rowsOf(
        await supabase.from("vendor_products").select(
          "id,name,unit_price_minor,currency,vendor_id",
        ).eq("is_active", true).order("unit_price_minor", { ascending: false }),
      );
      const ids = products.value.map((one) => textOf(one, "id") ?? "");
      chosen.value = ids.find((id) => id === draft?.productId) ?? ids[0] ?? "";
    } catch (error) {
      unread.value = studio.explain(error);
    }
  };
  useEffect(() => {
    void readProducts();
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
      await placeOrder(
        supabase,
        { pdfId, product, quantity, address: address.value },
        attempt.current,
      );
      toast(`“${title}” is ordered.`);
      onClose();
    } catch (error) {
      problem.value = error instanceof OrderProblem
        ? error.message
        : studio.explain(error);
    } finally {
      isBusy.value = false;
    }
  }

  return (
    <Dialog
      title={`Order “${title}”`}
      isBusy={isBusy.value}
      onClose={onClose}
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
      <BookRemarks remarks={remarks} />
      {unread.value !== null && (
        <RetryNotice onRetry={readProducts}>{unread.value}</RetryNotice>
      )}
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
            ? `Enter a whole number from 1 to ${MAX_COPIES}.`
            : undefined}
        >
          {(id, describedBy) => (
            <input
              id={id}
              aria-describedby={describedBy}
              aria-invalid={quantity === undefined}
              type="number"
              min={1}
              max={MAX_COPIES}
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
