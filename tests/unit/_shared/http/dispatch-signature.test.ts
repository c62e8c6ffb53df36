import { assert, assertEquals, assertRejects } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { AppError } from "../../../../supabase/functions/_shared/failures/app-error.ts";
import { verifyDispatchSignature } from "../../../../supabase/functions/_shared/http/dispatch-signature.ts";

const SECRET = `whsec_${btoa("a secret of thirty-two bytes, ok")}`;
const OTHER_SECRET = `whsec_${btoa("another secret of thirty-2 bytes")}`;
const BODY =
  '{"type": "INSERT", "record": {"id": "00000000-0000-4000-8000-00000000000a"}, "note": "Großmütter"}';
const SENT_AT = new Date("2026-01-01T00:00:00Z");
const UNIX = SENT_AT.getTime() / 1000;

/** The `webhook-signature` of the npm package `standardwebhooks`. */
function sign(
  { secret = SECRET, id = "msg_1", sentAt = SENT_AT, body = BODY } = {},
): string {
  return new Webhook(secret).sign(id, sentAt, body);
}

/** The headers of a correctly signed dispatch, with some of them changed or, if undefined, omitted. */
function headers(change: Record<string, string | undefined> = {}): Headers {
  const all = {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(UNIX),
    "webhook-signature": sign(),
    ...change,
  };
  return new Headers(
    Object.entries(all).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]]
    ),
  );
}

const verify = (given: Headers, body = BODY) =>
  verifyDispatchSignature(given, () => Promise.resolve(body), SECRET);

async function refused(given: Headers, body = BODY): Promise<void> {
  const error = await assertRejects(() => verify(given, body), AppError);
  assertEquals(error.code, "dispatch_signature_invalid");
  assertEquals(error.status, 401);
}

Deno.test("verifyDispatchSignature: accepts a signature of the standardwebhooks package, returns id and time", async () => {
  assertEquals(await verify(headers()), {
    messageId: "msg_1",
    sentAtUnix: UNIX,
  });
});

Deno.test("verifyDispatchSignature: accepts a secret with and without its prefix", async () => {
  assert(
    await verifyDispatchSignature(
      headers(),
      () => Promise.resolve(BODY),
      SECRET.slice("whsec_".length),
    ),
  );
});

Deno.test("verifyDispatchSignature: an empty body can be signed like any other", async () => {
  assert(
    await verify(headers({ "webhook-signature": sign({ body: "" }) }), ""),
  );
  await refused(headers(), "");
});

Deno.test("verifyDispatchSignature: does not check the age, which the database's clock does", async () => {
  const old = new Date("1999-01-01T00:00:00Z");
  const { sentAtUnix } = await verify(headers({
    "webhook-timestamp": String(old.getTime() / 1000),
    "webhook-signature": sign({ sentAt: old }),
  }));
  assertEquals(sentAtUnix, old.getTime() / 1000);
});

Deno.test("verifyDispatchSignature: refuses another secret", async () => {
  await refused(
    headers({ "webhook-signature": sign({ secret: OTHER_SECRET }) }),
  );
});

for (
  const [why, body] of [
    ["one character more", `${BODY} `],
    ["one character less", BODY.slice(0, -1)],
    ["another id", BODY.replace("000a", "000b")],
    ["the same JSON in another notation", JSON.stringify(JSON.parse(BODY))],
    ["the same letters in other bytes", BODY.normalize("NFD")],
  ] as const
) {
  Deno.test(`verifyDispatchSignature: refuses a body with ${why}, unless that was signed`, async () => {
    await refused(headers(), body);
    assert(
      await verify(headers({ "webhook-signature": sign({ body }) }), body),
    );
  });
}

Deno.test("verifyDispatchSignature: refuses another id, unless that was signed", async () => {
  await refused(headers({ "webhook-id": "msg_2" }));
  assert(
    await verify(headers({
      "webhook-id": "msg_2",
      "webhook-signature": sign({ id: "msg_2" }),
    })),
  );
});

Deno.test("verifyDispatchSignature: refuses another time, unless that was signed", async () => {
  const later = new Date(SENT_AT.getTime() + 1000);
  await refused(headers({ "webhook-timestamp": String(UNIX + 1) }));
  assert(
    await verify(headers({
      "webhook-timestamp": String(UNIX + 1),
      "webhook-signature": sign({ sentAt: later }),
    })),
  );
});

