import { assertEquals } from "@std/assert";
import { tiff } from "../../_support/keepsake-book.ts";
import { readExif } from "../../../../supabase/functions/render-ai-job/keepsake/exif.ts";

Deno.test("readExif: reads orientation and day in both byte orders, also of a scanned picture", () => {
  for (const isLittle of [true, false]) {
    const options = { isLittle, orientation: 6 };
    assertEquals(
      readExif(tiff({ ...options, takenAt: "1998:08:05 23:59:59" })),
      { orientation: 6, takenOn: "1998-08-05" },
    );
    assertEquals(
      readExif(
        tiff({ ...options, takenAt: "2004:02:29 00:00:00", tag: 0x9004 }),
      )
        .takenOn,
      "2004-02-29",
    );
  }
});

Deno.test("readExif: ignores the date of a clock that was never set, and invalid values", () => {
  const taken = (takenAt: string) =>
    readExif(tiff({ isLittle: false, orientation: 1, takenAt })).takenOn;
  for (
    const takenAt of [
      "0000:00:00 00:00:00",
      "2001:02:31 10:00:00",
      "    :  :     :  :  ",
      "1500:01:01 00:00:00",
      "",
    ]
  ) assertEquals(taken(takenAt), null, takenAt);
  const { orientation } = readExif(tiff({ isLittle: true, orientation: 9 }));
  assertEquals(orientation, 1);
  for (const bytes of [0, 3, 8, 9, 30, 45, 60]) {
    readExif(tiff({ isLittle: true, orientation: 6 }).subarray(0, bytes));
  }
});
