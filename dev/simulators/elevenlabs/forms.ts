/** The multipart forms that the simulated ElevenLabs accepts. */
import { z } from "zod";
import type { ValidationIssue } from "./errors.ts";
import type { Sample } from "./voices.ts";
import type { ReceivedRequest } from "../provider.ts";
import { decodedSeconds, sha256 } from "../sound.ts";

/** Uploads with less decodable sound are refused as corrupted. */
const MINIMUM_SECONDS = 1;

const labelsSchema = z.record(z.string(), z.string());

/** The multipart form of a clone or an edit. Empty texts count as absent, as on the real service. */
export interface VoiceForm {
  readonly name: string | null;
  readonly description: string | null;
  readonly labels: Record<string, string>;
  readonly removeBackgroundNoise: boolean;
  readonly files: readonly File[];
  readonly issues: readonly ValidationIssue[];
}

/** The parsed text, or undefined when it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The issues of a zod error in the form of a 422 body; `where` is `body` or `query`. */
export function toIssues(where: string, error: z.ZodError): ValidationIssue[] {
  return error.issues.map(({ path, message }) => ({
    loc: [
      where,
      ...path.map((part) => typeof part === "number" ? part : String(part)),
    ],
    msg: message,
    type: "value_error",
  }));
}

/** The form of a request, or null when the body is not multipart or cannot be parsed. */
export async function readForm(
  request: ReceivedRequest,
): Promise<VoiceForm | null> {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) return null;
  let form: FormData;
  try {
    form = await new Response(request.body, {
      headers: { "content-type": type },
    }).formData();
  } catch {
    return null;
  }
  const text = (name: string): string | null => {
    const value = form.get(name);
    return typeof value === "string" && value !== "" ? value : null;
  };
  const parts = form.getAll("files");
  const labels = labelsSchema.safeParse(parseJson(text("labels") ?? "{}"));
  return {
    name: text("name"),
    description: text("description"),
    labels: labels.data ?? {},
    removeBackgroundNoise: text("remove_background_noise") === "true",
    files: parts.filter((part) => part instanceof File),
    issues: [
      ...parts.flatMap((part, index): ValidationIssue[] =>
        typeof part === "string"
          ? [{
            loc: ["body", "files", index],
            msg: "Expected UploadFile, received: <class 'str'>",
            type: "value_error",
          }]
          : []
      ),
      ...(labels.success ? [] : [{
        loc: ["body", "labels"],
        msg: "labels must be a JSON object of strings",
        type: "value_error",
      }]),
    ],
  };
}

/** The files as samples, or null when one of them does not decode to at least a second of sound. */
export async function readSamples(
  files: readonly File[],
): Promise<Sample[] | null> {
  const samples: Sample[] = [];
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const seconds = await decodedSeconds(bytes);
    if (seconds === null || seconds < MINIMUM_SECONDS) return null;
    samples.push({
      name: file.name,
      type: file.type,
      bytes: bytes.length,
      sha256: await sha256(bytes),
      seconds: Math.round(seconds * 1000) / 1000,
    });
  }
  return samples;
}
