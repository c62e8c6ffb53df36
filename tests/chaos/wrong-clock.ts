/** Main module that shifts the wall clock by CHAOS_CLOCK_OFFSET_MS and then loads process-ai-job unchanged. */
const offsetMs = Number(Deno.env.get("CHAOS_CLOCK_OFFSET_MS"));
const RealDate = Date;
const wrongNow = () => RealDate.now() + offsetMs;

// Only the current time is shifted; dates from arguments are not.
Object.defineProperty(globalThis, "Date", {
  value: new Proxy(RealDate, {
    construct: (target, given, newTarget) =>
      Reflect.construct(
        target,
        given.length === 0 ? [wrongNow()] : given,
        newTarget,
      ),
    get: (target, name) =>
      name === "now" ? wrongNow : Reflect.get(target, name),
  }),
});

const { default: endpoint } = await import(
  "../../supabase/functions/process-ai-job/index.ts"
);
export default endpoint;
