/** The meaning of a colour. */
export type Tone = "plain" | "busy" | "good" | "warn" | "bad";
