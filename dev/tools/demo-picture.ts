/**
 * Draws the output of `deno task demo --all` as docs/demo.svg, the picture in the README.
 *
 * usage: deno task demo:picture
 */
import { fromFileUrl } from "@std/path";
import { drawTerminal } from "./terminal-picture.ts";

const root = fromFileUrl(new URL("../../", import.meta.url));

const { success, stdout } = await new Deno.Command(Deno.execPath(), {
  args: ["run", "--allow-all", "dev/demo/main.ts", "--all"],
  cwd: root,
  env: { NO_COLOR: "1" },
  stdin: "null",
  stderr: "inherit",
}).output();
if (!success) Deno.exit(1);
await Deno.writeTextFile(
  `${root}/docs/demo.svg`,
  drawTerminal(
    "npx -y deno@2.9.6 task demo --all",
    // With the relative paths that a user sees in the project's folder.
    new TextDecoder().decode(stdout).replaceAll(root, ""),
  ),
);
