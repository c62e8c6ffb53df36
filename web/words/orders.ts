/** What an order of a printed book may contain: countries and numbers of copies. */

/** ISO 3166-1 alpha-2, of 2026. */
const CODES =
  "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
    .split(" ");

/** Codes and English names of all countries, in the order of the names. */
export function listCountries(): readonly (readonly [
  code: string,
  name: string,
])[] {
  const names = new Intl.DisplayNames("en", { type: "region" });
  return CODES.map((code) => [code, names.of(code) ?? code] as const)
    .sort(([, a], [, b]) => a.localeCompare(b, "en"));
}

/** The country that a language tag such as `de-AT` names; empty where it names none. */
export function countryOf(language: string): string {
  const region = language.split("-").slice(1).find((part) =>
    CODES.includes(part.toUpperCase())
  );
  return region?.toUpperCase() ?? "";
}

/** The most copies that one order may have: the constraint of `order_items.quantity`. */
export const MAX_COPIES = 1000;

/** A typed number of copies; undefined unless it is a whole number from 1 to {@link MAX_COPIES}. */
export function copiesOf(text: string): number | undefined {
  const copies = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  return copies >= 1 && copies <= MAX_COPIES ? copies : undefined;
}
