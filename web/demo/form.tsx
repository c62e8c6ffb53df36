/** The common part of the studio's forms: a button that is busy while files are sent, and the error. */
import { type Signal, useSignal } from "@preact/signals";
import { type ComponentChildren, createContext } from "preact";
import type { JobType } from "../../client/mod.ts";
import { Button } from "../parts/button.tsx";
import { Notice } from "../parts/notice.tsx";
import { Progress } from "../parts/progress.tsx";
import { toast } from "../parts/toast.tsx";
import { useIsShown } from "../shell/shown.ts";
import { useStudio } from "./studio.ts";
import type { Submission } from "./submission.ts";

/** Shows what is wrong with a choice as the message of the form around it; null removes the message. */
export const FormProblem = createContext<(problem: string | null) => void>(
  () => {},
);

/** Reports what has to end before the form can be sent, such as a recording; null when it has ended. */
export const FormHold = createContext<(hold: string | null) => void>(() => {});

/** A form for a job; `submit` sends it. */
export function JobForm(
  { type, action, problem, submit, children }: {
    type: JobType;
    action: string;
    /** What is missing before it can be sent; shown when the user submits anyway. */
    problem: string | undefined;
    submit: (submission: Submission) => Promise<unknown>;
    children: ComponentChildren;
  },
) {
  const studio = useStudio();
  const submission = studio.submissionOf(type);
  const { sent, problem: refusal, wasIncomplete } = submission;
  const clear = () => submission.clear();
  const isShown = useIsShown();
  const hold = useSignal<string | null>(null);
  const missing = hold.value ?? problem;
  const offers = studio.offers.value;
  if (offers !== null && !offers.has(type)) {
    return (
      <Notice kind="warn">
        This is switched off at the moment. Come back later.
      </Notice>
    );
  }
  async function send(): Promise<void> {
    if (sent.value !== null) return;
    refusal.value = null;
    wasIncomplete.value = missing !== undefined;
    if (missing !== undefined) return;
    try {
      await submission.send(submit);
    } catch (error) {
      if (!studio.isCurrent) return;
      refusal.value = studio.explain(error);
      if (!isShown()) toast(refusal.value, "bad");
    }
  }
  // The notice disappears as soon as the missing input is there.
  const shown = wasIncomplete.value ? missing : refusal.value;
  return (
    <form
      class="stack"
      noValidate
      onClickCapture={({ target }) => {
        const isSending = target instanceof Element &&
          target.closest("[type=submit]") !== null;
        if (!isSending) clear();
      }}
      onInput={clear}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <FormProblem.Provider
        value={(text) => {
          clear();
          refusal.value = text;
        }}
      >
        <FormHold.Provider value={(text) => hold.value = text}>
          {children}
        </FormHold.Provider>
      </FormProblem.Provider>
      {shown !== undefined && shown !== null && (
        <Notice kind="bad">{shown}</Notice>
      )}
      {sent.value !== null && sent.value > 0 && (
        <Progress label="Sending your files" value={sent.value} />
      )}
      <div class="row">
        <Button kind="primary" type="submit" isBusy={sent.value !== null}>
          {action}
        </Button>
      </div>
    </form>
  );
}

/** A choice of voices: the user's own, and ready-made ones. */
export function VoiceSelect(
  { id, value }: { id: string; value: Signal<string> },
) {
  const voices = useStudio().voices.value ?? [];
  const chosen = voices.find((voice) => voice.id === value.value) ?? voices[0];
  if (chosen !== undefined && chosen.id !== value.peek()) {
    value.value = chosen.id;
  }
  const options = (isOwn: boolean) =>
    voices.filter((voice) => voice.isOwn === isOwn).map((voice) => (
      <option key={voice.id} value={voice.id} selected={voice === chosen}>
        {voice.name}
      </option>
    ));
  return (
    <select
      id={id}
      value={chosen?.id ?? ""}
      onChange={(event) => value.value = event.currentTarget.value}
    >
      {voices.some((voice) => voice.isOwn) && (
        <optgroup label="Your voices">{options(true)}</optgroup>
      )}
      <optgroup label="Ready-made">{options(false)}</optgroup>
    </select>
  );
}
