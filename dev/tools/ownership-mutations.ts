/**
 * Breaks the protection of the data in every way that the catalogue knows, one at a time, and fails when the ownership
 * matrix does not detect one (tests/functions/ownership/README.md).
 *
 * usage: deno task test:mutations [--write] [--only TEXT] [--count N] [--seed N]
 *
 * Without --count all mutants are tried. --write puts their number into the README when none survives.
 */
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl } from "@std/path";
import { z } from "zod";
import { FULL_LOCK } from "./lock-rules.ts";

const usage =
  "usage: deno task test:mutations [--write] [--only TEXT] [--count N] [--seed N]\n";

const argsSchema = z.strictObject({
  _: z.tuple([]),
  write: z.boolean(),
  only: z.string().optional(),
  count: z.string().regex(/^[1-9]\d*$/).optional(),
  seed: z.string().regex(/^\d+$/).optional(),
  help: z.boolean(),
});

const args = argsSchema.safeParse(
  parseArgs(Deno.args, {
    boolean: ["write", "help"],
    string: ["only", "count", "seed"],
  }),
);
if (!args.success) {
  Deno.stderr.writeSync(new TextEncoder().encode(usage));
  Deno.exit(2);
}
const { write, only, count, seed, help } = args.data;
if (help) {
  Deno.stdout.writeSync(new TextEncoder().encode(usage));
  Deno.exit(0);
}

const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["test", ...FULL_LOCK, "--allow-all", "tests/functions/ownership/"],
  cwd: fromFileUrl(new URL("../../", import.meta.url)),
  env: {
    OWNERSHIP_MUTANTS: count ?? "all",
    ...(only === undefined ? {} : { OWNERSHIP_ONLY: only }),
    ...(seed === undefined ? {} : { OWNERSHIP_SEED: seed }),
    ...(write ? { OWNERSHIP_WRITE: "yes" } : {}),
  },
  stdin: "null",
}).spawn().status;
Deno.exit(code);
