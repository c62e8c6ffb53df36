/** What is not perfect in a book: on its card, and in the dialog of its order. */
import { Notice } from "../parts/notice.tsx";

/** What a reader should check before the book is printed; nothing when there is nothing. */
export function BookRemarks({ remarks }: { remarks: readonly string[] }) {
  if (remarks.length === 0) return null;
  return (
    <Notice kind="warn">
      {remarks.map((remark) => <p key={remark}>{remark}</p>)}
    </Notice>
  );
}
