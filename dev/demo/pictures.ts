/**
 * Pictures of a lake through one day, drawn by arithmetic: photos for a keepsake that belong to nobody and need no file in
 * the repository. The same day gives the same bytes each time.
 */
import { crc32, deflateSync } from "node:zlib";

type Colour = readonly [red: number, green: number, blue: number];

/** A mountain range or a wood, from far to near. Heights are shares of the picture's height above the shore. */
interface Range {
  readonly height: number;
  readonly relief: number;
  readonly colour: Colour;
  /** Peaks across the picture. */
  readonly peaks: number;
  /** Height of fir trees on it. */
  readonly firs?: number;
}

/** What the lake looks like at one time of the day. */
interface Scene {
  readonly sky: readonly [top: Colour, horizon: Colour];
  readonly light: {
    readonly at: readonly [x: number, y: number];
    readonly radius: number;
    readonly colour: Colour;
    /** How far its glow reaches. */
    readonly glow: number;
  };
  readonly ranges: readonly Range[];
  readonly water: Colour;
  readonly boat?: { readonly x: number; readonly sail: Colour };
  readonly hasRain?: boolean;
  readonly hasStars?: boolean;
}

const WIDTH = 1200;
const HEIGHT = 800;
/** Where the water begins, from above. */
const SHORE = 0.62;

const scenes: Readonly<Record<LakePicture, Scene>> = {
  dawn: {
    sky: [[92, 124, 168], [255, 214, 178]],
    light: { at: [0.2, 0.36], radius: 0.03, colour: [255, 244, 214], glow: 3 },
    ranges: [
      { height: 0.2, relief: 0.14, colour: [150, 152, 184], peaks: 3 },
      { height: 0.12, relief: 0.09, colour: [112, 118, 156], peaks: 5 },
      {
        height: 0.03,
        relief: 0.04,
        colour: [58, 68, 98],
        peaks: 7,
        firs: 0.022,
      },
    ],
    water: [88, 104, 148],
  },
  noon: {
    sky: [[58, 126, 200], [206, 232, 246]],
    light: { at: [0.8, 0.1], radius: 0.035, colour: [255, 255, 240], glow: 2 },
    ranges: [
      { height: 0.24, relief: 0.16, colour: [150, 176, 200], peaks: 4 },
      { height: 0.13, relief: 0.1, colour: [94, 140, 138], peaks: 4 },
      {
        height: 0.03,
        relief: 0.05,
        colour: [44, 92, 72],
        peaks: 6,
        firs: 0.024,
      },
    ],
    water: [40, 104, 148],
    boat: { x: 0.33, sail: [252, 250, 244] },
  },
  rain: {
    sky: [[112, 122, 132], [186, 192, 194]],
    light: { at: [0.55, 0.2], radius: -1, colour: [206, 211, 212], glow: 5 },
    ranges: [
      { height: 0.16, relief: 0.1, colour: [158, 166, 170], peaks: 3 },
      { height: 0.08, relief: 0.07, colour: [124, 136, 140], peaks: 5 },
      {
        height: 0.03,
        relief: 0.03,
        colour: [74, 88, 88],
        peaks: 6,
        firs: 0.026,
      },
    ],
    water: [112, 126, 134],
    hasRain: true,
  },
  evening: {
    sky: [[34, 36, 82], [248, 146, 96]],
    light: {
      at: [0.68, 0.42],
      radius: 0.034,
      colour: [255, 220, 158],
      glow: 4,
    },
    ranges: [
      { height: 0.18, relief: 0.13, colour: [118, 74, 104], peaks: 4 },
      { height: 0.09, relief: 0.08, colour: [74, 48, 80], peaks: 5 },
      {
        height: 0.025,
        relief: 0.04,
        colour: [30, 24, 46],
        peaks: 7,
        firs: 0.024,
      },
    ],
    water: [70, 50, 92],
    boat: { x: 0.52, sail: [60, 38, 60] },
    hasStars: true,
  },
};

/** The times of the day that there is a picture of. */
export type LakePicture = "dawn" | "noon" | "rain" | "evening";

/** The lake at that time, as a PNG of 1200 × 800 pixels. */
export function drawLake(time: LakePicture): Uint8Array<ArrayBuffer> {
  const scene = scenes[time];
  const stride = WIDTH * 3 + 1;
  const rows = new Uint8Array(stride * HEIGHT);
  for (let row = 0; row < HEIGHT; row++) {
    let before: Colour = [0, 0, 0];
    rows[row * stride] = 1; // Each byte as its difference from the pixel before: smooth colours pack well.
    for (let column = 0; column < WIDTH; column++) {
      // Grain hides the steps between the few colours that a smooth sky has.
      const grain = (noise(column * 1.37 + row * 91.7) - 0.5) * 3;
      const colour = pixel(scene, column / WIDTH, row / HEIGHT);
      const value: Colour = [
        toByte(colour[0] + grain),
        toByte(colour[1] + grain),
        toByte(colour[2] + grain),
      ];
      const at = row * stride + 1 + column * 3;
      rows[at] = value[0] - before[0];
      rows[at + 1] = value[1] - before[1];
      rows[at + 2] = value[2] - before[2];
      before = value;
    }
  }
  return toPng(rows);
}

