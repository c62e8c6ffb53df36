/** Tables that scroll by themselves where the page is narrow. */
import type { ComponentChildren } from "preact";

/** A column: its heading and what it shows of a row. */
export interface Column<R> {
  head: string;
  cell: (row: R) => ComponentChildren;
  /** Numbers stand at the end of their column. */
  isNumber?: boolean;
  /** Takes a whole line where the page is narrow. */
  isWide?: boolean;
}

/** A table; `caption` names it for screen readers. `empty` is shown instead of a table without rows. */
export function Table<R>(
  { caption, columns, rows, keyOf, empty }: {
    caption: string;
    columns: readonly Column<R>[];
    rows: readonly R[];
    keyOf: (row: R) => string;
    empty?: ComponentChildren;
  },
) {
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>;
  return (
    <div class="table-scroll" role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ head, isNumber }) => (
              <th key={head} scope="col" class={isNumber ? "number" : ""}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ head, cell, isNumber, isWide }) => (
                <td
                  key={head}
                  class={isNumber ? "number" : isWide ? "wide" : ""}
                  data-head={head}
                >
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
