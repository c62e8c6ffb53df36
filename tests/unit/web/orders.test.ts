import { assertEquals } from "@std/assert";
import {
  copiesOf,
  countryOf,
  listCountries,
  MAX_COPIES,
} from "../../../web/words/orders.ts";

Deno.test("page orders: every country has an ISO 3166 code and a name, once", () => {
  const countries = listCountries();
  assertEquals(countries.length, 249);
  assertEquals(new Set(countries.map(([code]) => code)).size, 249);
  assertEquals(countries.filter(([code, name]) => code === name), []);
  assertEquals(
    countries.filter(([, name]) => /^Austr/.test(name)),
    [["AU", "Australia"], ["AT", "Austria"]],
  );
});

Deno.test("page orders: the default country is the region of the browser's language, if it names a country", () => {
  assertEquals(
    ["de-AT", "pt-br", "zh-Hant-TW", "de", "en-XX", "es-419", ""].map(
      countryOf,
    ),
    ["AT", "BR", "TW", "", "", "", ""],
  );
});

Deno.test("page orders: copies are a whole number within the limits of the schema", async () => {
  assertEquals(
    ["1", "12", "999", "1000", "0", "-3", "", "1.5", "1001", "1e2", " "].map(
      copiesOf,
    ),
    [1, 12, 999, 1000, ...Array(7).fill(undefined)],
  );
  const sql = await Deno.readTextFile(
    new URL("../../../supabase/schemas/shop/order_items.sql", import.meta.url),
  );
  assertEquals(
    /check \(quantity between 1 and (\d+)\)/.exec(sql)?.[1],
    String(MAX_COPIES),
  );
});
