/** Controls that choose a recording or photos: with the microphone, a click, or drag and drop. */
import { useSignal } from "@preact/signals";
import { useContext, useEffect, useId, useMemo, useRef } from "preact/hooks";
import { Button } from "../parts/button.tsx";
import { Icon, type IconName } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { clockOf, sizeOf } from "../words/times.ts";
import { now } from "./clock.ts";
import { takeFiles } from "./file-checks.ts";
import { FormHold, FormProblem } from "./form.tsx";
import { Recorder } from "./recorder.ts";

/** A field into which files are dropped; a click or the keyboard opens the browser's own dialog. */
export function DropZone(
  { icon, title, hint, accept, isMany = false, choices, ready, onFile }: {
    icon: IconName;
    title: string;
    hint: string;
    accept: string;
    isMany?: boolean;
    /** Counts choices: a file is not used any more when there was another one before it was opened. */
    choices?: { current: number };
    /** The file in the form that is used. Throws a `FileProblem` for one that cannot be used. */
    ready: (file: File) => File | Promise<File>;
    onFile: (file: File) => void;
  },
) {
  const isOver = useSignal(false);
  const report = useContext(FormProblem);
  const id = useId();
  const own = useRef(0);
  const count = choices ?? own;
  const take = async (files: Iterable<File>) => {
    report(null);
    const choice = ++count.current;
    // One file replaces another, also when an earlier one takes longer to open.
    const isWanted = () => isMany || choice === count.current;
    const problem = await takeFiles(
      [...files],
      isMany,
      ready,
      (file) => isWanted() && onFile(file),
    );
    if (problem !== null && isWanted()) report(problem);
  };
  return (
    <label
      for={id}
      class={`drop${isOver.value ? " over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        isOver.value = true;
      }}
      onDragLeave={() => isOver.value = false}
      onDrop={(event) => {
        event.preventDefault();
        isOver.value = false;
        void take(event.dataTransfer?.files ?? []);
      }}
    >
      <input
        id={id}
        class="visually-hidden"
        type="file"
        accept={accept}
        multiple={isMany}
        onChange={({ currentTarget }) => {
          void take(currentTarget.files ?? []);
          // So that the same file can be chosen again.
          currentTarget.value = "";
        }}
      />
      <Icon name={icon} />
      <span>
        <strong>{title}</strong>
        <span class="hint">{hint}</span>
      </span>
    </label>
  );
}

/** The object URL of a file, revoked when the file changes. */
export function useFileUrl(file: Blob | null): string | null {
  const url = useMemo(
    () => file === null ? null : URL.createObjectURL(file),
    [file],
  );
  useEffect(() => () => {
    if (url !== null) URL.revokeObjectURL(url);
  }, [url]);
  return url;
}

const BARS = Array.from(
  { length: 15 },
  (_, index) => Math.sin((index + 1) / 5),
);

/** The recording of a form: made here or chosen. */
export function RecordingPicker(
  { file, hint, ready, onFile }: {
    file: File | null;
    hint: string;
    /** As that of {@link DropZone}, for a chosen file. */
    ready: (file: File) => File | Promise<File>;
    onFile: (file: File | null) => void;
  },
) {
  const recorder = useMemo(() => new Recorder(onFile), []);
  useEffect(() => () => recorder.finish(), []);
  const choices = useRef(0);
  const record = async () => {
    await recorder.start();
    if (recorder.current.peek().state === "recording") choices.current++;
  };
  const url = useFileUrl(file);
  const current = recorder.current.value;
  const hold = useContext(FormHold);
  const isRecording = current.state === "recording";
  useEffect(() => {
    hold(isRecording ? "Stop the recording first." : null);
    return () => hold(null);
  }, [isRecording]);
  if (file !== null && url !== null) {
    return (
      <div class="picked stack tight">
        <div class="row apart">
          <span>
            <strong>{file.name}</strong>{" "}
            <span class="soft small">{sizeOf(file.size)}</span>
          </span>
          <Button
            kind="quiet"
            isSmall
            icon="retry"
            onClick={() => onFile(null)}
          >
            Choose another
          </Button>
        </div>
        <audio controls src={url} aria-label={`Your recording ${file.name}`} />
      </div>
    );
  }
  if (current.state === "recording") {
    const seconds = (now.value - current.since) / 1000;
    return (
      <div class="picked recording">
        <div class="level" aria-hidden="true">
          {BARS.map((height, index) => (
            <i
              key={index}
              style={{
                transform: `scaleY(${
                  Math.max(0.08, recorder.level.value * height)
                })`,
              }}
            />
          ))}
        </div>
        <p>
          <strong>{clockOf(seconds)}</strong>{" "}
          <span class="soft">
            {seconds < 30
              ? "Half a minute or more works best"
              : "That is enough for a good voice"}
          </span>
        </p>
        <Button kind="primary" icon="stop" onClick={() => recorder.stop()}>
          Stop
        </Button>
      </div>
    );
  }
  return (
    <div class="stack tight">
      <div class="pick">
        <button
          type="button"
          class="drop"
          onClick={record}
          aria-busy={current.state === "asking"}
        >
          <Icon name="microphone" />
          <span>
            <strong>
              {current.state === "asking"
                ? "Allow the microphone …"
                : "Record now"}
            </strong>
            <span class="hint">With this device’s microphone</span>
          </span>
        </button>
        <DropZone
          icon="upload"
          title="Choose or drop a file"
          hint={hint}
          accept="audio/*,.m4a,.mp3,.wav,.ogg,.webm,.flac,.aac"
          choices={choices}
          ready={ready}
          onFile={(chosen) => {
            recorder.forget();
            onFile(chosen);
          }}
        />
      </div>
      {current.state === "refused" && (
        <Notice kind="warn">{current.text}</Notice>
      )}
    </div>
  );
}