Deno.test("verifyDispatchSignature: of several signatures one valid one is enough, at any position", async () => {
  const wrong = sign({ secret: OTHER_SECRET });
  for (
    const list of [
      [sign(), wrong],
      [wrong, sign()],
      ["v1a,c2lnbmF0dXJl", wrong, sign()],
      ["v1,???", sign()],
      [wrong, wrong, wrong, wrong, sign()],
    ]
  ) assert(await verify(headers({ "webhook-signature": list.join(" ") })));
  await refused(headers({ "webhook-signature": `${wrong} ${wrong}` }));
});

Deno.test("verifyDispatchSignature: checks at most five signatures", async () => {
  const wrong = sign({ secret: OTHER_SECRET });
  const list = [wrong, wrong, wrong, wrong, wrong, sign()];
  await refused(headers({ "webhook-signature": list.join(" ") }));
  assert(
    await verify(headers({ "webhook-signature": list.slice(1).join(" ") })),
  );
});

const good = sign();
const flipped = good.at(3) === "A" ? "B" : "A";
for (
  const [why, change] of [
    ["no id", { "webhook-id": undefined }],
    ["an empty id", { "webhook-id": "" }],
    ["no time", { "webhook-timestamp": undefined }],
    ["an empty time", { "webhook-timestamp": "" }],
    ["no signature", { "webhook-signature": undefined }],
    ["an empty signature", { "webhook-signature": "" }],
    ["the signature without its version", {
      "webhook-signature": good.slice(3),
    }],
    ["an asymmetric signature only", {
      "webhook-signature": good.replace("v1,", "v1a,"),
    }],
    ["another version", { "webhook-signature": good.replace("v1,", "v2,") }],
    ["no base64", { "webhook-signature": "v1,%%%not-base64%%%" }],
    ["a shortened signature", { "webhook-signature": good.slice(0, -8) }],
    ["a signature of nothing", { "webhook-signature": "v1," }],
    ["one character of the signature changed", {
      "webhook-signature": `v1,${flipped}${good.slice(4)}`,
    }],
    ["the signature in hexadecimal", {
      "webhook-signature": `v1,${
        [...atob(good.slice(3))].map((byte) =>
          byte.charCodeAt(0).toString(16).padStart(2, "0")
        ).join("")
      }`,
    }],
    ["a time with a sign", { "webhook-timestamp": `+${UNIX}` }],
    ["a time with a fraction", { "webhook-timestamp": `${UNIX}.0` }],
    ["a time in ISO 8601", { "webhook-timestamp": SENT_AT.toISOString() }],
    ["a time of thirteen digits", { "webhook-timestamp": `${UNIX}000` }],
  ] as const
) {
  Deno.test(`verifyDispatchSignature: refuses ${why}`, async () => {
    await refused(headers(change));
    assert(await verify(headers()));
  });
}

for (
  const [why, id, isAccepted] of [
    [
      "a dot, which would let id and time be split at another place",
      "msg.1",
      false,
    ],
    ["a space", "msg 1", false],
    ["129 characters", "m".repeat(129), false],
    ["128 characters", "m".repeat(128), true],
    ["punctuation", "msg_1-~!", true],
  ] as const
) {
  Deno.test(`verifyDispatchSignature: ${isAccepted ? "accepts" : "refuses"} a correctly signed id with ${why}`, async () => {
    const given = headers({
      "webhook-id": id,
      "webhook-signature": sign({ id }),
    });
    if (isAccepted) assertEquals((await verify(given)).messageId, id);
    else await refused(given);
  });
}

Deno.test("verifyDispatchSignature: reads no byte of a body whose headers have the wrong form", async () => {
  let reads = 0;
  for (
    const change of [
      { "webhook-id": undefined },
      { "webhook-timestamp": "now" },
      { "webhook-signature": undefined },
      { "webhook-signature": "v1,c2hvcnQ=" },
      { "webhook-signature": "v1,!" },
    ]
  ) {
    const error = await assertRejects(
      () =>
        verifyDispatchSignature(headers(change), () => {
          reads++;
          return Promise.resolve(BODY);
        }, SECRET),
      AppError,
    );
    assertEquals(error.code, "dispatch_signature_invalid");
  }
  assertEquals(reads, 0);
});
