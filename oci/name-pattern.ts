/** A pattern of repository names, or of tags, that has been read. */
export interface Pattern {
  readonly text: string;
  readonly matches: (name: string) => boolean;
}

const MAX_PATTERN = 255;
/** What repositories consist of (A-010), and stars. */
const NAME_PATTERN = /^(?:[a-z0-9._*-]+)(?:\/[a-z0-9._*-]+)*$/;
const TAG_PATTERN = /^[A-Za-z0-9_.*-]{1,128}$/;

/**
 * Reads a pattern of repositories: `*` is any part of one component, a component `**` any number of them, none included.
 * @example `team/**` has `team/app` and `team/a/b`, not `team`; `**` has all.
 * @throws {SyntaxError}
 */
export function parseNamePattern(text: string): Pattern {
  if (text.length > MAX_PATTERN || !NAME_PATTERN.test(text)) throw new SyntaxError('Not a pattern of repositories');
  const components = text.split('/');
  if (components.some((one) => one.includes('**') && one !== '**')) throw new SyntaxError('** stands for components');
  // At the end it stands for one at least: what is below a name, not the name.
  const parts = components.at(-1) === '**' ? [...components.slice(0, -1), '*', '**'] : components;
  return {text, matches: (name) => matchesAll(parts, name.split('/'), isComponent, '**')};
}

/** Reads a pattern of tags: `*` is any part. @throws {SyntaxError} */
function parseOneTag(text: string): Pattern {
  if (!TAG_PATTERN.test(text)) throw new SyntaxError('Not a pattern of tags');
  return {text, matches: (tag) => isComponent(text, tag)};
}

/** `repository:tag`, both as patterns. @throws {SyntaxError} */
export function parseTagPattern(text: string): {readonly matches: (repository: string, tag: string) => boolean} {
  const colon = text.lastIndexOf(':');
  if (colon === -1) throw new SyntaxError('No colon before the pattern of tags');
  const [name, tag] = [parseNamePattern(text.slice(0, colon)), parseOneTag(text.slice(colon + 1))];
  return {matches: (repository, one) => name.matches(repository) && tag.matches(one)};
}

function isComponent(pattern: string, text: string): boolean {
  return matchesAll(pattern.split(''), text.split(''), (a, b) => a === b, '*');
}

/**
 * Whether the parts of a pattern, of which `any` stands for any number, are those of a text. In time of one times the
 * other, whatever the pattern: a star that turns out wrong is the last one only.
 */
function matchesAll<T>(
  pattern: readonly T[],
  text: readonly T[],
  same: (pattern: T, text: T) => boolean,
  any: T,
): boolean {
  let [p, t] = [0, 0];
  let star: {p: number; t: number} | undefined;
  while (t < text.length) {
    const [want, got] = [pattern[p], text[t] as T]; // t is within it
    if (p < pattern.length && want === any) star = {p: p++, t};
    else if (p < pattern.length && same(want as T, got)) [p, t] = [p + 1, t + 1];
    else if (star !== undefined) [p, t] = [star.p + 1, ++star.t];
    else return false;
  }
  while (pattern[p] === any) p++;
  return p === pattern.length;
}
