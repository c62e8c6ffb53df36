import { assert, assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import {
  dIdCallbackPath,
  verifyDIdWebhook,
} from "../../../../supabase/functions/_shared/providers/d-id/webhook.ts";
import { verifyElevenLabsWebhook } from "../../../../supabase/functions/_shared/providers/elevenlabs/webhook.ts";
import { verifyHeyGenWebhook } from "../../../../supabase/functions/_shared/providers/heygen/webhook.ts";
import type { VerifiedWebhook } from "../../../../supabase/functions/_shared/providers/webhook.ts";
import fc from "../../../_support/fast-check.ts";

const SECRET = "whsec_0123456789abcdef0123456789abcdef";
const JOB = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const OTHER_JOB = "9c1d7f04-1c8b-4b8e-8f53-2f9b0a6f7e22";
const encode = (text: string) => new TextEncoder().encode(text);
/** A body, to be read in two parts. */
const sent = (text: string) =>
  async function* () {
    const bytes = encode(text);
    yield bytes.subarray(0, 7);
    yield await Promise.resolve(bytes.subarray(7));
  };

/** HMAC-SHA256 in hex, computed independently of the product. */
async function mac(secret: string, text: string): Promise<string> {
  const key = await crypto.subtle.importKey(
    "raw",
    encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const bytes = new Uint8Array(
    await crypto.subtle.sign("HMAC", key, encode(text)),
  );
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** A delivery as a list of texts, everything that is signed and the signature, so that a test can flip any bit. */
interface Scheme {
  name: string;
  /** The parts of the delivery; a change of any of them must be noticed. */
  parts: (body: string) => Promise<string[]>;
  verify: (parts: string[]) => Promise<VerifiedWebhook>;
}

const SCHEMES: Scheme[] = [
  {
    name: "ElevenLabs",
    parts: async (
      body,
    ) => [`t=1795374600,v0=${await mac(SECRET, `1795374600.${body}`)}`, body],
    verify: ([header = "", body = ""]) =>
      verifyElevenLabsWebhook(
        new Headers({ "ElevenLabs-Signature": header }),
        sent(body),
        SECRET,
      ),
  },
  {
    name: "HeyGen",
    parts: async (body) => [await mac(SECRET, body), body],
    verify: ([signature = "", body = ""]) =>
      verifyHeyGenWebhook(
        new Headers({
          "Heygen-Signature": signature,
          "Heygen-Timestamp": "1795374600",
          "Heygen-Event-Id": "evt_1",
        }),
        sent(body),
        SECRET,
      ),
  },
  {
    name: "D-ID",
    parts: () => Promise.resolve(dIdCallbackPath(JOB, SECRET).split("/")),
    verify: ([jobId = "", token = ""]) =>
      verifyDIdWebhook(jobId, token, sent("{}"), SECRET),
  },
];

const refused = (run: () => Promise<unknown>) => async () => {
  const error = await assertRejects(run, AppError);
  assertEquals(error.code, "webhook_signature_invalid");
};

for (const { name, parts, verify } of SCHEMES) {
  Deno.test(`${name}: a delivery that its sender signed is accepted`, async () => {
    const body = '{"status":"done","größe":"✓"}';
    const verified = await verify(await parts(body));
    assert(verified.eventIds.length > 0);
  });

  Deno.test(`${name}: with any one bit flipped, of signature, time, body or id, it is refused`, async () => {
    const body = '{"data":{"request_id":"abc"}}';
    const good = await parts(body);
    for (let part = 0; part < good.length; part++) {
      const text = good[part] ?? "";
      for (let at = 0; at < text.length; at++) {
        for (const bit of [1, 2, 4, 8, 16, 32, 64]) {
          const code = text.charCodeAt(at) ^ bit;
          // A header can contain only visible characters.
          if (code < 32 || code > 126) continue;
          const flipped = text.slice(0, at) + String.fromCharCode(code) +
            text.slice(at + 1);
          const sent = good.map((one, index) => index === part ? flipped : one);
          await refused(() => verify(sent))();
        }
      }
    }
  });

  Deno.test(`${name}: no forged signature is accepted`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: "grapheme-ascii" }),
        fc.string(),
        (signature, body) => refused(() => verify([signature.trim(), body]))(),
      ),
      { numRuns: 500 },
    );
  });
}

