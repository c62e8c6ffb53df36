/** A button that acts. */
import type { ComponentProps } from "preact";
import { Button } from "../parts/button.tsx";
import { useSending } from "./sending.ts";

/** A button that is busy until `act` settles: with {@link Ops.act}, until it shows the state after the action. */
export function ActButton(
  { act, ...button }:
    & Omit<ComponentProps<typeof Button>, "onClick" | "isBusy">
    & { act: () => Promise<unknown> },
) {
  const { isBusy, send } = useSending();
  return <Button {...button} isBusy={isBusy} onClick={() => send(act)} />;
}
