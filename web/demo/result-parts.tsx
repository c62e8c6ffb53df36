/** Parts of the results of several job types. */
import { Icon } from "../parts/icon.tsx";

/** Takes the place of a part of a result until it is there, so that nothing below it moves. */
export function Ghost(
  { kind, shape }: {
    kind: "audio" | "film" | "transcript" | "book" | "buttons";
    shape?: string;
  },
) {
  return <div class={`ghost ${kind}`} style={{ aspectRatio: shape }} />;
}

/** A link that downloads the file of a signed URL under a name. */
export function Download({ url, name }: { url: string; name: string }) {
  return (
    <a
      class="button small"
      href={`${url}&download=${encodeURIComponent(name)}`}
    >
      <Icon name="download" /> Download
    </a>
  );
}
