import { assert, assertEquals, assertRejects } from "@std/assert";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { generateKeys } from "../../../../dev/stack/keys/keys.ts";
import { TokenExchange } from "../../../../dev/stack/keys/tokens.ts";

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

function innerToken(secret: string, claims: Record<string, unknown>) {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" })
    .setExpirationTime(inAnHour()).sign(new TextEncoder().encode(secret));
}

Deno.test("tokens: an outer token is ES256 with more claims, and its inner form keeps all of them", async () => {
  const keys = await generateKeys();
  const tokens = new TokenExchange(keys);
  const inner = await innerToken(keys.internalJwtSecret, { sub: "ann" });
  const outer = await tokens.toOuter(inner, { iss: "me" });
  assertEquals(decodeProtectedHeader(outer).alg, "ES256");
  assertEquals(decodeProtectedHeader(outer).kid, tokens.jwks.keys[0]?.["kid"]);
  assertEquals((await tokens.check(outer)).state, "valid");
  const back = await tokens.toInner(outer);
  assert(back !== undefined);
  assertEquals(decodeProtectedHeader(back).alg, "HS256");
  assertEquals(decodeJwt(back), decodeJwt(outer));
  assertEquals((await tokens.verifyInner(back)).sub, "ann");
});

Deno.test("tokens: a token of another project has no inner form", async () => {
  const keys = await generateKeys();
  const tokens = new TokenExchange(keys);
  const otherProject = new TokenExchange(await generateKeys());
  const forged = await otherProject.sign({ sub: "ann", exp: inAnHour() });
  const inner = await innerToken(keys.internalJwtSecret, { sub: "ann" });
  const cases = [
    [forged, "forged"],
    [inner, "wrong-algorithm"],
    ["a.b.c", "malformed"],
    ["", "malformed"],
  ];
  for (const [token = "", state] of cases) {
    assertEquals((await tokens.check(token)).state, state);
    assertEquals(await tokens.toInner(token), undefined);
  }
});

Deno.test("tokens: an expired one stays expired, even if it was used while it was valid", async () => {
  const tokens = new TokenExchange(await generateKeys());
  const ended = await tokens.sign({ sub: "ann", exp: inAnHour() - 7200 });
  assertEquals((await tokens.check(ended)).state, "expired");
  const inner = await tokens.toInner(ended);
  assert(inner !== undefined, "the service must refuse it as expired");
  await assertRejects(() => tokens.verifyInner(inner), Error, "exp");

  let ending: string;
  do {
    ending = await tokens.sign({
      sub: "ann",
      exp: Math.floor(Date.now() / 1000) + 1,
    });
    await tokens.toInner(ending);
    // On a busy machine the second may have passed before.
  } while ((await tokens.check(ending)).state !== "valid");
  while (Date.now() / 1000 < (decodeJwt(ending).exp ?? 0)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals((await tokens.check(ending)).state, "expired");
});

Deno.test("tokens: the published key set has no private part", async () => {
  const { jwks } = new TokenExchange(await generateKeys());
  assertEquals(Object.keys(jwks.keys[0] ?? {}).sort(), [
    "alg",
    "crv",
    "ext",
    "key_ops",
    "kid",
    "kty",
    "use",
    "x",
    "y",
  ]);
});
