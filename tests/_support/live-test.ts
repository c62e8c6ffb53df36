/**
 * A test without the leak sanitizers, for supabase-js over Realtime: it leaves timers and a broadcast channel behind
 * when it disconnects.
 */
export function liveTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}
