/**
 * Decides which URLs a provider's result may be fetched from. The provider chooses them, so a faulty or compromised
 * provider must not lead the worker to hosts that only the worker can reach.
 */
import ipaddr from "ipaddr.js";

/** Names of hosts in private networks. */
const LOCAL_NAME =
  /(^|\.)(local|localdomain|internal|intranet|lan|home|corp|home\.arpa)$/;
/** The part of IPv6 that is allocated (RFC 4291). */
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR("2000::/3");
/** Azure's endpoint for a machine's identity, on an address that counts as public. */
const METADATA = ["168.63.129.16"];

/**
 * Whether an IP address is public: no loopback, private, link-local, shared, multicast or reserved
 * range, nor an IPv6 form of an IPv4 address in one (IPv4-mapped, 6to4, Teredo, NAT64). False for an invalid address.
 */
export function isPublicIp(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const ip = ipaddr.process(address);
  return ip.range() === "unicast" && !METADATA.includes(ip.toString()) &&
    (ip instanceof ipaddr.IPv4 || ip.match(GLOBAL_IPV6));
}

/** Whether a URL's host is this machine itself. */
export function isLoopback({ hostname }: URL): boolean {
  const host = bare(hostname);
  return host === "localhost" || host.endsWith(".localhost") ||
    ipaddr.isValid(host) && ipaddr.process(host).range() === "loopback";
}

/**
 * Why a result must not be fetched from a URL, or null when it may. The URL parser has normalised odd notations of
 * addresses (decimal, octal, hexadecimal, shortened).
 *
 * @param mayBeLocal also allow loopback addresses, over http too: the provider's own address is one.
 */
export function addressProblem(url: URL, mayBeLocal: boolean): string | null {
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return "is not https";
  }
  if (url.username !== "" || url.password !== "") {
    return "contains user information";
  }
  if (isLoopback(url)) {
    return mayBeLocal ? null : "is this machine itself";
  }
  if (url.protocol !== "https:") return "is not https";
  const host = bare(url.hostname);
  if (ipaddr.isValid(host)) {
    return isPublicIp(host) ? null : "is not of the public internet";
  }
  return host.includes(".") && !LOCAL_NAME.test(host)
    ? null
    : "is a name of a private network";
}

/** Without the brackets of an IPv6 address and without the dot that ends a full name. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}
