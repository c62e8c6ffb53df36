import { assertEquals, assertThrows } from "@std/assert";
import { distribution, round } from "../../../bench/measure/statistics.ts";

Deno.test("distribution: percentiles by the nearest rank, in any order of the samples", () => {
  const samples = Array.from({ length: 100 }, (_, n) => 100 - n);
  assertEquals(distribution(samples), {
    n: 100,
    p50: 50,
    p95: 95,
    p99: 99,
    max: 100,
  });
});

Deno.test("distribution: of one sample every percentile is that sample", () => {
  assertEquals(distribution([7.126]), {
    n: 1,
    p50: 7.13,
    p95: 7.13,
    p99: 7.13,
    max: 7.13,
  });
});

Deno.test("distribution: throws without samples", () => {
  assertThrows(() => distribution([]), RangeError);
});

Deno.test("round: keeps two decimals by default", () => {
  assertEquals([round(1.005001), round(1234.56, 0), round(0.26, 1)], [
    1.01,
    1235,
    0.3,
  ]);
});
