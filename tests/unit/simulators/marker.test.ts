import { assertEquals } from "@std/assert";
import { findMarker } from "../../../dev/simulators/marker.ts";

const A = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const B = "9d0c5c0e-52f7-4a3a-8c55-6f1f6a0a9b22";
const C = "c1a5f4f0-0f7e-4d59-9a4e-b3c2d1e0f933";

Deno.test("findMarker: the label job_id comes before job:<uuid>, and that before any other uuid", () => {
  assertEquals(findMarker([A, `job:${B}`], { job_id: C }), C);
  assertEquals(findMarker([A, `voice of job:${B}`], { other: C }), B);
  assertEquals(findMarker(["no", `see ${A}, ${B}`], {}), A);
  assertEquals(findMarker([null, undefined], { request: C }), C);
});

Deno.test("findMarker: upper case becomes lower case; null without a uuid", () => {
  assertEquals(findMarker([`JOB:${A.toUpperCase()}`]), A);
  assertEquals(findMarker(["job:123", ""], { job_id: "nothing" }), null);
});
