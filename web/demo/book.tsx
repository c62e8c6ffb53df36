/** A finished book. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Job } from "../../client/mod.ts";
import { Button } from "../parts/button.tsx";
import { Icon } from "../parts/icon.tsx";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { isFields, numberOf, textOf } from "../shell/config.ts";
import { remarksOf } from "../words/books.ts";
import { countOf } from "../words/times.ts";
import { BookRemarks } from "./book-remarks.tsx";
import { OrderBook } from "./order.tsx";
import { Download, Ghost } from "./result-parts.tsx";
import { useSignedUrl } from "./signed-url.ts";

/** Width to height of a page. */
const SHAPES: Readonly<Record<string, string>> = {
  square: "1",
  a4: "210 / 297",
  letter: "216 / 279",
};

/** The result of a `pdf_render`: its pages, what is not perfect in it, and its order. */
export function Book({ job, name }: { job: Job; name: string }) {
  const { box, url, version, problem, renew, reject } = useSignedUrl(
    job.output_path,
  );
  const file = useSignal<string | null>(null);
  const page = useSignal(1);
  const result = isFields(job.result) ? job.result : {};
  const pages = numberOf(result, "page_count") ?? 1;
  const remarks = remarksOf(result);
  useEffect(() => {
    let opened: string | undefined;
    let isOver = false;
    const read = async () => {
      if (url === null || !navigator.pdfViewerEnabled) return;
      const response = await fetch(url);
      if (isOver) return;
      if (!response.ok) return await reject();
      const blob = await response.blob();
      if (isOver) return;
      file.value = opened = URL.createObjectURL(
        new Blob([blob], { type: "application/pdf" }),
      );
    };
    read().catch(() => isOver || void reject());
    return () => {
      isOver = true;
      if (opened !== undefined) URL.revokeObjectURL(opened);
    };
  }, [url, version]);
  const shape = SHAPES[textOf(result, "page_size") ?? ""] ?? "1";
  const turn = (by: number) =>
    page.value = Math.min(pages, Math.max(1, page.value + by));
  return (
    <div ref={box} class="stack tight">
      {problem !== null && <RetryNotice onRetry={renew}>{problem}</RetryNotice>}
      {file.value === null
        ? navigator.pdfViewerEnabled && problem === null && (
          <>
            <Ghost kind="book" shape={shape} />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <iframe
              key={page.value}
              class="book"
              style={{ aspectRatio: shape }}
              title={`${name}, page ${page.value}`}
              src={`${file.value}#page=${page.value}&toolbar=0&navpanes=0&view=Fit`}
            />
            <div class="row apart">
              <Button
                isSmall
                icon="left"
                isDisabled={page.value === 1}
                onClick={() => turn(-1)}
              >
                Back
              </Button>
              <span class="small" role="status">
                Page {page.value} of {pages}
              </span>
              <Button
                isSmall
                icon="right"
                isDisabled={page.value === pages}
                onClick={() => turn(1)}
              >
                Next
              </Button>
            </div>
          </>
        )}
      {!navigator.pdfViewerEnabled && (
        <p class="small soft">
          {countOf(pages, "page")}. This browser cannot show a PDF inside a
          page.
        </p>
      )}
      <BookRemarks remarks={remarks} />
      {url === null
        ? problem === null && <Ghost kind="buttons" />
        : (
          <div class="row">
            <a class="button small" href={url} target="_blank" rel="noreferrer">
              <Icon name="book" /> Open
            </a>
            <Download url={url} name={`${name}.pdf`} />
            <OrderBook jobId={job.id} title={name} remarks={remarks} />
          </div>
        )}
    </div>
  );
}
