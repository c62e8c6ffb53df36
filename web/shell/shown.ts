/** Whether a component is still on the page when a request of it ends. */
import { useEffect, useRef } from "preact/hooks";

/** Returns a function that says whether the component is still shown. */
export function useIsShown(): () => boolean {
  const isShown = useRef(true);
  useEffect(() => () => {
    isShown.current = false;
  }, []);
  return () => isShown.current;
}
