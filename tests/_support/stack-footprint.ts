/** What a running stack uses on this machine, and whether all of it is gone. */
import { assert } from "@std/assert";
import { alive, descendants } from "./processes.ts";
import { answersOn, type StackEnv } from "./stack-fixture.ts";

/** Process, ports and folder of a stack: all of it must be gone after the stack has stopped. */
export async function footprint(
  stack: { pid: number; env: Partial<StackEnv> },
): Promise<{ pids: number[]; isGone(): Promise<boolean> }> {
  const { API_URL = "", DB_URL = "", SIMULATOR_URL = "" } = stack.env;
  const urls = [API_URL, DB_URL.replace("postgresql:", "http:"), SIMULATOR_URL]
    .filter((url) => url !== "");
  const children = await descendants(stack.pid);
  const pids = [stack.pid, ...children.map(({ pid }) => pid)];
  const [folder] = children.flatMap(({ command }) =>
    /^\S+\/bin\/postgres -D (\S+)\/data/.exec(command)?.[1] ?? []
  );
  assert(folder !== undefined, "the stack has a Postgres");
  return {
    pids,
    async isGone() {
      if ((await alive(pids)).length > 0) return false;
      for (const url of urls) if (await answersOn(url)) return false;
      return await Deno.lstat(folder).then(() => false, () => true);
    },
  };
}
