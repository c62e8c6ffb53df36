/** A picture of a terminal, for pages that cannot run a command. */

const LINE_HEIGHT = 18;
const CHARACTER_WIDTH = 7.83;
const MARGIN = 20;
const MAX_COLUMNS = 110;

/**
 * An SVG of a command and its output, in the reader's light or dark colours. Lines longer than 110 characters are cut
 * and end in "…"; empty lines at the end are left out.
 */
export function drawTerminal(command: string, output: string): string {
  const lines = [`$ ${command}`, ...output.trimEnd().split("\n")].map((line) =>
    line.length > MAX_COLUMNS ? `${line.slice(0, MAX_COLUMNS - 1)}…` : line
  );
  const columns = Math.max(...lines.map((line) => line.length));
  const width = Math.ceil(columns * CHARACTER_WIDTH + 2 * MARGIN);
  const height = lines.length * LINE_HEIGHT + 2 * MARGIN;
  const rows = lines.map((line, index) => {
    const y = MARGIN + (index + 0.75) * LINE_HEIGHT;
    const style = index === 0 ? ' class="command"' : "";
    return `<text x="${MARGIN}" y="${y}"${style} xml:space="preserve">${
      escapeXml(line)
    }</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${
    escapeXml(`Output of ${command}`)
  }">
<style>
  rect { fill: #f6f8fa; stroke: #d0d7de; }
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; }
  .command { font-weight: bold; }
  @media (prefers-color-scheme: dark) {
    rect { fill: #161b22; stroke: #30363d; }
    text { fill: #e6edf3; }
  }
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${rows.join("\n")}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
