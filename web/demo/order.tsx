/** The order of a printed book, on the card of its job. */
import { batch, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Badge, type Tone } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { textOf } from "../shell/config.ts";
import { OrderDialog } from "./order-dialog.tsx";
import {
  type BookOrders,
  cancelOrder,
  readOrders,
  removeDraft,
} from "./orders.ts";
import { hasShop } from "./shop.ts";
import { rowsOf, useStudio } from "./studio.ts";

const STATES: Readonly<Record<string, [name: string, tone: Tone]>> = {
  placed: ["Ordered, not paid yet", "busy"],
  paid: ["Paid", "busy"],
  in_production: ["Being printed", "busy"],
  shipped: ["On its way", "good"],
  delivered: ["Delivered", "good"],
  cancelled: ["Order cancelled", "plain"],
  refunded: ["Refunded", "plain"],
};

/** What can be done about the orders of a book; nothing while that is not known. */
function OrderButtons(
  { orders: { placed, draft }, isBusy, onOrder, onRemove, onCancel }: {
    orders: BookOrders;
    isBusy: boolean;
    onOrder: () => void;
    onRemove: (id: string) => void;
    onCancel: (id: string) => void;
  },
) {
  const [words, tone] = STATES[placed?.status ?? ""] ?? [];
  return (
    <>
      {draft === null
        ? (
          <Button isSmall icon="box" isBusy={isBusy} onClick={onOrder}>
            {words === undefined ? "Order a print" : "Order again"}
          </Button>
        )
        : (
          <div class="row">
            <Badge tone="warn">Order not finished</Badge>
            <Button isSmall icon="box" isBusy={isBusy} onClick={onOrder}>
              Continue
            </Button>
            <Button
              kind="quiet"
              isSmall
              isBusy={isBusy}
              onClick={() => onRemove(draft.id)}
            >
              Remove it
            </Button>
          </div>
        )}
      {words !== undefined && <Badge tone={tone ?? "plain"}>{words}</Badge>}
      {placed?.status === "placed" && (
        <Button
          kind="quiet"
          isSmall
          isBusy={isBusy}
          onClick={() => onCancel(placed.id)}
        >
          Cancel the order
        </Button>
      )}
    </>
  );
}

/**
 * Orders the book of a job: a button, an order that was begun, and the status of the newest order. Nothing in a project
 * without the shop.
 */
export function OrderBook(
  { jobId, title, remarks }: {
    jobId: string;
    title: string;
    remarks: readonly string[];
  },
) {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const pdfId = useSignal<string | null>(null);
  const orders = useSignal<BookOrders>({ placed: null, draft: null });
  const isOpen = useSignal(false);
  const isBusy = useSignal(false);
  const problem = useSignal<string | null>(null);
  const load = async () => {
    problem.value = null;
    isBusy.value = true;
    try {
      if (!await hasShop(supabase)) return;
      const [pdf] = rowsOf(
        await supabase.from("pdfs").select("id").eq("job_id", jobId),
      );
      const id = textOf(pdf ?? {}, "id");
      if (id === undefined) return;
      const read = await readOrders(supabase, id);
      // Both together, so that no button appears that changes a moment later.
      batch(() => {
        pdfId.value = id;
        orders.value = read;
      });
    } catch (error) {
      problem.value = studio.explain(error);
    } finally {
      isBusy.value = false;
    }
  };
  const change = async (action: () => Promise<unknown>) => {
    isBusy.value = true;
    await studio.attempt(action);
    await load();
  };
  useEffect(() => {
    void load();
  }, [jobId]);
  return (
    <>
      {problem.value !== null
        ? (
          <RetryNotice onRetry={load}>
            The orders of this book cannot be read. {problem.value}
          </RetryNotice>
        )
        : pdfId.value !== null && (
          <OrderButtons
            orders={orders.value}
            isBusy={isBusy.value}
            onOrder={() => isOpen.value = true}
            onRemove={(id) => change(() => removeDraft(supabase, id))}
            onCancel={(id) => change(() => cancelOrder(supabase, id))}
          />
        )}
      {isOpen.value && pdfId.value !== null && (
        <OrderDialog
          pdfId={pdfId.value}
          title={title}
          remarks={remarks}
          draft={orders.value.draft}
          onClose={() => {
            isOpen.value = false;
            void load();
          }}
        />
      )}
    </>
  );
}
