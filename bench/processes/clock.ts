/**
 * The wall clock in milliseconds with fractions, comparable between processes of one machine and with the clock of a
 * Postgres on it.
 */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
