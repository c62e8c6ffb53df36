/** All contenders, in the order in which they take turns. */
import type { Environment } from "../environment.ts";
import { versionOf } from "../report/machine.ts";
import type { Contender } from "./contender.ts";
import { directContender } from "./direct.ts";
import { embeddedContender } from "./embedded.ts";
import { EngineDatabase } from "./engine.ts";
import { graphileWorkerContender } from "./graphile-worker.ts";
import { pgBossContender } from "./pg-boss.ts";

/** Their names. */
export const CONTENDERS = [
  "embedded",
  "graphile-worker",
  "direct",
  "pg-boss",
  "graphile-worker-tuned",
  "pg-boss-tuned",
] as const;

/** Creates the contenders with these names, or all. They are disposed with the stack `parts`. */
export async function makeContenders(
  environment: Environment,
  names: readonly string[],
  parts: AsyncDisposableStack,
): Promise<Contender[]> {
  const isWanted = (name: string) => names.length === 0 || names.includes(name);
  const engine = await EngineDatabase.prepare(environment);
  parts.defer(() => engine.dispose());
  const contenders: Contender[] = [];
  for (const name of CONTENDERS) {
    if (!isWanted(name)) continue;
    const contender = await make(environment, engine, name);
    parts.defer(() => contender.dispose());
    contenders.push(contender);
  }
  return contenders;
}

async function make(
  environment: Environment,
  engine: EngineDatabase,
  name: (typeof CONTENDERS)[number],
): Promise<Contender> {
  switch (name) {
    case "embedded":
      return embeddedContender(environment, engine);
    case "direct":
      return directContender(environment, engine);
    case "graphile-worker":
    case "graphile-worker-tuned":
      return await graphileWorkerContender(
        environment,
        await versionOf("graphile-worker"),
        name.endsWith("tuned"),
      );
    case "pg-boss":
    case "pg-boss-tuned":
      return await pgBossContender(
        environment,
        await versionOf("pg-boss"),
        name.endsWith("tuned"),
      );
  }
}
