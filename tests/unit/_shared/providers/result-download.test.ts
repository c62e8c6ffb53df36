/** The addresses from which a provider's result may be fetched. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { JobFailure } from "../../../../supabase/functions/_shared/failures/job-failure.ts";
import {
  addressProblem,
  isPublicIp,
} from "../../../../supabase/functions/_shared/providers/result-address.ts";
import { createResultDownload } from "../../../../supabase/functions/_shared/providers/result-download.ts";
import { heldTimers } from "../../../_support/held-timers.ts";

const REMOTE = "https://api.d-id.com";
const FILM = "https://results.example.com/film.mp4?Signature=secret";

type Answers = Readonly<Record<string, () => Response>>;

/** A download with canned responses, and the requests that it sent. */
function download(
  answers: Answers,
  options: { providerUrl?: string; dns?: Record<string, string[]> } = {},
) {
  const requests: string[] = [];
  const open = createResultDownload({
    fetch: (input, init) => {
      const url = String(input);
      requests.push(url);
      assertEquals(init?.redirect, "manual");
      assertEquals(init?.headers, undefined);
      const answer = answers[url];
      return answer === undefined
        ? Promise.reject(new TypeError("connection refused"))
        : Promise.resolve(answer());
    },
    resolveHost: (host) => Promise.resolve(options.dns?.[host] ?? []),
  }, options.providerUrl ?? REMOTE);
  return {
    requests,
    open: (address: string, maxBytes = 1000) =>
      open(address, { maxBytes, signal: new AbortController().signal }),
  };
}

const film = () => new Response("film");
const to = (location: string, status = 302) => () =>
  new Response("moved", { status, headers: { location } });

async function refusal(run: Promise<unknown>): Promise<unknown[]> {
  const { code, isRetryable } = await assertRejects(() => run, JobFailure);
  return [code, isRetryable];
}
const REFUSED = ["provider_answer_invalid", false];

/** Hosts that only a worker can reach, in every notation. */
const PRIVATE_HOSTS = [
  "localhost",
  "localhost.",
  "LOCALHOST",
  "api.localhost",
  "127.0.0.1",
  "127.1",
  "2130706433",
  "0x7f000001",
  "0x7f.0.0.1",
  "0177.0.0.1",
  "１２７.0.0.1",
  "0.0.0.0",
  "0",
  "10.1.2.3",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.0.1",
  "192.0.0.192",
  "198.18.0.1",
  "100.64.0.1",
  "100.100.100.200",
  "168.63.129.16",
  "169.254.169.254",
  "169.254.43518",
  "0xa9fea9fe",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "[::]",
  "[::1]",
  "[::ffff:127.0.0.1]",
  "[::ffff:a9fe:a9fe]",
  "[::ffff:0:127.0.0.1]",
  "[::127.0.0.1]",
  "[64:ff9b::a9fe:a9fe]",
  "[2002:7f00:1::]",
  "[2001:0:7f00:1::]",
  "[fe80::1]",
  "[fec0::1]",
  "[fc00::1]",
  "[fd00:ec2::254]",
  "[ff02::1]",
  "[2001:db8::1]",
  "metadata",
  "metadata.google.internal",
  "metadata.google.internal.",
  "printer.local",
  "db.lan",
  "router.home.arpa",
];

for (const host of PRIVATE_HOSTS) {
  Deno.test(`result: ${host} is not fetched, neither directly nor by a redirect`, async () => {
    const direct = download({});
    assertEquals(await refusal(direct.open(`https://${host}/f.mp4`)), REFUSED);
    assertEquals(direct.requests, []);
    // A header is ASCII; the URL parser decodes it.
    const ascii = host.replaceAll(/[^ -~]/gu, encodeURIComponent);
    const redirected = download({ [FILM]: to(`https://${ascii}/f.mp4`) });
    assertEquals(await refusal(redirected.open(FILM)), REFUSED);
    assertEquals(redirected.requests, [FILM]);
  });
}

Deno.test("result: other schemes, plain http and a user in the address are not fetched", async () => {
  for (
    const address of [
      "http://results.example.com/film.mp4",
      "https://user:pass@results.example.com/film.mp4",
      "ftp://results.example.com/film.mp4",
      "file:///etc/passwd",
      "data:video/mp4,film",
      "blob:https://results.example.com/1",
      "not an address",
    ]
  ) {
    const direct = download({});
    assertEquals(await refusal(direct.open(address)), REFUSED, address);
    const redirected = download({ [FILM]: to(address) });
    if (address === "not an address") continue; // a path, when it is a redirect
    assertEquals(await refusal(redirected.open(FILM)), REFUSED, address);
    assertEquals([direct.requests, redirected.requests], [[], [FILM]]);
  }
});

Deno.test("result: public addresses are fetched, by name and by number", async () => {
  for (
    const host of [
      "results.example.com",
      "results.example.com.",
      "93.184.216.34",
      "[2606:2800:220:1:248:1893:25c8:1946]",
      "d-id-talks-prod.s3.us-west-2.amazonaws.com",
    ]
  ) {
    const address = `https://${host}/film.mp4`;
    const { open, requests } = download({ [address]: film });
    assertEquals(await new Response(await open(address)).text(), "film");
    assertEquals(requests, [address]);
  }
});

