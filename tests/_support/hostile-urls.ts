/** URLs that disguise their address in every known way. None is the URL of an object of the project. */
import fc from "./fast-check.ts";

/** The ways to write an IPv4 address that URL parsers read as the same host. */
export function writingsOf(address: string): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
  const whole = ((a * 256 + b) * 256 + c) * 256 + d;
  const octal = (part: number) => `0${part.toString(8)}`;
  const hex = (part: number) => `0x${part.toString(16)}`;
  const pair = (high: number, low: number) => (high * 256 + low).toString(16);
  return [
    address,
    `${address}.`,
    [a, b, c, d].map(octal).join("."),
    [a, b, c, d].map(hex).join("."),
    [octal(a), hex(b), c, d].join("."),
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    String(whole),
    hex(whole),
    octal(whole),
    `[::ffff:${address}]`,
    `[::ffff:${pair(a, b)}:${pair(c, d)}]`,
    `[0:0:0:0:0:ffff:${pair(a, b)}:${pair(c, d)}]`,
    `[::${address}]`,
    `[64:ff9b::${address}]`,
    address.replaceAll(".", "\u3002"),
    address.replaceAll(".", "\uff0e"),
    address.replaceAll(".", "%2e"),
    address.replace(
      /[0-9]/g,
      (digit) => String.fromCodePoint(0xff10 + Number(digit)),
    ),
  ];
}

/** Hosts of others: this machine, the network's own, clouds' metadata, other projects, and names like ours. */
export function foreignHosts(ours: string): string[] {
  return [
    ...writingsOf("127.0.0.1"),
    ...writingsOf("169.254.169.254"),
    ...writingsOf("10.0.0.1"),
    "0",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "localhost.",
    "LOCALHOST",
    "metadata.google.internal",
    "another-project.supabase.co",
    "xn--pple-43d.com",
    "аpple.com",
    `evil-${ours}`,
    `${ours}.evil.test`,
    `evil.test.${ours}.`,
    `${ours}.`,
    `${ours}@evil.test`,
    `user:password@${ours}`,
    `evil.test\\@${ours}`,
    `evil.test#@${ours}`,
    `evil.test?@${ours}`,
    `evil.test%00.${ours}`,
    `evil.test%2f@${ours}`,
    `evil.test%23.${ours}`,
    `${ours}%2eevil.test`,
  ];
}

/**
 * URLs on those hosts, with paths that look like an object of our Storage or like something else.
 *
 * @param ours the host (and port) of the project.
 * @param folder `<bucket>/<user id>` of the caller.
 * @param canary the port of the test's listener, if there is one.
 */
export function hostileUrls(
  ours: string,
  folder: string,
  canary?: number,
): fc.Arbitrary<string> {
  const scheme = fc.constantFrom(
    "http://",
    "https://",
    "HtTp://",
    "http:\\\\",
    "http:/\\",
    "ftp://",
    "file://",
    "ws://",
    "gopher://",
    "data://",
    "javascript://",
    "blob:http://",
    " http://",
    "http:\t//",
    "ht\ntp://",
  );
  const host = fc.constantFrom(...foreignHosts(ours));
  const port = fc.constantFrom(
    ...(canary === undefined
      ? ["", ":80", ":443", ":22", ":99999", ":-1"]
      : [`:${canary}`]),
  );
  const object = `${folder}/a.mp3`;
  const path = fc.oneof(
    fc.constantFrom(
      "",
      "/",
      `/storage/v1/object/${object}`,
      `/storage/v1/object/public/${object}`,
      `/storage/v1/object/sign/${object}?token=x`,
      `/storage/v1/object/authenticated/${object}#fragment`,
      "/latest/meta-data/",
      `/redirect?to=http://${ours}/storage/v1/object/${object}`,
      `//${ours}/storage/v1/object/${object}`,
      `/..;/${object}`,
    ),
    fc.webPath(),
  );
  const user = fc.constantFrom("", "", "", "user@", "user:pass@", `${ours}@`);
  return fc.tuple(scheme, user, host, port, path).map((parts) =>
    parts.join("")
  );
}

/**
 * URLs of the project itself that name no object of the caller, and paths that climb out or hide something.
 *
 * @param origin of the project.
 */
export function hostilePaths(
  origin: string,
  folder: string,
): fc.Arbitrary<string> {
  const [bucket = "", user = ""] = folder.split("/");
  const climb = fc.constantFrom(
    "..",
    ".",
    "",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%2f..",
    "..%2f",
    "..%5c",
    "..\\",
    "\\..",
    "\u0000",
    "%00",
    "\u0085",
    "a?b",
    "a#b",
    "a%3fb",
    "a%23b",
    "a%",
    "%zz",
    "%ed%a0%80",
    "\ud800",
    "\u200f/..",
    "..;",
  );
  const plain = fc.tuple(climb, fc.constantFrom("", "/", "x/", "/x"), climb)
    .map(([first, between, last]) =>
      `${bucket}/${user}/${first}${between}${last}/a.mp3`
    ).filter((path) =>
      // Other combinations are unusual, but valid names: a file called `...`, or a folder called `..;`.
      /(^|\/)\.{1,2}(\/|$)|\/\/|[\\%?#]/.test(path) ||
      ["\u0000", "\u0085", "\ud800"].some((part) => path.includes(part))
    );
  const wrongPlace = fc.constantFrom(
    `/storage/v1/object/list/${bucket}`,
    `/storage/v1/object/${bucket}`,
    "/storage/v1/object/",
    `/storage/v1/${folder}/a.mp3`,
    `/storage/v1/object/upload/sign`,
    "/rest/v1/ai_jobs",
    "/functions/v1/process-ai-job",
    "/auth/v1/admin/users",
    `/storage/v1/s3/${folder}/a.mp3`,
    `/storage//v1/object/${folder}/a.mp3`,
    `/STORAGE/v1/object/${folder}/a.mp3`,
    `/storage/v1/object/${bucket}//${user}/a.mp3`,
    `/storage/v1/object/${bucket}/${user}/..%2f..%2fa.mp3`,
    `/storage/v1/object/${bucket}/${user}/%252e%252e/a.mp3`,
    `/storage/v1/object/${bucket}/${user}/a%00.mp3`,
    `/storage/v1/object/${bucket}/${user}/a%5c.mp3`,
    `/storage/v1/object/${bucket}/${user}/a%3f.mp3`,
    `/storage/v1/object/${bucket}/${user}/%ff.mp3`,
    `/storage/v1/object/${bucket}/${user}/%2e%2e%2fa.mp3`,
  ).map((path) => `${origin}${path}`);
  return fc.oneof(plain, wrongPlace);
}
