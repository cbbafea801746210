import type {JsonSchema} from './json-schema.ts';
import type {KnownSettings} from './settings.ts';

/** Tables of a page of docs/, from the schema: between these lines nothing is written by hand. */
export interface Tables {
  /** The file that the schema is in, for who wonders. */
  readonly source: string;
  /** Title → table. */
  readonly sections: readonly (readonly [title: string, table: string])[];
}

const END = '<!-- end of what is generated -->';

/** `text` with what is between the two lines replaced. @throws {RangeError} if they are not there. */
export function withTables(text: string, {source, sections}: Tables): string {
  const begin = `<!-- generated from ${source}: npm test says how -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(END)];
  if (from === -1 || to < from) throw new RangeError('The document has no place for the tables');
  const tables = [begin, ...sections.flatMap(([title, table]) => [`### ${title}`, table]), END].join('\n\n');
  return text.slice(0, from) + tables + text.slice(to + END.length);
}

/** Every key with its flag and variable. */
export function settingsTable({settings}: KnownSettings): string {
  return table(
    ['key', 'flag', 'variable', 'default', 'what'],
    settings.map(({key, flag, variable, schema}) => [
      code(key),
      code(`--${flag}`),
      code(variable),
      shownDefault(schema),
      sentence(schema),
    ]),
  );
}

export function shortsTable({shorts}: KnownSettings): string {
  return table(
    ['flag', 'variable', 'what'],
    shorts.map(({flag, variable, description}) => [code(`--${flag}`), code(variable), escaped(description)]),
  );
}

/** The keys of one item of a list. */
export function keyTable(schema: JsonSchema): string {
  return table(['key', 'default', 'what'], rowsOf(schema, ''));
}

function rowsOf(schema: JsonSchema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const key = `${prefix}${name}`;
    if (inner.properties !== undefined)
      return [[code(key), '', escaped(inner.description ?? '')], ...rowsOf(inner, `${key}.`)];
    return [[code(key), schema.required?.includes(name) === true ? 'required' : shownDefault(inner), sentence(inner)]];
  });
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return [titles, titles.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function shownDefault({default: value}: JsonSchema): string {
  if (value === undefined) return '';
  return code(typeof value === 'string' ? value : JSON.stringify(value));
}

function sentence({description = '', enum: choices}: JsonSchema): string {
  const values = choices === undefined ? '' : ` (${choices.map(code).join(', ')})`;
  return escaped(description) + values;
}

function code(text: string): string {
  return `\`${text}\``;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|');
}
