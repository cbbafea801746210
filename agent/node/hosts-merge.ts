import {createHash} from 'node:crypto';
import {isDeepStrictEqual} from 'node:util';
import {brokenMark, findBlock, formatBlock, hasRemains, withoutMarks, type Found, type Mark} from './hosts-mark.ts';
import {
  isTable,
  parseToml,
  statementsOf,
  tableAt,
  type Statement,
  type TomlTable,
  type TomlValue,
} from './toml-text.ts';

/** The agent as a host of containerd's. */
export interface AgentHost {
  /** As `http://127.0.0.1:5055`. */
  readonly url: string;
  readonly secret: string | undefined;
  /** Before the hosts that are there already, or behind them. */
  readonly order: 'first' | 'last';
}

/** Certificate files beside a hosts.toml that containerd uses only where it says nothing: relative names. */
export interface Certificates {
  readonly ca: readonly string[];
  readonly client: readonly (readonly [cert: string, key: string])[];
}

/** A secret as a part of a repository's path, for runtimes that send no headers. @throws {NotMergeable} */
export function asComponent(secret: string): string {
  if (/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/.test(secret)) return secret;
  throw new NotMergeable('the secret has to be of lower-case letters and digits here, for it becomes part of a path');
}

/** A hosts.toml that we leave as it is: the message says why, and what to do. */
export class NotMergeable extends Error {
  override readonly name = 'NotMergeable';
}

/** A dead agent on loopback refuses at once; this bounds a full queue of connections. Older containerds ignore it (B-011). */
const DIAL_TIMEOUT = '200ms';
const SECRET = 'Noost-Node-Secret';

/**
 * Writes our table into a hosts.toml: all else stays as it is, byte for byte. containerd asks hosts in the file's order
 * (B-008), and 2.x takes a table that is interrupted by another for two: ours stand together (containerd
 * `getSortedHosts`, v2.2.0).
 * @param base the file without our block.
 * @param certificates used if the file says nothing, for then containerd reads them by itself, and would no longer.
 * @throws {NotMergeable}
 */
export function mergeHosts(
  base: string,
  host: AgentHost,
  certificates: Certificates,
  noted: Omit<Mark, 'url' | 'base' | 'broken'>,
): string {
  const before = readTables(base);
  const statements = statementsOf(base);
  const extra = statements.length === 0 ? certificates : {ca: [], client: []};
  const url = freeName(host.url, tableAt(before, 'host'));
  const at = host.order === 'first' ? beforeFirstTable(base, statements) : base.length;
  const broken = at === base.length && base !== '' && !base.endsWith('\n');
  const block = formatBlock({...noted, url, base: digestOf(base), broken}, bodyOf(url, host.secret, extra));
  const text = `${base.slice(0, at)}${broken ? '\n' : ''}${block}${base.slice(at)}`;
  if (!isDeepStrictEqual(readTables(text), expected(before, url, host.secret, extra)))
    throw new NotMergeable('its hosts are written in a way that allows no other beside them: use [host."…"] tables');
  return text;
}

/** What is in a file of ours, or of somebody who edited it since. */
export interface TakenOut {
  readonly rest: string;
  /** `undefined` if our first line is gone. */
  readonly mark: Mark | undefined;
  /** Nobody has changed anything but the block. */
  readonly untouched: boolean;
}

/**
 * Takes our block out, or what is left of it.
 * @returns `undefined` if nothing of ours is in the text.
 * @throws {NotMergeable} if something is, and it cannot be told from the rest.
 */
