/** The microphone: one recording at a time, in the browser's native format. */
import { type ReadonlySignal, signal } from "@preact/signals";

/** The state of a recorder. */
export type RecorderState =
  | { state: "idle" }
  | { state: "asking" }
  | { state: "recording"; since: number }
  | { state: "refused"; text: string };

/** WebM in Chromium and Firefox, MP4 in Safari. */
const FORMATS = [
  ["audio/webm;codecs=opus", "webm"],
  ["audio/mp4", "m4a"],
  ["audio/ogg;codecs=opus", "ogg"],
] as const;
/** Enough for a voice, and below the ten megabytes that a sample may have. */
const BITS_PER_SECOND = 128_000;
const MAX_RECORDING_MS = 5 * 60_000;

const REFUSALS: Readonly<Record<string, string>> = {
  NotAllowedError:
    "This page may not use the microphone. Allow it next to the address, or choose a file instead.",
  NotFoundError: "There is no microphone here. Choose a file instead.",
  NotReadableError:
    "Another program uses the microphone. Close it, or choose a file instead.",
};

const recordings = new WeakSet<File>();

/** Whether a file was recorded here, so that there is no other copy of it. */
export function isRecording(file: File | null): boolean {
  return file !== null && recordings.has(file);
}

/** Records the microphone. */
export class Recorder {
  readonly #current = signal<RecorderState>({ state: "idle" });
  readonly #level = signal(0);
  readonly #onDone: (file: File) => void;
  #recorder: MediaRecorder | undefined;
  #release: (() => void) | undefined;
  #isOver = false;

  /** `onDone` is called with each recording that is finished. */
  constructor(onDone: (file: File) => void) {
    this.#onDone = onDone;
  }

  /** The state, for components. */
  get current(): ReadonlySignal<RecorderState> {
    return this.#current;
  }

  /** How loud it is now, from 0 to 1. */
  get level(): ReadonlySignal<number> {
    return this.#level;
  }

  /** Starts recording. An obstacle becomes the state `refused`. */
  async start(): Promise<void> {
    const format = FORMATS.find(([type]) =>
      typeof MediaRecorder !== "undefined" &&
      MediaRecorder.isTypeSupported(type)
    );
    // Browsers allow the microphone only over https and on this machine.
    if (navigator.mediaDevices === undefined || format === undefined) {
      this.#current.value = {
        state: "refused",
        text: "This browser cannot record on this page. Choose a file instead.",
      };
      return;
    }
    this.#current.value = { state: "asking" };
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { noiseSuppression: true, echoCancellation: false },
      });
    } catch (error) {
      const name = error instanceof Error ? error.name : "";
      this.#current.value = {
        state: "refused",
        text: REFUSALS[name] ??
          "The microphone cannot be used. Choose a file instead.",
      };
      return;
    }
    const isWanted = !this.#isOver && this.#current.value.state === "asking";
    if (isWanted) this.#record(stream, format);
    else for (const track of stream.getTracks()) track.stop();
  }

  /** Ends the recording and passes it to `onDone`. */
  stop(): void {
    if (this.#recorder?.state === "recording") this.#recorder.stop();
  }

  /** Forgets why the last recording did not start, and starts none if the permission arrives later. */
  forget(): void {
    if (this.#current.value.state !== "recording") {
      this.#current.value = { state: "idle" };
    }
  }

  /** Ends the recording as {@link stop} does, and records no other one. */
  finish(): void {
    this.#isOver = true;
    this.stop();
  }

  #record(
    stream: MediaStream,
    [mimeType, extension]: (typeof FORMATS)[number],
  ): void {
    const parts: Blob[] = [];
    const recorder = new MediaRecorder(stream, {
      mimeType,
      audioBitsPerSecond: BITS_PER_SECOND,
    });
    this.#recorder = recorder;
    const limit = setTimeout(() => this.stop(), MAX_RECORDING_MS);
    const stopLevel = this.#follow(stream);
    this.#release = () => {
      clearTimeout(limit);
      stopLevel();
      for (const track of stream.getTracks()) track.stop();
    };
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => {
      this.#release?.();
      this.#release = undefined;
      this.#current.value = { state: "idle" };
      const file = new File(parts, `recording.${extension}`, {
        type: recorder.mimeType,
      });
      recordings.add(file);
      this.#onDone(file);
    };
    recorder.start(1000);
    this.#current.value = { state: "recording", since: Date.now() };
  }

  #follow(stream: MediaStream): () => void {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0);
      this.#level.value = Math.min(1, Math.sqrt(power / samples.length) * 5);
    }, 80);
    return () => {
      clearInterval(timer);
      this.#level.value = 0;
      void context.close();
    };
  }
}
