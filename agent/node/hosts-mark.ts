/** What we note in the first line of what we write into a file, so that the file alone says how to undo it. */
export interface Mark {
  /** The agent, one id a start, or `manual`. Who took a block over is its owner from then on. */
  readonly owner: string;
  /** When this owner began, ISO 8601. */
  readonly since: string;
  /** The agent's URL as it is in the table's name. */
  readonly url: string;
  /** Digest of the file without the block: tells whether somebody has changed the rest meanwhile. */
  readonly base: string;
  /** How the file was before: whose, which mode (octal), for when the original itself is gone. */
  readonly mode: string;
  /** How many levels we made: 0 none, 1 the file, 2 its folder too, 3 that one's folder too. */
  readonly made: number;
  /** The original had no line end at its end; the one before the block is ours. */
  readonly broken: boolean;
}

const BEGIN = '# noost:begin ';
const END = '# noost:end';
const BLOCK = new RegExp(`^${BEGIN}(.*)\\n(?:.*\\n)*?${END}(?:\\n|$)`, 'm');

export interface Found {
  readonly mark: Mark;
  /** The whole block, from its first line to the end of its last. */
  readonly text: string;
  /** The file without it. */
  readonly rest: string;
}

/** Puts a block together. @param body lines of TOML, each with its end. */
export function formatBlock(mark: Mark, body: string): string {
  const note = '# Written by noost, which takes it out again. What stands outside of these lines is yours.\n';
  return `${BEGIN}${JSON.stringify(mark)}\n${note}${body}${END}\n`;
}

/** The block in a file; `undefined` if there is none, or none that is whole. */
export function findBlock(text: string): Found | undefined {
  const found = BLOCK.exec(text);
  const mark = parseMark(found?.[1] ?? '');
  if (found === null || mark === undefined) return undefined;
  const before = text.slice(0, found.index);
  const head = mark.broken && before.endsWith('\n') ? before.slice(0, -1) : before;
  return {mark, text: found[0], rest: head + text.slice(found.index + found[0].length)};
}

/** Whether a line of ours is in it, in whatever state: what is left of a block that somebody edited. */
export function hasRemains(text: string): boolean {
  return text.split('\n').some((line) => line.startsWith(BEGIN) || line.trimEnd() === END);
}

/** The mark of a block whose end is gone, if its first line is there. */
export function brokenMark(text: string): Mark | undefined {
  const line = text.split('\n').find((one) => one.startsWith(BEGIN));
  return line === undefined ? undefined : parseMark(line.slice(BEGIN.length));
}

/** Without our own lines of comment. */
export function withoutMarks(text: string): string {
  return text
    .split(/(?<=\n)/)
    .filter((line) => !line.startsWith(BEGIN) && line.trimEnd() !== END && !line.startsWith('# Written by noost,'))
    .join('');
}

function parseMark(text: string): Mark | undefined {
  try {
    const mark = JSON.parse(text) as Partial<Mark>; // checked below
    const texts = [mark.owner, mark.since, mark.url, mark.base, mark.mode];
    if (!texts.every((value) => typeof value === 'string') || typeof mark.made !== 'number') return undefined;
    return {...(mark as Mark), broken: mark.broken === true};
  } catch {
    return undefined;
  }
}
