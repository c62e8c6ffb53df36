/** The port of the stack: on this machine only, or also on the network when requested. */
import { describePortInUse } from "./port-owner.ts";
import { StackError } from "../console/stack-error.ts";

const loopback = "127.0.0.1";
const everywhere = "0.0.0.0";

/** Where to listen. */
export interface ListenOptions {
  /** 0 for any free one. */
  port: number;
  /** An IPv4 address of this machine that others may reach, or 0.0.0.0 for all of them; 127.0.0.1 alone without. */
  host?: string | undefined;
}

/** A port that is listened on. */
export interface Listening {
  /** `http://127.0.0.1:<port>`; always there. */
  url: string;
  /** The same for other machines, the likeliest first; empty when only this one can reach it. */
  networkUrls: string[];
  /** Resolves when nothing listens any more and all answers are sent. */
  finished: Promise<void>;
}

/** Networks of containers and virtual machines, on which no phone is. */
const inner = /^(docker|br-|veth|virbr|vmnet|bridge|podman|cni|utun)/;

/** The IPv4 addresses of this machine that others can have a way to, the likeliest first. */
export function networkAddresses(
  interfaces: { name: string; family: string; address: string }[] = Deno
    .networkInterfaces(),
): string[] {
  const found = interfaces.filter(({ family, address }) =>
    family === "IPv4" && !/^(127|169\.254)\./.test(address)
  );
  return [
    ...found.filter(({ name }) => !inner.test(name)),
    ...found.filter(({ name }) => inner.test(name)),
  ].map(({ address }) => address);
}

/** What to throw for an error of `Deno.listen`: one message for a person, or the error where there is none. */
export async function explainListenError(
  error: unknown,
  host: string,
  port: number,
): Promise<unknown> {
  if (error instanceof Deno.errors.AddrInUse) {
    return new StackError(await describePortInUse(port), { cause: error });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new StackError(
      `This user may not listen on port ${port}, as on most below 1024: choose another one with --port.`,
      { cause: error },
    );
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    const own = networkAddresses();
    return new StackError(
      `${host} is no address of this machine. --host takes ${
        [...own, everywhere].join(", ")
      }.`,
      { cause: error },
    );
  }
  return error;
}

/** The port, or for 0 one that is free, if all the addresses can be listened on. */
async function findFree(hosts: string[], port: number): Promise<number> {
  const tried: Deno.Listener[] = [];
  let free = port;
  try {
    for (const hostname of hosts) {
      try {
        const listener = Deno.listen({ hostname, port: free });
        tried.push(listener);
        free = listener.addr.port;
      } catch (error) {
        throw await explainListenError(error, hostname, free);
      }
    }
    return free;
  } finally {
    for (const listener of tried) listener.close();
  }
}

/**
 * Serves requests until `signal` is aborted.
 *
 * Throws {@link StackError} when the port is in use, with who uses it, when this user may not listen on it, and when
 * the host is no address of this machine. Nothing listens then.
 */
export async function listen(
  { port, host = loopback }: ListenOptions,
  handler: Deno.ServeHandler<Deno.NetAddr>,
  signal: AbortSignal,
): Promise<Listening> {
  const isEverywhere = host === everywhere;
  const isOther = !isEverywhere && !host.startsWith("127.");
  // The stack's own parts always connect through 127.0.0.1.
  const hosts = isEverywhere ? [host] : isOther ? [loopback, host] : [loopback];
  const free = await findFree(hosts, port);
  const servers = hosts.map((hostname) =>
    Deno.serve({ hostname, port: free, signal, onListen() {} }, handler)
  );
  const addresses = isEverywhere ? networkAddresses() : isOther ? [host] : [];
  return {
    url: `http://${loopback}:${free}`,
    networkUrls: addresses.map((address) => `http://${address}:${free}`),
    finished: Promise.all(servers.map(({ finished }) => finished)).then(
      () => {},
    ),
  };
}
