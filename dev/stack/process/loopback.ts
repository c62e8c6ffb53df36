/** Keeps what the parts of the stack say to each other away from a proxy. */

const names = ["NO_PROXY", "no_proxy"];
const loopback = ["127.0.0.1", "localhost"];

/**
 * Adds this machine to the addresses that are reached without the proxy, when the environment names one. Must come
 * before the first `fetch` of the process: Deno reads these variables once.
 */
export function bypassProxyForLoopback(): void {
  for (const name of names) {
    const given = Deno.env.get(name)?.split(",").map((host) => host.trim())
      .filter((host) => host !== "") ?? [];
    const missing = loopback.filter((host) => !given.includes(host));
    if (missing.length > 0) {
      Deno.env.set(name, [...given, ...missing].join(","));
    }
  }
}
