/** What a button or a dialog knows about the request that it has sent. */
import { useSignal } from "@preact/signals";
import { useIsShown } from "../shell/shown.ts";

/** A component's requests; see {@link useSending}. */
export interface Sending {
  /** Whether one is sent; a second one is not sent meanwhile. */
  isBusy: boolean;
  send: (request: () => Promise<unknown>) => Promise<void>;
  /** Whether the component is still on the page. Another one may have its place by then. */
  isShown: () => boolean;
}

/** One request at a time, for as long as `send` has not settled. */
export function useSending(): Sending {
  const isBusy = useSignal(false);
  const isShown = useIsShown();
  return {
    isBusy: isBusy.value,
    isShown,
    async send(request) {
      if (isBusy.peek()) return;
      isBusy.value = true;
      try {
        await request();
      } finally {
        isBusy.value = false;
      }
    },
  };
}
