/** The strokes of the icons, apart from their element, so that the names can be used without a browser. */

/** By name, on a grid of 24. */
export const PATHS = {
  brand: "M4 10v4M8 7v10M12 4v16M16 8v8M20 10v4",
  microphone:
    "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM5 11a7 7 0 0 0 14 0M12 18v3",
  stop: "M7 7h10v10H7z",
  play: "M8 5v14l11-7z",
  film: "M4 5h16v14H4zM4 9h16M4 15h16M8 5v14M16 5v14",
  text: "M4 6h16M4 11h16M4 16h10",
  book:
    "M12 6c-2-1.5-4.5-2-8-2v14c3.5 0 6 .5 8 2 2-1.5 4.5-2 8-2V4c-3.5 0-6 .5-8 2ZM12 6v14",
  speech: "M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5",
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c.5-4 4-6 8-6s7.5 2 8 6",
  contrast:
    "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 3v18M12 8h8M12 13h9M12 17h7",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 20 20",
  offline:
    "M3 3l18 18M5 12a10 10 0 0 1 4-2.5M19 12a10 10 0 0 0-5-2.8M8.5 15.5a5 5 0 0 1 7 0M12 19h.01",
  warning: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
  check: "M4 12.5 9.5 18 20 7",
  close: "M5 5l14 14M19 5 5 19",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7v5l3 2",
  retry: "M20 12a8 8 0 1 1-2.5-5.8M20 4v4h-4",
  box: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  up: "M5 15l7-7 7 7",
  down: "M5 9l7 7 7-7",
  plus: "M12 5v14M5 12h14",
  trash: "M5 7h14M10 4h4M7 7l1 13h8l1-13",
  pause: "M8 5v14M16 5v14",
  gauge: "M4 18a9 9 0 1 1 16 0M12 14l4-5",
} as const;

/** The name of an icon. */
export type IconName = keyof typeof PATHS;
