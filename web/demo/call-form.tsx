/** The form that transcribes a call. */
import { Field } from "../parts/field.tsx";
import { toast } from "../parts/toast.tsx";
import { checkFile, typeOf } from "./file-checks.ts";
import { clearSent } from "./drafts.ts";
import { JobForm } from "./form.tsx";
import { RecordingPicker } from "./pickers.tsx";
import { idOf, useStudio } from "./studio.ts";

/** The form. */
export function CallForm() {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const { recording: file, speakers } = studio.drafts.call;
  const maxBytes = studio.offers.value?.get("transcription")?.maxBytes ?? 5e8;
  const ready = (chosen: File) =>
    checkFile(chosen, /^(audio|video)\//, "a recording", maxBytes);
  return (
    <JobForm
      type="transcription"
      action="Transcribe it"
      problem={file.value === null
        ? "Record something or choose a file first."
        : undefined}
      submit={async (submission) => {
        const [chosen, count] = [file.value, speakers.value];
        if (chosen === null) return;
        const { input_url } = await submission.upload(
          chosen,
          "recordings",
          ready,
        );
        const kind = typeOf(chosen).startsWith("video/") ? "video" : "audio";
        const recording_id = await submission.insert(
          ["recording", input_url],
          () => studio.addMedia(kind, chosen, input_url),
        );
        const call_id = await submission.insert(
          ["call", recording_id],
          async () =>
            idOf(
              await supabase.from("calls").insert({
                title: chosen.name.replace(/\.\w+$/, ""),
                recording_id,
              }).select("id").single(),
            ),
        );
        const { id } = await submission.create({
          job_type: "transcription",
          input_url,
          metadata: {
            call_id,
            ...(count === "" ? {} : { speaker_count: Number(count) }),
          },
        });
        clearSent(file, chosen, null);
        toast("The call is being transcribed.", "good", id);
      }}
    >
      <RecordingPicker
        file={file.value}
        hint="A call, an interview, a video; up to 500 MB"
        ready={ready}
        onFile={(chosen) => file.value = chosen}
      />
      <Field label="How many people speak?">
        {(id) => (
          <select
            id={id}
            value={speakers.value}
            onChange={(event) => speakers.value = event.currentTarget.value}
          >
            <option value="">I am not sure</option>
            {[1, 2, 3, 4, 5, 6].map((count) => (
              <option key={count} value={count}>{count}</option>
            ))}
          </select>
        )}
      </Field>
    </JobForm>
  );
}
