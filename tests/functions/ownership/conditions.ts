/** The single conditions of a policy's expression, as Postgres prints it: every AND and OR in parentheses. */

/** The position of a condition in the text. */
export interface Span {
  start: number;
  end: number;
}

interface Group {
  start: number;
  /** The start of the operand that is being read. */
  operand: number;
  operands: Span[];
  /** The start of the condition of a `where`. */
  where: number | undefined;
}

const CLOSING = /^(order|limit|group|having|offset|union)$/i;

function trimmed(text: string, { start, end }: Span): Span {
  while (start < end && /\s/.test(text.charAt(start))) start++;
  while (end > start && /\s/.test(text.charAt(end - 1))) end--;
  return { start, end };
}

/**
 * Every operand of an AND or OR, at any depth, and every condition of a `where` that is not itself such a group.
 * Text in quotes is skipped. Empty for an expression that is one condition.
 */
export function conditionsOf(text: string): Span[] {
  const found: Span[] = [];
  const groups: Group[] = [{
    start: 0,
    operand: 0,
    operands: [],
    where: undefined,
  }];
  const close = (group: Group, end: number) => {
    if (group.operands.length > 0) {
      found.push(...group.operands, { start: group.operand, end });
    }
    if (group.where !== undefined) found.push({ start: group.where, end });
  };
  // Strings, quoted names, words, parentheses; everything else is irrelevant.
  const tokens = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|[()]/g;
  for (const { 0: token, index } of text.matchAll(tokens)) {
    const group = groups.at(-1);
    if (group === undefined) break;
    if (token === "(") {
      groups.push({
        start: index + 1,
        operand: index + 1,
        operands: [],
        where: undefined,
      });
    } else if (token === ")") {
      groups.pop();
      close(group, index);
    } else if (/^(and|or)$/i.test(token)) {
      group.operands.push({ start: group.operand, end: index });
      group.operand = index + token.length;
    } else if (/^where$/i.test(token)) {
      group.where = index + token.length;
    } else if (group.where !== undefined && CLOSING.test(token)) {
      found.push({ start: group.where, end: index });
      group.where = undefined;
    }
  }
  const [outermost] = groups;
  if (outermost !== undefined) close(outermost, text.length);

  const spans = found.map((span) => trimmed(text, span));
  // The condition of a `where` that consists of operands is covered by them.
  const isGroup = (span: Span) =>
    /^\(/.test(text.slice(span.start)) &&
    spans.some((inner) =>
      inner.start > span.start && inner.end < span.end &&
      depthBetween(text, span.start, inner.start) === 1
    );
  return spans.filter((span) => !isGroup(span)).sort((a, b) =>
    a.start - b.start
  );
}

function depthBetween(text: string, from: number, to: number): number {
  let depth = 0;
  for (const [token] of text.slice(from, to).matchAll(/'(?:[^']|'')*'|[()]/g)) {
    if (token === "(") depth++;
    else if (token === ")") depth--;
  }
  return depth;
}

/** The text with the condition replaced by `true`. */
export function withoutCondition(text: string, { start, end }: Span): string {
  return `${text.slice(0, start)}true${text.slice(end)}`;
}
