/** Runs the simulated providers in a separate process. */
import { fromFileUrl, join } from "@std/path";
import { type GuardedChild, spawnGuarded } from "../process/child.ts";
import type { LogBook } from "../console/log-book.ts";
import { simulatedWebhookSecret } from "../project/providers.ts";
import { StackError } from "../console/stack-error.ts";

const program = new URL("../../simulators/main.ts", import.meta.url);
const repository = new URL("../../../", import.meta.url);

/** The process of the simulated providers. */
export interface SimulatorProcess {
  /** `http://127.0.0.1:<port>` */
  url: string;
  end: GuardedChild["end"];
}

const LISTENING = "simulators listening on ";

/**
 * Starts `dev/simulators` on a port that it chooses itself, so that none can be taken in between, and resolves once it
 * listens. Throws {@link StackError} with its output when it does not.
 *
 * @param memoryDir folder for the providers' state; without it the state is lost when they end.
 */
export async function startSimulators(
  logs: LogBook,
  memoryDir?: string,
): Promise<SimulatorProcess> {
  const ready = Promise.withResolvers<string>();
  const words: string[] = [];
  const child = await spawnGuarded({
    command: [
      Deno.execPath(),
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      ...(memoryDir === undefined ? [] : [`--allow-write=${memoryDir}`]),
      fromFileUrl(program),
      ...(memoryDir === undefined
        ? []
        : ["--state", join(memoryDir, "state.sqlite")]),
    ],
    env: { ...Deno.env.toObject(), NO_COLOR: "1" },
    cwd: fromFileUrl(repository),
    endSignal: "TERM",
    graceSeconds: 2,
    onLine(stream, line) {
      words.push(line);
      if (words.length > 20) words.shift();
      if (line.startsWith(LISTENING)) {
        ready.resolve(line.slice(LISTENING.length));
      } else logs.add("simulators", stream, line);
    },
  });
  child.exited.then((code) =>
    ready.reject(
      new StackError(
        `The simulated providers did not start (code ${code}). Their output:\n${
          words.join("\n")
        }`,
      ),
    )
  );
  return { url: await ready.promise, end: child.end };
}

/** Registers the webhook endpoints at the simulated ElevenLabs and HeyGen, as at the real ones. */
export async function registerWebhooks(
  simulatorUrl: string,
  webhookUrl: string,
): Promise<void> {
  const response = await fetch(`${simulatorUrl}/_control/settings`, {
    method: "POST",
    body: JSON.stringify({
      elevenlabs: {
        webhook_endpoint: {
          url: `${webhookUrl}/elevenlabs`,
          secret: simulatedWebhookSecret,
        },
      },
      heygen: {
        webhook_endpoint: {
          url: `${webhookUrl}/heygen`,
          secret: simulatedWebhookSecret,
        },
      },
    }),
  });
  const answer = await response.text();
  if (!response.ok) {
    throw new StackError(`A simulator refused a webhook endpoint: ${answer}`);
  }
}
