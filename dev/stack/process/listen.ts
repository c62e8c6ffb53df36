/** The port of the stack: on this machine only, or also on the network when requested. */
import { onFreePort, PortTaken } from "./free-port.ts";
import { describePortInUse } from "./port-owner.ts";
import { StackError } from "../console/stack-error.ts";

const loopback = "127.0.0.1";
const everywhere = "0.0.0.0";

/** Where to listen. */
export interface ListenOptions {
  /** 0 for a free port, whose neighbours no outgoing connection takes. */
  port: number;
  /** An IPv4 address of this machine for other devices, or 0.0.0.0 for all of them; only 127.0.0.1 by default. */
  host?: string | undefined;
}

/** A listening server. */
export interface Listening {
  /** `http://127.0.0.1:<port>`; always available. */
  url: string;
  /** URLs for other devices, the most likely first; empty without a host. */
  networkUrls: string[];
  /** Resolves when nothing listens any more and all responses are sent. */
  finished: Promise<void>;
}

/** Networks of containers and virtual machines, which no phone can reach. */
const inner = /^(docker|br-|veth|virbr|vmnet|bridge|podman|cni|utun)/;

/** The IPv4 addresses of this machine that other devices may reach, the most likely first. */
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

/** Converts an error of `Deno.listen` to one message for the terminal where there is one. */
export async function explainListenError(
  error: unknown,
  host: string,
  port: number,
): Promise<unknown> {
  if (error instanceof Deno.errors.AddrInUse) {
    return new PortTaken(await describePortInUse(port), { cause: error });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new StackError(
      `This user may not listen on port ${port}, like most ports below 1024. Choose another one with --port.`,
      { cause: error },
    );
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    const own = networkAddresses();
    return new StackError(
      `${host} is not an address of this machine. --host accepts ${
        [...own, everywhere].join(", ")
      }.`,
      { cause: error },
    );
  }
  return error;
}

/** Throws what {@link listen} does when one of the addresses cannot use the port. */
async function checkPort(hosts: string[], port: number): Promise<void> {
  const tried: Deno.Listener[] = [];
  try {
    for (const hostname of hosts) {
      try {
        tried.push(Deno.listen({ hostname, port }));
      } catch (error) {
        throw await explainListenError(error, hostname, port);
      }
    }
  } finally {
    for (const listener of tried) listener.close();
  }
}

/**
 * Serves requests until `signal` is aborted.
 *
 * @throws {StackError} when the port is in use (with the process that uses it), when this user may not use it, or when
 *   the host is not an address of this machine. Nothing listens then.
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
  const serve = async (port: number) => {
    await checkPort(hosts, port);
    const servers = hosts.map((hostname) =>
      Deno.serve({ hostname, port, signal, onListen() {} }, handler)
    );
    return { free: port, servers };
  };
  const { free, servers } = port === 0
    ? await onFreePort(serve)
    : await serve(port);
  const addresses = isEverywhere ? networkAddresses() : isOther ? [host] : [];
  return {
    url: `http://${loopback}:${free}`,
    networkUrls: addresses.map((address) => `http://${address}:${free}`),
    finished: Promise.all(servers.map(({ finished }) => finished)).then(
      () => {},
    ),
  };
}