function pixel(scene: Scene, x: number, y: number): Colour {
  const isWater = y > SHORE;
  let colour: Colour;
  if (!isWater) colour = land(scene, x, y);
  else {
    // Nearer water is rougher, and shows more of itself and less of the sky.
    const near = (y - SHORE) / (1 - SHORE);
    const wave =
      Math.sin(520 * Math.pow(near, 0.55) + 9 * ripple(x * 7 + near)) *
      ripple(x * (40 - 28 * near) + 31 * Math.floor(90 * Math.sqrt(near)));
    const mirrored = SHORE - (y - SHORE) * 1.3 + wave * 0.03 * (0.25 + near);
    const image = land(
      scene,
      x + wave * 0.006,
      Math.min(SHORE - 0.001, Math.max(0.02, mirrored)),
    );
    colour = mix(image, scene.water, 0.22 + 0.4 * near);
    colour = lighten(colour, wave * 9 * (0.4 + near));
  }
  if (scene.boat) colour = withBoat(colour, scene.boat, x, y);
  if (scene.hasRain) {
    const streak = noise(Math.floor((x + y * 0.09) * 700) * 7.1) > 0.93 &&
      noise(Math.floor((x + y * 0.09) * 700) + Math.floor(y * 23) * 13) > 0.6;
    if (streak) colour = lighten(colour, 16);
  }
  return colour;
}

/** Everything above the shore. */
function land(scene: Scene, x: number, y: number): Colour {
  const { sky: [top, horizon], light } = scene;
  let colour = mix(top, horizon, Math.pow(Math.min(1, y / SHORE), 1.4));
  const distance = Math.hypot(
    (x - light.at[0]) * WIDTH / HEIGHT,
    y - light.at[1],
  );
  colour = mix(
    colour,
    light.colour,
    0.75 * Math.exp(-distance * 9 / light.glow),
  );
  colour = mix(colour, light.colour, soften(light.radius - distance));
  if (scene.hasStars && y < 0.36) {
    const star = noise(Math.floor(x * 500) * 3.7 + Math.floor(y * 333) * 57.3);
    if (star > 0.9985) colour = lighten(colour, 300 * (0.36 - y));
  } else if (!scene.hasRain) {
    const cloud = ripple(x * 5 + 3) * 0.6 + ripple(x * 13 + y * 22) * 0.4;
    const band = Math.exp(-Math.pow((y - 0.2 - cloud * 0.06) * 14, 2));
    colour = mix(
      colour,
      lighten(horizon, 24),
      0.55 * band * Math.max(0, cloud),
    );
  }
  for (const [index, range] of scene.ranges.entries()) {
    const crest = SHORE - range.height - crestOf(range, index, x);
    const share = soften(y - crest);
    // Mist lies at the foot of what is far.
    const mist = 0.45 * Math.max(0, (y - crest) / (SHORE - crest)) *
      (1 - index / scene.ranges.length);
    colour = mix(colour, mix(range.colour, horizon, mist), share);
  }
  return colour;
}

function crestOf(range: Range, index: number, x: number): number {
  const at = x * range.peaks + index * 17.3;
  const height = range.relief *
    (ripple(at) * 0.6 + ripple(at * 2.3 + 5) * 0.28 + ripple(at * 5.1) * 0.12);
  if (range.firs === undefined) return height;
  const tree = x * 130;
  const width = tree - Math.floor(tree);
  const size = 0.35 + 0.65 * noise(Math.floor(tree) * 5.3);
  return height + range.firs * size * (1 - Math.abs(width * 2 - 1));
}

function withBoat(
  colour: Colour,
  boat: { x: number; sail: Colour },
  x: number,
  y: number,
): Colour {
  const waterline = SHORE + 0.075;
  const isReflection = y > waterline;
  const up = Math.abs(waterline - y);
  const across = (x - boat.x) * WIDTH / HEIGHT;
  const hull = up < 0.016 && Math.abs(across) < 0.05 - (0.016 - up) * 0.8;
  const sail = up > 0.02 && up < 0.15 &&
    (across > 0.004
      ? across < 0.05 * (1 - (up - 0.02) / 0.13)
      : across < 0 && -across < 0.03 * (1 - (up - 0.02) / 0.11));
  if (!hull && !sail) return colour;
  const own: Colour = hull ? mix(boat.sail, [60, 40, 34], 0.8) : boat.sail;
  return isReflection ? mix(colour, own, up > 0.11 ? 0.12 : 0.3) : own;
}

/** 0 to 1 over a pixel or two, so that edges are smooth. */
function soften(distance: number): number {
  return Math.min(1, Math.max(0, distance * HEIGHT / 1.6 + 0.5));
}

/** A number from 0 to 1 that looks drawn by lot, the same for the same place. */
function noise(place: number): number {
  const value = Math.sin(place * 12.9898) * 43758.5453;
  return value - Math.floor(value);
}

/** A smooth line through such numbers, from -1 to 1. */
function ripple(place: number): number {
  const left = Math.floor(place);
  const share = place - left;
  const eased = share * share * (3 - 2 * share);
  return (noise(left) * (1 - eased) + noise(left + 1) * eased) * 2 - 1;
}

function mix(one: Colour, other: Colour, share: number): Colour {
  return [
    one[0] + (other[0] - one[0]) * share,
    one[1] + (other[1] - one[1]) * share,
    one[2] + (other[2] - one[2]) * share,
  ];
}

function lighten(colour: Colour, by: number): Colour {
  return [colour[0] + by, colour[1] + by, colour[2] + by];
}

function toByte(value: number): number {
  return Math.min(255, Math.max(0, Math.round(value)));
}

/** A PNG (RFC 2083) with 8 bits for each of three colours. */
function toPng(rows: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, WIDTH);
  header.setUint32(4, HEIGHT);
  header.setUint8(8, 8);
  header.setUint8(9, 2);
  const parts = [
    new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array()),
  ];
  const file = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(
    data.length + 8,
    crc32(bytes.subarray(4, data.length + 8)),
  );
  return bytes;
}