export function takeOut(text: string): TakenOut | undefined {
  let found = findBlock(text);
  if (found === undefined) return hasRemains(text) ? takeOutRemains(text) : undefined;
  const first: Found = found;
  let rest = text;
  for (; found !== undefined; found = findBlock(rest)) rest = found.rest; // somebody may have copied it
  return {rest, mark: first.mark, untouched: digestOf(rest) === first.mark.base};
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

function readTables(text: string): TomlTable {
  try {
    return parseToml(text);
  } catch (error) {
    const [line = ''] = (error as Error).message.split('\n');
    throw new NotMergeable(`it is not valid TOML, so containerd does not use it either: ${line}`, {cause: error});
  }
}

/** The agent may be there already, written by hand and without the secret: a table's name may stand only once. */
function freeName(url: string, hosts: TomlTable): string {
  const names = [url, `${url}/v2`, `${url}/v2/`];
  const free = names.find((name) => !Object.hasOwn(hosts, name));
  if (free === undefined) throw new NotMergeable(`it names ${url} already, in every way there is: take that out`);
  return free;
}

/** Root keys must stay before the first table; comments right above a table belong to it. */
function beforeFirstTable(text: string, statements: readonly Statement[]): number {
  const first = statements.find(({table}) => table !== undefined);
  if (first === undefined) return text.length;
  let at = text.lastIndexOf('\n', first.start - 1) + 1;
  const floor = statements.filter(({end}) => end <= first.start).reduce((last, {end}) => Math.max(last, end), 0);
  for (;;) {
    const above = at < 2 ? 0 : text.lastIndexOf('\n', at - 2) + 1;
    // A first line of comment stays first: other programs know their files by it (k3s does).
    if (above === 0 || above < floor || !text.slice(above, at).trimStart().startsWith('#')) return at;
    at = above;
  }
}

function bodyOf(url: string, secret: string | undefined, {ca, client}: Certificates): string {
  const name = JSON.stringify(url);
  const lines = [
    ...(ca.length === 0 ? [] : [`ca = ${JSON.stringify(ca)}`]),
    ...(client.length === 0 ? [] : [`client = ${JSON.stringify(client)}`]),
    `[host.${name}]`,
    '  capabilities = ["pull", "resolve"]',
    `  dial_timeout = "${DIAL_TIMEOUT}"`,
    ...(secret === undefined ? [] : [`  [host.${name}.header]`, `    ${SECRET} = ${JSON.stringify([secret])}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function expected(before: TomlTable, url: string, secret: string | undefined, {ca, client}: Certificates): TomlTable {
  const ours: TomlTable = {
    capabilities: ['pull', 'resolve'],
    dial_timeout: DIAL_TIMEOUT,
    ...(secret === undefined ? {} : {header: {[SECRET]: [secret]}}),
  };
  return {
    ...before,
    ...(ca.length === 0 ? {} : {ca: [...ca]}),
    ...(client.length === 0 ? {} : {client: client.map((pair) => [...pair])}),
    host: {...tableAt(before, 'host'), [url]: ours},
  };
}

/** A block without its first or last line: the tables are ours whose header holds the secret, or that the mark names. */
function takeOutRemains(text: string): TakenOut {
  const mark = brokenMark(text);
  const hosts = tableAt(readTables(text), 'host');
  const isOurs = (name: string | undefined): boolean =>
    name !== undefined && (name === mark?.url || hasSecret(hosts[name]));
  let rest = '';
  let kept = 0;
  let ours = false;
  for (const {start, end, table} of statementsOf(text)) {
    if (table !== undefined) {
      const is = table[0] === 'host' && isOurs(table[1]);
      if (is && !ours) rest += text.slice(kept, text.lastIndexOf('\n', start) + 1);
      ours = is;
    }
    if (ours) kept = end;
  }
  rest = withoutMarks(rest + text.slice(kept));
  const wanted = Object.fromEntries(Object.entries(hosts).filter(([name]) => !isOurs(name)));
  if (!isDeepStrictEqual(tableAt(readTables(rest), 'host'), wanted))
    throw new NotMergeable('lines of ours are in it that cannot be told from yours: take out what names the agent');
  return {rest, mark, untouched: mark !== undefined && digestOf(rest) === mark.base};
}

function hasSecret(host: TomlValue | undefined): boolean {
  return isTable(host) && Object.hasOwn(tableAt(host, 'header'), SECRET);
}
