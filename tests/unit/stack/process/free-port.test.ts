import { assert, assertEquals } from "@std/assert";
import {
  freePort,
  isPortTaken,
} from "../../../../dev/stack/process/free-port.ts";

Deno.test("free port: it is free, and outside the range that the system assigns", async () => {
  const range = await Deno.readTextFile(
    "/proc/sys/net/ipv4/ip_local_port_range",
  )
    .catch(() => "49152 65535");
  const [lowest = 0] = range.trim().split(/\s+/).map(Number);
  for (let nth = 0; nth < 50; nth++) {
    const port = freePort();
    // Some machines are configured to assign lower ports than usual.
    assert(port < lowest || lowest < 32_768, `${port} may be assigned`);
    using _ = Deno.listen({ hostname: "127.0.0.1", port });
    assertEquals(isPortTaken(port), true);
  }
});
