/** Small bar charts, with their sums in words for a screen reader. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { momentOf, startOf } from "../words/times.ts";

/** One series; null where there is no value. */
export interface Series {
  name: string;
  /** The class that colours it. */
  tone: "good" | "bad" | "busy" | "accent";
  values: readonly (number | null)[];
  /** The number next to its name. */
  total: string;
}

const WIDTH = 300;
const HEIGHT = 90;

/** A chart over the buckets that begin at `times`. */
export function Chart(
  { title, isStacked = false, series, times, show, end }: {
    title: string;
    /** Bars stand on each other; otherwise each in front of the series before it. */
    isStacked?: boolean;
    series: readonly Series[];
    times: readonly string[];
    show: (value: number) => string;
    end?: ComponentChildren;
  },
) {
  const id = useId();
  const step = WIDTH / Math.max(times.length, 1);
  const heights = times.map((_, i) => {
    const values = series.map(({ values }) => values[i] ?? 0);
    return isStacked ? values.reduce((a, b) => a + b, 0) : Math.max(...values);
  });
  const most = Math.max(0, ...heights);
  const y = (value: number) => HEIGHT - (value / (most || 1)) * (HEIGHT - 4);
  const tops = times.map(() => 0);
  const first = times[0];
  return (
    <section class="card chart" aria-labelledby={id}>
      <div class="card-head">
        <h2 id={id}>{title}</h2>
        {end}
      </div>
      <ul class="legend">
        {series.map(({ name, tone, total }) => (
          <li key={name} class={tone}>
            <span class="soft">{name}</span> <b>{total}</b>
          </li>
        ))}
      </ul>
      <div class="plot">
        <span class="small soft">{show(most)}</span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: ${
            series.map(({ name, total }) => `${name} ${total}`).join(", ")
          }`}
        >
          <path class="grid" d={`M0 4H${WIDTH}M0 47H${WIDTH}M0 90H${WIDTH}`} />
          {series.map(({ name, tone, values }) => (
            <path
              key={name}
              class={`bar ${tone}`}
              d={values.map((value, i) => {
                if (!value) return "";
                const under = isStacked ? tops[i] ?? 0 : 0;
                tops[i] = under + value;
                return `M${((i + .1) * step).toFixed(1)} ${
                  y(under).toFixed(1)
                }V${y(under + value).toFixed(1)}h${(step * .8).toFixed(1)}V${
                  y(under).toFixed(1)
                }z`;
              }).join("")}
            />
          ))}
          {times.map((time, i) =>
            heights[i] === 0 ? null : (
              <rect
                key={time}
                x={i * step}
                width={step}
                height={HEIGHT}
                class="bucket"
              >
                <title>
                  {`${momentOf(time)} – ${
                    series.flatMap(({ name, values }) => {
                      const value = values[i] ?? null;
                      return value === null ? [] : `${name} ${show(value)}`;
                    }).join(", ")
                  }`}
                </title>
              </rect>
            )
          )}
        </svg>
        <p class="row apart small soft">
          <span>{first === undefined ? "" : startOf(first)}</span>
          <span>now</span>
        </p>
      </div>
    </section>
  );
}
