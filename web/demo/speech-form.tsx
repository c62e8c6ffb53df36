/** The form that speaks a text. */
import { useEffect } from "preact/hooks";
import { Field } from "../parts/field.tsx";
import { query } from "../shell/router.tsx";
import { clearSent } from "./drafts.ts";
import { JobForm, VoiceSelect } from "./form.tsx";
import { useStudio } from "./studio.ts";

/** Maximum number of characters that the provider accepts for one speech. */
const MAX_CHARACTERS = 50_000;

/** The form. */
export function SpeechForm() {
  const { drafts } = useStudio();
  const { text, voice } = drafts.speech;
  const wanted = query.value.get("voice");
  useEffect(() => {
    if (wanted !== null) voice.value = wanted;
  }, [wanted]);
  const { length } = text.value.trim();
  return (
    <JobForm
      type="text_to_speech"
      action="Speak it"
      problem={length === 0
        ? "Write what the voice should say."
        : voice.value === ""
        ? "Your voices are still loading. Try again in a moment."
        : length > MAX_CHARACTERS
        ? `These are ${length} characters; the limit is ${MAX_CHARACTERS}.`
        : undefined}
      submit={async (submission) => {
        const written = text.value;
        await submission.create({
          job_type: "text_to_speech",
          metadata: { text: written.trim(), voice_id: voice.value },
        });
        clearSent(text, written, "");
      }}
    >
      <Field label="Voice">
        {(id) => <VoiceSelect id={id} value={voice} />}
      </Field>
      <Field
        label="What should it say?"
        hint={length === 0
          ? "A sentence, a letter, a bedtime story."
          : `${length} characters`}
      >
        {(id, hint) => (
          <textarea
            id={id}
            aria-describedby={hint}
            rows={5}
            placeholder="Good night, little one. Sleep well."
            value={text}
            onInput={(event) => text.value = event.currentTarget.value}
          />
        )}
      </Field>
    </JobForm>
  );
}
