/**
 * The programs that started this one and wait for it: npm, `deno task`, a test runner. When they are killed, they
 * cannot signal their children.
 */
import { type ProcessFacts, readProcess } from "./processes.ts";

/** A shell may start this in the background and exit, so the end of a shell means nothing. */
const shell = /^-?(?:ba|z|da|k|a|fi|tc|c)?sh$/;
/** `/proc` is cheap to read; elsewhere a program must be started for it. */
const pollMs = Deno.build.os === "linux" ? 300 : 1000;

/**
 * The ancestors of a process that wait for it, nearest first: its parent, and all others in its process group that are
 * not shells. Above the group are the terminal and its parents.
 */
export function launchersAmong(
  { group }: Pick<ProcessFacts, "group">,
  ancestors: ProcessFacts[],
): ProcessFacts[] {
  const outside = ancestors.findIndex((one) => one.group !== group);
  const inside = outside < 0 ? ancestors : ancestors.slice(0, outside);
  return [
    ...ancestors.slice(0, 1),
    ...inside.slice(1).filter(({ name }) => !shell.test(name)),
  ];
}

/** Undefined when the parent of this process has already ended. */
async function findLaunchers(): Promise<ProcessFacts[] | undefined> {
  if (Deno.ppid <= 1) return [];
  const self = await readProcess(Deno.pid);
  const ancestors: ProcessFacts[] = [];
  for (let pid = Deno.ppid; pid > 1;) {
    const one = await readProcess(pid);
    if (one === undefined) break;
    ancestors.push(one);
    pid = one.parent;
  }
  return self === undefined || ancestors.length === 0
    ? undefined
    : launchersAmong(self, ancestors);
}

async function isOver({ pid, started }: ProcessFacts): Promise<boolean> {
  return (await readProcess(pid))?.started !== started;
}

/**
 * Resolves when one of the programs that started this one has ended; never when there is none. Waiting keeps no process
 * alive.
 */
export async function endOfLaunchers(): Promise<void> {
  const launchers = await findLaunchers();
  if (launchers === undefined) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = async () => {
    if ((await Promise.all(launchers.map(isOver))).includes(true)) resolve();
    else Deno.unrefTimer(setTimeout(check, pollMs));
  };
  if (launchers.length > 0) await check();
  await promise;
}

/** Ends this process, and so its guarded children, with code 1 when one of the programs that started it has ended. */
export function exitWithLaunchers(): void {
  endOfLaunchers().then(() => Deno.exit(1));
}
