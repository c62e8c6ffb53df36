/** Times, lengths, sizes and money as people write them. */

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
});
const day = new Intl.DateTimeFormat(undefined, {
  day: "numeric",
  month: "short",
});
const dayClock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** `0:07`, `12:30`, `1:02:30`. */
export function clockOf(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [whole / 3600, (whole % 3600) / 60, whole % 60].map(
    Math.floor,
  );
  const two = (value = 0) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `8 s`, `2 min 5 s`, `1 h 3 min`. */
export function lengthOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${seconds % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `12 %`, `0.24 %`: two figures, so that few of many are not `0 %`. */
export function shareOf(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}

/** `14:05` today, `3 Nov` before. */
export function whenOf(iso: string): string {
  const time = new Date(iso);
  return time.toDateString() === new Date().toDateString()
    ? clock.format(time)
    : day.format(time);
}

/** The start of a chart: `14:05` within a day, `3 Nov` before. */
export function startOf(iso: string): string {
  const time = new Date(iso);
  return Date.now() - time.getTime() < 25 * 3600_000
    ? clock.format(time)
    : day.format(time);
}

/** `14:05:09` */
export function secondOf(iso: string): string {
  return dayClock.format(new Date(iso));
}

/** `6 times until 14:05:09`: something that happened again and again. */
export function repeatsOf(times: number, lastAt: string): string {
  return `${times} times until ${secondOf(lastAt)}`;
}

/** `14:05:09` today, `3 Nov 14:05:09` before. */
export function momentOf(iso: string): string {
  const time = new Date(iso);
  return time.toDateString() === new Date().toDateString()
    ? secondOf(iso)
    : `${day.format(time)} ${secondOf(iso)}`;
}

/** `340 KB`, `1.2 MB` */
export function sizeOf(bytes: number): string {
  return bytes < 1e6
    ? `${Math.max(1, Math.round(bytes / 1e3))} KB`
    : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** An amount in millionths of a currency, to the tenth of a cent below a cent. */
export function microsOf(micros: number, currency = "USD"): string {
  return new Intl.NumberFormat(undefined, {
    style: "currency",
    currency,
    maximumFractionDigits: micros > 0 && micros < 100_000 ? 4 : 2,
  }).format(micros / 1e6);
}

/** An amount in the smallest unit of a currency with hundredths. */
export function minorOf(minor: number, currency: string): string {
  return new Intl.NumberFormat(undefined, { style: "currency", currency })
    .format(minor / 100);
}

/** `1 page`, `2 pages` */
export function countOf(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}
