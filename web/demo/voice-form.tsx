/** The form that clones a voice. */
import { useSignal } from "@preact/signals";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { toast } from "../parts/toast.tsx";
import { checkFile } from "./file-checks.ts";
import { clearSent } from "./drafts.ts";
import { JobForm } from "./form.tsx";
import { RecordingPicker } from "./pickers.tsx";
import { rowsOf, useStudio, type Voice } from "./studio.ts";

function OwnVoices() {
  const studio = useStudio();
  const leaving = useSignal<Voice | null>(null);
  const own = (studio.voices.value ?? []).filter(({ isOwn }) => isOwn);
  if (own.length === 0) return null;
  const remove = (voice: Voice) =>
    studio.attempt(async () => {
      leaving.value = null;
      rowsOf(
        await studio.backend.supabase.from("voices").delete()
          .eq("id", voice.id).select("id"),
      );
      studio.forgetVoice(voice.id);
      toast(`“${voice.name}” is deleted.`);
      await studio.load();
    });
  return (
    <section class="stack tight" aria-labelledby="own-voices">
      <h3 id="own-voices">Your voices</h3>
      <ul class="chips">
        {own.map((voice) => (
          <li key={voice.id}>
            {voice.name}
            <Button
              kind="quiet"
              isSmall
              icon="close"
              label={`Delete ${voice.name}`}
              onClick={() => leaving.value = voice}
            />
          </li>
        ))}
      </ul>
      {leaving.value !== null && (
        <Dialog
          title={`Delete “${leaving.value.name}”?`}
          onClose={() => leaving.value = null}
          actions={
            <Button
              kind="danger"
              onClick={() => leaving.value && remove(leaving.value)}
            >
              Delete the voice
            </Button>
          }
        >
          <p>
            What it has spoken stays. To speak again, it has to be cloned again.
          </p>
        </Dialog>
      )}
    </section>
  );
}

/** The form. */
export function VoiceForm() {
  const studio = useStudio();
  const { recording: file, name } = studio.drafts.voice;
  const ready = (chosen: File) =>
    checkFile(chosen, /^(audio|video\/(mp4|webm))/, "a recording", maxBytes);
  const maxBytes = studio.offers.value?.get("voice_clone")?.maxBytes ?? 1e7;
  return (
    <>
      <JobForm
        type="voice_clone"
        action="Clone the voice"
        problem={file.value === null
          ? "Record something or choose a file first."
          : name.value.trim() === ""
          ? "Give the voice a name."
          : undefined}
        submit={async (submission) => {
          const [chosen, typed] = [file.value, name.value];
          if (chosen === null) return;
          const { input_url } = await submission.upload(
            chosen,
            "voice-samples",
            ready,
          );
          const { id } = await submission.create({
            job_type: "voice_clone",
            input_url,
            metadata: { voice_name: typed.trim() },
          });
          clearSent(file, chosen, null);
          clearSent(name, typed, "");
          toast("The voice is being cloned.", "good", id);
        }}
      >
        <RecordingPicker
          file={file.value}
          hint="MP3, WAV, M4A, OGG or WebM, up to 10 MB"
          ready={ready}
          onFile={(chosen) => file.value = chosen}
        />
        <Field
          label="Whose voice is it?"
          hint="Ask them for permission first."
        >
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              maxLength={100}
              placeholder="Grandma"
              value={name}
              onInput={(event) => name.value = event.currentTarget.value}
            />
          )}
        </Field>
      </JobForm>
      <OwnVoices />
    </>
  );
}
