import { assertEquals } from "@std/assert";
import {
  keepPlaces,
  type Place,
  type Places,
} from "../../../web/console/parked-places.ts";
import type { ParkedJob } from "../../../web/console/responses.ts";

/** Parked jobs that wait since the minute of their number. */
function jobs(...minutes: number[]): ParkedJob[] {
  return minutes.map((minute) => {
    const since = `2026-11-29T10:${String(minute).padStart(2, "0")}:00+00:00`;
    return {
      job_id: `job-${minute}`,
      user_id: "user",
      job_type: "text_to_speech",
      provider: "elevenlabs",
      marker: `job:job-${minute}`,
      error_message: null,
      parked_at: since,
      calls: [{
        call_id: `call-${minute}`,
        operation: "speech",
        http_status: null,
        estimated_cost_micros: 1,
        sent_at: since,
        unknown_since: since,
      }],
    };
  });
}

const OPTIONS = { open: 3, limit: 20 };

/** The numbers of what is shown, those of answered jobs negative, and of what follows. */
function numbersOf({ shown, more }: Places): [number[], number[]] {
  const number = ({ job_id }: ParkedJob) => Number(job_id.slice(4));
  return [
    shown.map(({ job, isAnswered }) => number(job) * (isAnswered ? -1 : 1)),
    more.map(number),
  ];
}

const shownOf = (...minutes: number[]): readonly Place[] =>
  keepPlaces([], jobs(...minutes), OPTIONS).shown;

Deno.test("parked list: an answered job keeps its place, and the next one comes below the last", () => {
  const first = keepPlaces([], jobs(1, 2, 3, 4, 5), OPTIONS);
  assertEquals(numbersOf(first), [[1, 2, 3], [4, 5]]);
  const second = keepPlaces(first.shown, jobs(2, 3, 4, 5), OPTIONS);
  assertEquals(numbersOf(second), [[-1, 2, 3, 4], [5]]);
  const third = keepPlaces(second.shown, [], OPTIONS);
  assertEquals(numbersOf(third), [[-1, -2, -3, -4], []]);
});

Deno.test("parked list: a job that is parked again waits in its place, and no other one leaves", () => {
  const answered = keepPlaces(shownOf(1, 2, 3), jobs(2, 3, 4), OPTIONS);
  assertEquals(
    numbersOf(keepPlaces(answered.shown, jobs(2, 3, 4, 1), OPTIONS)),
    [[1, 2, 3, 4], []],
  );
});

Deno.test("parked list: a job for which a full list has no room any more is not called answered", () => {
  const options = { open: 20, limit: 3 };
  const { shown } = keepPlaces([], jobs(2, 3, 4), options);
  assertEquals(
    numbersOf(keepPlaces(shown, jobs(1, 2, 3), options)),
    [[2, 3, 4, 1], []],
  );
  assertEquals(
    numbersOf(keepPlaces(shown, jobs(3, 4, 5), options)),
    [[-2, 3, 4, 5], []],
  );
});
