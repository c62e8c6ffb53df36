/** Signed URLs of results. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useStudio } from "./studio.ts";

/** Lifetime of a signed URL: longer than an evening. */
const SIGNED_SECONDS = 6 * 3600;

/** Results are loaded when they are this close to the screen, so that they are there when they are reached. */
const NEAR = "600px 0px";

/**
 * A signed URL of an object, once the element of `box` is near the screen.
 *
 * `version` counts signatures, because two within a second are equal. `renew` signs again. `reject` is to be called when
 * the file cannot be loaded by the URL: it signs again if the URL has expired, and otherwise sets `problem`.
 */
export function useSignedUrl(object: string | null) {
  const studio = useStudio();
  const box = useRef<HTMLDivElement>(null);
  const signed = useSignal<{ url: string; at: number } | null>(null);
  const version = useSignal(0);
  const problem = useSignal<string | null>(null);
  const renew = async () => {
    if (object === null) return;
    problem.value = null;
    try {
      const url = await studio.backend.jobs.downloadUrl(object, {
        expiresIn: SIGNED_SECONDS,
      });
      signed.value = { url, at: Date.now() };
      version.value++;
    } catch (error) {
      problem.value = studio.explain(error);
    }
  };
  const reject = async () => {
    const { at } = signed.value ?? { at: 0 };
    if (Date.now() - at >= SIGNED_SECONDS * 1000) return await renew();
    problem.value = "This file cannot be loaded at the moment.";
  };
  useEffect(() => {
    if (box.current === null) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting !== true) return;
      observer.disconnect();
      void renew();
    }, { rootMargin: NEAR });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [object]);
  return {
    box,
    url: signed.value?.url ?? null,
    version: version.value,
    problem: problem.value,
    renew,
    reject,
  };
}
