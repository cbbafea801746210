import type {JsonSchema} from './json-schema.ts';
import {newJsonSchema} from './json-schema.ts';
import {SETTINGS, SHORT_SETTINGS} from './settings.ts';

/** The tables of docs/configuration.md, from the schema: between these lines nothing is written by hand. */
export const TABLES_BEGIN = '<!-- generated from agent/config/schema.ts: npm test says how -->';
export const TABLES_END = '<!-- end of what is generated -->';

/** Every key with its flag and variable, then the keys of the two lists. */
export function renderReference(): string {
  const properties = newJsonSchema().properties ?? {};
  const listeners = properties['listeners']?.items ?? {};
  const upstreams = properties['upstreams']?.items ?? {};
  return [
    TABLES_BEGIN,
    '### Settings',
    table(
      ['key', 'flag', 'variable', 'default', 'what'],
      SETTINGS.map(({key, flag, variable, schema}) => [
        code(key),
        code(`--${flag}`),
        code(variable),
        shownDefault(schema),
        sentence(schema),
      ]),
    ),
    '### In short',
    table(
      ['flag', 'variable', 'what'],
      SHORT_SETTINGS.map(({flag, variable, description}) => [code(`--${flag}`), code(variable), escaped(description)]),
    ),
    '### Keys of a listener',
    keyTable(listeners),
    '### Keys of an upstream',
    keyTable(upstreams),
    TABLES_END,
  ].join('\n\n');
}

/** `text` with what is between the two lines replaced. @throws {RangeError} if they are not there. */
export function withReference(text: string): string {
  const [begin, end] = [text.indexOf(TABLES_BEGIN), text.indexOf(TABLES_END)];
  if (begin === -1 || end < begin) throw new RangeError('The document has no place for the tables');
  return text.slice(0, begin) + renderReference() + text.slice(end + TABLES_END.length);
}

function keyTable(schema: JsonSchema): string {
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
