/**
 * `supabase/.edge-ai-jobs.json`: the installed files, so that a later version can detect what the project has changed.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { MODULES } from "./template.ts";

/** Its path in the project. It belongs in version control. */
export const MANIFEST_PATH = "supabase/.edge-ai-jobs.json";

/** Its content: version, modules, and the checksums of files and config sections as the package installed them. */
export const manifestSchema = z.object({
  version: z.string().regex(/^\d+\.\d+\.\d+/),
  modules: z.array(z.enum(MODULES)),
  files: z.record(z.string(), z.string()),
  sections: z.record(z.string(), z.string()),
});

/** See {@link manifestSchema}. */
export type Manifest = z.infer<typeof manifestSchema>;

/** SHA-256 of a text in hex. Line endings do not count, since Git may change them on checkout. */
export function checksum(text: string): string {
  return createHash("sha256").update(text.replaceAll("\r\n", "\n")).digest(
    "hex",
  );
}
