import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { generateKeys, loadKeys } from "../../../../dev/stack/keys/keys.ts";
import { StackError } from "../../../../dev/stack/console/stack-error.ts";

Deno.test("generateKeys: the keys have the form of a hosted project's, and differ every time", async () => {
  const [one, two] = [await generateKeys(), await generateKeys()];
  assertMatch(one.publishableKey, /^sb_publishable_\w{22}_\w{8}$/);
  assertMatch(one.secretKey, /^sb_secret_\w{22}_\w{8}$/);
  assertMatch(one.dispatchSecret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  for (
    const name of ["publishableKey", "secretKey", "dispatchSecret"] as const
  ) {
    assertEquals(one[name] === two[name], false);
  }
});

Deno.test("loadKeys: creates them once, readable only by the owner, and refuses a damaged file", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const keys = await loadKeys(dir);
    assertEquals(await loadKeys(dir), keys);
    const file = join(dir, "keys.json");
    assertEquals(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
    await Deno.writeTextFile(file, "{");
    await assertRejects(() => loadKeys(dir), StackError, "is damaged");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
