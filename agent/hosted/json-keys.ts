/** Deeper JSON is refused: no manifest needs it, and what reads it recursively must not be led into the depth (D-033). */
const MAX_DEPTH = 64;

/**
 * The keys of the outermost object of a text that `JSON.parse` has accepted, each as often as it stands there: the parsed
 * object holds the last of those that are equal, and other readers take the first.
 * @throws {SyntaxError} where it is nested too deep.
 */
export function outerKeys(text: string): readonly string[] {
  const keys: string[] = [];
  let [depth, isKey] = [0, false];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      const end = endOfString(text, at);
      if (depth === 1 && isKey) keys.push(JSON.parse(text.slice(at, end + 1)) as string); // it begins with a quote
      isKey = false;
      at = end;
    } else if (char === '{' || char === '[') {
      if (++depth > MAX_DEPTH) throw new SyntaxError('Nested too deep');
      isKey = char === '{';
    } else if (char === '}' || char === ']') {
      depth--;
      isKey = false;
    } else if (char === ',') isKey = depth === 1;
  }
  return keys;
}

/** Where the closing quote is. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
