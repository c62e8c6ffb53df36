/** How to run the tasks of this repository, for messages that say what to do. */

/** The words before `task`: npx where it started this process, else the installed Deno. */
export function denoCommandName(): string {
  return Deno.env.has("npm_execpath")
    ? `npx -y deno@${Deno.version.deno}`
    : "deno";
}
