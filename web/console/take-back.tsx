/** Takes back what an operator has answered about a paid call. */
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { useOps } from "./ops.ts";
import { useSending } from "./sending.ts";

/** The dialog. */
export function TakeBack(
  { id, onClose }: { id: string; onClose: () => void },
) {
  const ops = useOps();
  const { isBusy, isShown, send } = useSending();
  const act = async () => {
    await ops.act(
      "take_back",
      { job_id: id },
      () => "The answer is taken back. Answer again.",
    );
    if (isShown()) onClose();
  };
  return (
    <Dialog
      title="Take the answer back"
      onClose={onClose}
      actions={
        <Button kind="primary" isBusy={isBusy} onClick={() => send(act)}>
          Take it back
        </Button>
      }
    >
      <p>
        The outcome of the call is unknown again. The job does not run until it
        is answered again.
      </p>
    </Dialog>
  );
}
