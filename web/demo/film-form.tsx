/** The form that makes a photo talk. */
import { Button } from "../parts/button.tsx";
import { Field } from "../parts/field.tsx";
import { toast } from "../parts/toast.tsx";
import { checkFile } from "./file-checks.ts";
import { readyPhoto, readyRecording } from "./files.ts";
import { clearSent } from "./drafts.ts";
import { JobForm, VoiceSelect } from "./form.tsx";
import { DropZone, RecordingPicker, useFileUrl } from "./pickers.tsx";
import { useStudio } from "./studio.ts";
import type { Submission } from "./submission.ts";

/** The lowest of the providers' limits: docs/job-types.md. */
const RECORDING_MAX_BYTES = 6_000_000;
/** Ten minutes of speech. */
const TEXT_MAX = 7000;

/** The form. */
export function FilmForm() {
  const studio = useStudio();
  const { photo, recording, text, voice, isWritten } = studio.drafts.film;
  const url = useFileUrl(photo.value);
  const maxBytes = studio.offers.value?.get("avatar_video")?.maxBytes ?? 1e7;
  const words = text.value.trim();

  async function submit(submission: Submission): Promise<void> {
    const [chosen, spoken, written, voice_id] = [
      photo.value,
      recording.value,
      text.value,
      voice.value,
    ];
    if (chosen === null) return;
    const sound = isWritten.value || spoken === null
      ? null
      : await readyRecording(spoken, RECORDING_MAX_BYTES);
    const portrait = await submission.upload(
      chosen,
      "uploads",
      (file) => readyPhoto(file, maxBytes),
    );
    const name = chosen.name.replace(/\.\w+$/, "");
    let film;
    if (spoken === null || sound === null) {
      const speech = await submission.create({
        job_type: "text_to_speech",
        metadata: { text: words, voice_id },
      });
      film = await submission.create({
        job_type: "avatar_video",
        input_url: portrait.input_url,
        metadata: { name },
        depends_on: speech.id,
      });
    } else {
      const { input_url } = await submission.upload(
        spoken,
        "uploads",
        () => sound,
      );
      film = await submission.create({
        job_type: "avatar_video",
        input_url: portrait.input_url,
        metadata: { name, audio_url: input_url },
      });
    }
    clearSent(photo, chosen, null);
    clearSent(recording, spoken, null);
    clearSent(text, written, "");
    toast(
      "The film is being made. This takes a minute or two.",
      "good",
      film.id,
    );
  }

  return (
    <JobForm
      type="avatar_video"
      action="Make it talk"
      problem={photo.value === null
        ? "Choose a photo first."
        : isWritten.value && words === ""
        ? "Write what the photo should say."
        : isWritten.value && voice.value === ""
        ? "Your voices are still loading. Try again in a moment."
        : isWritten.value && words.length > TEXT_MAX
        ? `These are ${words.length} characters; the limit for a film is ${TEXT_MAX}.`
        : !isWritten.value && recording.value === null
        ? "Record something or choose a file first."
        : undefined}
      submit={submit}
    >
      {url === null
        ? (
          <DropZone
            icon="photo"
            title="Choose or drop a portrait"
            hint="One face, from the front. JPEG or PNG"
            accept="image/*"
            ready={(chosen) => readyPhoto(chosen, maxBytes)}
            onFile={(chosen) => photo.value = chosen}
          />
        )
        : (
          <div class="picked row">
            <img class="face" src={url} alt="The portrait that you chose" />
            <Button
              kind="quiet"
              isSmall
              icon="retry"
              onClick={() => photo.value = null}
            >
              Choose another
            </Button>
          </div>
        )}
      <fieldset class="row">
        <legend>It says</legend>
        <div class="segments">
          {[true, false].map((written) => (
            <label key={String(written)}>
              <input
                type="radio"
                name="film-source"
                checked={isWritten.value === written}
                onChange={() => isWritten.value = written}
              />
              {written ? "what I write" : "what I record"}
            </label>
          ))}
        </div>
      </fieldset>
      {isWritten.value
        ? (
          <>
            <Field label="Voice">
              {(id) => <VoiceSelect id={id} value={voice} />}
            </Field>
            <Field label="Words">
              {(id) => (
                <textarea
                  id={id}
                  rows={3}
                  placeholder="Do you remember the summer at the lake?"
                  value={text}
                  onInput={(event) => text.value = event.currentTarget.value}
                />
              )}
            </Field>
          </>
        )
        : (
          <RecordingPicker
            file={recording.value}
            hint="MP3, WAV or M4A, three minutes at most"
            ready={async (chosen) => {
              checkFile(chosen, /^(audio|video)\//, "a recording", Infinity);
              await readyRecording(chosen, RECORDING_MAX_BYTES);
              return chosen;
            }}
            onFile={(chosen) => recording.value = chosen}
          />
        )}
    </JobForm>
  );
}
