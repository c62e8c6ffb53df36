/** Pauses and resumes the jobs of a user. The dialog names them, because the list of users changes its order. */
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { useOps } from "./ops.ts";
import { useSending } from "./sending.ts";

/** A user, and whether their jobs are paused. */
export interface PausedUser {
  user_id: string;
  name: string;
  isPaused: boolean;
}

/** The dialog. */
export function PauseDialog(
  { user: { user_id, name, isPaused }, onClose }: {
    user: PausedUser;
    onClose: () => void;
  },
) {
  const ops = useOps();
  const { isBusy, isShown, send } = useSending();
  const act = async () => {
    const isDone = await ops.act(
      isPaused ? "resume" : "pause",
      { user_id },
      ({ is_paused }) =>
        is_paused
          ? `The jobs of ${name} wait until you resume them.`
          : `The jobs of ${name} run again.`,
    );
    if (isDone && isShown()) onClose();
  };
  const word = isPaused ? "Resume" : "Pause";
  return (
    <Dialog
      title={`${word} the jobs of ${name}`}
      onClose={onClose}
      actions={
        <Button
          kind="primary"
          icon={isPaused ? "play" : "pause"}
          isBusy={isBusy}
          onClick={() => send(act)}
        >
          {word}
        </Button>
      }
    >
      <p>
        {isPaused
          ? "Their waiting jobs run again."
          : "Jobs in flight finish. The others wait until you resume them."}
      </p>
    </Dialog>
  );
}