Deno.test("ElevenLabs: one of several signatures is enough, as during a change of the secret", async () => {
  const body = "{}";
  const good = await mac(SECRET, `1795374600.${body}`);
  const verified = await verifyElevenLabsWebhook(
    new Headers({
      "elevenlabs-signature": `t=1795374600,v0=${"0".repeat(64)},v0=${good}`,
    }),
    sent(body),
    SECRET,
  );
  assertEquals(verified.sentAtUnix, 1795374600);
  assertEquals(verified.toleranceSeconds, 1800);
});

Deno.test("ElevenLabs: the same body sent at another time is the same event", async () => {
  const at = async (time: number) =>
    (await verifyElevenLabsWebhook(
      new Headers({
        "elevenlabs-signature": `t=${time},v0=${await mac(
          SECRET,
          `${time}.{}`,
        )}`,
      }),
      sent("{}"),
      SECRET,
    )).eventIds;
  assertEquals(await at(1795374600), await at(1795374601));
});

for (
  const [what, headers] of [
    ["without a timestamp", { "heygen-event-id": "evt_1" }],
    ["without an event id", { "heygen-timestamp": "1795374600" }],
    ["with a timestamp that is not a number", {
      "heygen-event-id": "evt_1",
      "heygen-timestamp": "now",
    }],
  ] as const
) {
  Deno.test(`HeyGen: ${what} a signed body is refused`, async () => {
    const body = "{}";
    await refused(async () =>
      verifyHeyGenWebhook(
        new Headers({
          ...headers,
          "heygen-signature": await mac(SECRET, body),
        }),
        sent(body),
        SECRET,
      )
    )();
  });
}

Deno.test("HeyGen: a recorded body under another event id still counts as the same event", async () => {
  const body = "{}";
  const under = async (id: string) =>
    (await verifyHeyGenWebhook(
      new Headers({
        "heygen-signature": await mac(SECRET, body),
        "heygen-timestamp": "1795374600",
        "heygen-event-id": id,
      }),
      sent(body),
      SECRET,
    )).eventIds;
  const [first, second] = [await under("evt_1"), await under("evt_2")];
  assert(first[0] !== second[0]);
  assertEquals(first[1], second[1]);
});

Deno.test("D-ID: the token of one job does not fit another, nor that of another secret", async () => {
  const [, token = ""] = dIdCallbackPath(JOB, SECRET).split("/");
  await refused(() => verifyDIdWebhook(OTHER_JOB, token, sent("{}"), SECRET))();
  await refused(() => verifyDIdWebhook(JOB, token, sent("{}"), `${SECRET}-`))();
});

Deno.test("D-ID: the webhook URL of a job is always the same, and does not reveal the secret", () => {
  const path = dIdCallbackPath(JOB, SECRET);
  assertEquals(path, dIdCallbackPath(JOB, SECRET));
  assert(!path.includes(SECRET));
  assertEquals(path.length, JOB.length + 1 + 64);
});

Deno.test("webhooks: no byte is read of a delivery whose signature is missing or malformed", async () => {
  let reads = 0;
  const body = () => {
    reads++;
    return sent("{}")();
  };
  const hex = "0".repeat(64);
  for (
    const verify of [
      () => verifyElevenLabsWebhook(new Headers(), body, SECRET),
      () =>
        verifyElevenLabsWebhook(
          new Headers({ "ElevenLabs-Signature": "t=1,v0=short" }),
          body,
          SECRET,
        ),
      () => verifyHeyGenWebhook(new Headers(), body, SECRET),
      () => verifyDIdWebhook(JOB, "", body, SECRET),
      () => verifyDIdWebhook(JOB, hex, body, SECRET),
    ]
  ) {
    const error = await assertRejects(verify, AppError);
    assertEquals(error.code, "webhook_signature_invalid");
  }
  assertEquals(reads, 0);
});
