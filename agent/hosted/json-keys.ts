/** The keys of one object, each as often as it stands there. */
export interface ObjectKeys {
  /** 1 is the outermost. */
  readonly depth: number;
  /** The key that it, or the list it is in, stands under; empty for the outermost. */
  readonly under: string;
  readonly keys: readonly string[];
}

/**
 * The keys of all objects of a text that `JSON.parse` has accepted: the parsed object holds the last of those that are
 * equal, and other readers take the first.
 */
export function keysOfObjects(text: string): readonly ObjectKeys[] {
  const objects: ObjectKeys[] = [];
  /** What is open: an object's keys so far, or for a list the key that it stands under. */
  const open: (string[] | string)[] = [];
  let isKey = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    const inner = open.at(-1);
    if (char === '"') {
      const end = endOfString(text, at);
      if (isKey && typeof inner === 'object') inner.push(JSON.parse(text.slice(at, end + 1)) as string); // it begins with a quote
      isKey = false;
      at = end;
    } else if (char === '{' || char === '[') {
      const under = (typeof inner === 'object' ? inner.at(-1) : inner) ?? '';
      const keys: string[] = [];
      if (char === '{') objects.push({depth: open.length + 1, under, keys});
      open.push(char === '{' ? keys : under);
      isKey = char === '{';
    } else if (char === '}' || char === ']') {
      open.pop();
      isKey = false;
    } else if (char === ',') isKey = typeof inner === 'object';
  }
  return objects;
}

/** Where the closing quote is, or the text ends. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
