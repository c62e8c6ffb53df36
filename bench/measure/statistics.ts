/** A summary of samples, in their unit; `n` is their number. */
export interface Distribution {
  n: number;
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** Percentiles by the nearest rank, rounded to hundredths. Throws without samples. */
export function distribution(samples: readonly number[]): Distribution {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = (percent: number) => {
    const value = sorted[Math.ceil(percent / 100 * sorted.length) - 1];
    if (value === undefined) throw new RangeError("there are no samples");
    return round(value);
  };
  return {
    n: sorted.length,
    p50: rank(50),
    p95: rank(95),
    p99: rank(99),
    max: rank(100),
  };
}

/** Rounds to `decimals` decimals, two by default. */
export function round(value: number, decimals = 2): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}
