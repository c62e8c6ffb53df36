/**
 * Writes `docs/openapi.json` from the contracts.
 *
 * usage: deno task openapi [--check]
 */
import { fromFileUrl } from "@std/path";
import { writeOrCheck } from "../tools/generated-file.ts";
import { openApiText } from "./document.ts";

Deno.exitCode = await writeOrCheck({
  path: fromFileUrl(new URL("../../docs/openapi.json", import.meta.url)),
  content: openApiText(),
  task: "openapi",
}, Deno.args);