Deno.test("result: a name with a private address is not fetched, one with public addresses is", async () => {
  const host = "results.example.com";
  for (
    const addresses of [["10.0.0.7"], ["93.184.216.34", "169.254.169.254"], [
      "fd00::1",
    ], ["::ffff:10.0.0.7"]]
  ) {
    const { open, requests } = download({ [FILM]: film }, {
      dns: { [host]: addresses },
    });
    assertEquals(await refusal(open(FILM)), REFUSED);
    assertEquals(requests, []);
  }
  const { open } = download({ [FILM]: film }, {
    dns: { [host]: ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"] },
  });
  assertEquals(await new Response(await open(FILM)).text(), "film");
});

Deno.test("result: redirects are followed, also relative ones, and each is checked; their number is limited", async () => {
  const { open, requests } = download({
    [FILM]: to("/other/film.mp4", 307),
    "https://results.example.com/other/film.mp4": to(
      "https://cdn.example.net/film.mp4",
      301,
    ),
    "https://cdn.example.net/film.mp4": film,
  });
  assertEquals(await new Response(await open(FILM)).text(), "film");
  assertEquals(requests.length, 3);

  const round = download({ [FILM]: to(FILM) });
  assertEquals(await refusal(round.open(FILM)), ["provider_unavailable", true]);
  assertEquals(round.requests.length, 6);
});

Deno.test("result: loopback and plain http are allowed only if the provider itself is there", async () => {
  const address = "http://127.0.0.1:4010/d-id/results/1.mp4";
  for (
    const providerUrl of [
      "http://127.0.0.1:4010/d-id",
      "http://localhost:4010/d-id",
      "http://[::1]:4010/d-id",
    ]
  ) {
    const { open } = download({ [address]: film }, { providerUrl });
    assertEquals(await new Response(await open(address)).text(), "film");
    for (
      const other of [
        "http://10.0.0.1/f",
        "https://10.0.0.1/f",
        "http://results.example.com/f",
        "http://169.254.169.254/f",
      ]
    ) {
      const { open, requests } = download({ [address]: to(other) }, {
        providerUrl,
      });
      assertEquals(await refusal(open(address)), REFUSED, other);
      assertEquals(requests, [address]);
    }
  }
  // A provider on another machine of the network does not make this one trusted.
  for (const providerUrl of [REMOTE, "http://10.0.0.1:4010/d-id"]) {
    const { open, requests } = download({ [address]: film }, { providerUrl });
    assertEquals(await refusal(open(address)), REFUSED);
    assertEquals(requests, []);
  }
});

Deno.test("result: an expired URL gives null, and other errors are retryable", async () => {
  for (const status of [401, 403, 404, 410]) {
    const { open } = download({
      [FILM]: () => new Response("Request has expired", { status }),
    });
    assertEquals(await open(FILM), null);
  }
  for (const status of [302, 400, 429, 500, 503]) {
    const { open } = download({ [FILM]: () => new Response("", { status }) });
    assertEquals(await refusal(open(FILM)), ["provider_unavailable", true]);
  }
  assertEquals(await refusal(download({}).open(FILM)), [
    "provider_unavailable",
    true,
  ]);
});

Deno.test("result: one whose declared length is too large is not downloaded", async () => {
  let isCancelled = false;
  const { open } = download({
    [FILM]: () =>
      new Response(
        new ReadableStream({
          cancel: () => {
            isCancelled = true;
          },
        }),
        { headers: { "content-length": "1001" } },
      ),
  });
  assertEquals(await refusal(open(FILM, 1000)), ["output_too_large", false]);
  assert(isCancelled);
});

Deno.test("result: the log of a refusal has the host, but not the signature", async () => {
  const failure = await assertRejects(
    () => download({}).open("https://10.0.0.1/film.mp4?Signature=secret"),
    JobFailure,
  );
  const cause = failure.cause instanceof Error ? failure.cause.message : "";
  assertEquals(
    cause,
    "the result's address https://10.0.0.1 is not of the public internet",
  );
});

Deno.test("result: without a response it fails after a minute, over all redirects, and is retryable", async () => {
  using timers = heldTimers();
  const signals: AbortSignal[] = [];
  const open = createResultDownload({
    fetch: (_url, init) => {
      const { promise, reject } = Promise.withResolvers<Response>();
      if (init?.signal) {
        const { signal } = init;
        signals.push(signal);
        signal.addEventListener("abort", () => reject(signal.reason));
      }
      return promise;
    },
    resolveHost: () => Promise.resolve([]),
  }, REMOTE);
  const failing = refusal(
    open(FILM, { maxBytes: 1, signal: new AbortController().signal }),
  );
  await timers.pass(59_000);
  assertEquals(signals.map(({ aborted }) => aborted), [false]);
  await timers.pass(1_000);
  assertEquals(await failing, ["provider_unavailable", true]);
});

Deno.test("isPublicIp: false for a text that is not an address", () => {
  for (
    const text of ["", "example.com", "1.2.3.4.5", "[::1]", "fe80::1%eth0"]
  ) {
    assertEquals(isPublicIp(text), false, text);
  }
  assertEquals(isPublicIp("93.184.216.34"), true);
});

Deno.test("addressProblem: explains the problem for the log", () => {
  const problem = (address: string) => addressProblem(new URL(address), false);
  assertEquals([
    problem("http://results.example.com"),
    problem("https://127.1"),
    problem("https://10.1"),
    problem("https://db.internal"),
    problem("https://a:b@results.example.com"),
    problem(FILM),
  ], [
    "is not https",
    "is this machine itself",
    "is not of the public internet",
    "is a name of a private network",
    "contains user information",
    null,
  ]);
});
