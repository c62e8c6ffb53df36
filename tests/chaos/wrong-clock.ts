/** process-ai-job in a process whose wall clock is wrong by CHAOS_CLOCK_OFFSET_MS; the function itself is untouched. */
const offsetMs = Number(Deno.env.get("CHAOS_CLOCK_OFFSET_MS"));
const RealDate = Date;
const wrongNow = () => RealDate.now() + offsetMs;

// Only the moment called now is wrong; a date that is given stays what it is.
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
