/** Keeps connections between the parts of the stack from going through a proxy. */

const names = ["NO_PROXY", "no_proxy"];
const loopback = ["127.0.0.1", "localhost"];

/**
 * Excludes this machine from the proxy, if the environment names one. Must be called before the first `fetch` of the
 * process, because Deno reads these variables once.
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
