/** The stores of the client as Preact state. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Source } from "../../client/store.ts";

/** The state of a source, which is at work while the component is mounted; the same source for the same `keys`. */
export function useSource<S, M>(
  create: () => Source<S, M>,
  keys: readonly unknown[],
): [state: S, source: Source<S, M>] {
  const source = useMemo(create, keys);
  const [, setCount] = useState(0);
  useEffect(
    () => source.subscribe(() => setCount((count) => count + 1)),
    [source],
  );
  return [source.getSnapshot(), source];
}
