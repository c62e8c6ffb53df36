/**
 * The programs that started this one and wait for it: npm, `deno task`, a test runner. None of them can signal its child
 * when it is killed.
 */
import { type ProcessFacts, readProcess } from "./processes.ts";

/** A shell may have started this in the background and be done: that it ends says nothing. */
const shell = /^-?(?:ba|z|da|k|a|fi|tc|c)?sh$/;
/** `/proc` costs nothing; elsewhere a program has to be started to look. */
const lookAgainMs = Deno.build.os === "linux" ? 300 : 1000;

/**
 * Those of the ancestors of a process, nearest first, that wait for it: its parent, and of the others in its process
 * group all that are no shells. What is above the group is the terminal, or what the terminal runs in.
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

/** Undefined when the parent of this process is over already. */
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
 * Resolves when one of the programs that this one was started by is over, however it ended; never when there is none.
 * Waiting for it keeps no process alive.
 */
export async function endOfLaunchers(): Promise<void> {
  const launchers = await findLaunchers();
  if (launchers === undefined) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = async () => {
    if ((await Promise.all(launchers.map(isOver))).includes(true)) resolve();
    else Deno.unrefTimer(setTimeout(look, lookAgainMs));
  };
  if (launchers.length > 0) await look();
  await promise;
}

/** Ends this process with code 1, and so its guarded children, when one of the programs that it was started by is over. */
export function exitWithLaunchers(): void {
  endOfLaunchers().then(() => Deno.exit(1));
}
