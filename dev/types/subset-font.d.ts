/** Types of the package subset-font, which ships no declarations. */

declare module "subset-font" {
  /** The font with only the glyphs of `text`. */
  export default function subsetFont(
    font: Uint8Array,
    text: string,
    options: {
      targetFormat: "sfnt" | "woff" | "woff2";
      /** True leaves out the glyphs that only substitutions lead to, such as small capitals. */
      noLayoutClosure?: boolean;
    },
  ): Promise<ReturnType<typeof Uint8Array.from>>;
}
