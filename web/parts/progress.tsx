/** How far something is. */

/** A bar from 0 to 100; moving without an end where `value` is undefined. */
export function Progress(
  { label, value }: { label: string; value: number | undefined },
) {
  return (
    <div
      class={`progress${value === undefined ? " open" : ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value === undefined ? undefined : Math.round(value)}
    >
      <div style={{ width: `${value ?? 30}%` }} />
    </div>
  );
}
