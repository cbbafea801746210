import {parse, TomlDate} from 'smol-toml';

/** What a document holds, in ordinary objects, so that two can be compared. Dates are texts. */
export type TomlValue = string | number | bigint | boolean | readonly TomlValue[] | TomlTable;
export interface TomlTable {
  readonly [key: string]: TomlValue;
}

/** A table's header or a key with its value, as it stands in the text. */
export interface Statement {
  /** Where its first character is; blanks before it belong to nothing. */
  readonly start: number;
  /** Behind its line's end. */
  readonly end: number;
  /** Of a header: its parts, `['host', 'https://…', 'header']`. `undefined` for a key. */
  readonly table: readonly string[] | undefined;
}

/**
 * The statements of a TOML document in order. Tells a header from a line of an array of arrays, and a comment from a
 * string that holds a `#`: enough to insert and take out whole tables without touching anything else.
 * @param text valid TOML. @throws {Error} if it is not.
 */
export function statementsOf(text: string): Statement[] {
  const found: Statement[] = [];
  for (let at = nextStatement(text, 0); at < text.length; at = nextStatement(text, at)) {
    const end = endOfStatement(text, at);
    const table = text[at] === '[' ? tablePath(text.slice(at, end)) : undefined;
    found.push({start: at, end, table});
    at = end;
  }
  return found;
}

/** A TOML document as values. A byte-order mark before it is no part of it. @throws {Error} */
export function parseToml(text: string): TomlTable {
  const options = {integersAsBigInt: 'asNeeded'} as const;
  return plain(parse(text.startsWith('\uFEFF') ? text.slice(1) : text, options)) as TomlTable; // a document is a table
}

/** A table within a table; empty if there is none of this name. */
export function tableAt(table: TomlTable, ...path: readonly string[]): TomlTable {
  let inner = table;
  for (const key of path) {
    const value = Object.hasOwn(inner, key) ? inner[key] : undefined;
    if (!isTable(value)) return {};
    inner = value;
  }
  return inner;
}

export function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value);
}

function plain(value: unknown): TomlValue {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof TomlDate) return value.toISOString();
  if (typeof value !== 'object' || value === null) return value as TomlValue; // the other kinds that TOML has
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** Over blanks, line ends, comments and a byte-order mark. */
function nextStatement(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    if (text[at] === '#') at = endOfLine(text, at);
    else if (' \t\r\n\uFEFF'.includes(text[at] ?? '')) at++;
    else break;
  }
  return at;
}

/** Behind the first line's end that is in no string and no bracket; those of a header close on its line. */
function endOfStatement(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length;) {
    const character = text[at] ?? '';
    if (character === '#') at = endOfLine(text, at);
    else if (character === '\n' && depth === 0) return at + 1;
    else if (character === '"' || character === "'") at = endOfString(text, at);
    else {
      if ('[{'.includes(character)) depth++;
      if (']}'.includes(character)) depth--;
      at++;
    }
  }
  return text.length;
}

function endOfString(text: string, from: number): number {
  const quote = text[from] ?? '';
  const long = quote.repeat(3);
  const mark = text.startsWith(long, from) ? long : quote;
  let at = from + mark.length;
  while (at < text.length && !text.startsWith(mark, at)) at += quote === '"' && text[at] === '\\' ? 2 : 1;
  at += mark.length;
  // A long string may end with up to two quotes of its own: """a""""" is a"".
  for (let own = 0; mark === long && own < 2 && text[at] === quote; own++) at++;
  return at;
}

function endOfLine(text: string, from: number): number {
  const at = text.indexOf('\n', from);
  return at === -1 ? text.length : at;
}

function tablePath(header: string): string[] {
  const path: string[] = [];
  let inner: unknown = parse(header);
  for (;;) {
    if (Array.isArray(inner)) inner = inner[0];
    const [key, ...more] = Object.keys(inner as object);
    if (key === undefined || more.length > 0) return path;
    path.push(key);
    inner = (inner as Record<string, unknown>)[key];
  }
}
