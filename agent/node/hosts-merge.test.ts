import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {findBlock} from './hosts-mark.ts';
import {mergeHosts, NotMergeable, takeOut, type AgentHost} from './hosts-merge.ts';
import {parseToml, statementsOf} from './toml-text.ts';

const AGENT: AgentHost = {url: 'http://127.0.0.1:5055', secret: '0123456789abcdef', order: 'first'};
const NOTED = {owner: 'a', since: '2026-11-25T20:00:00Z', mode: '644', made: 0};
const NONE = {ca: [], client: []};

function merge(base: string, host: Partial<AgentHost> = {}): string {
  return mergeHosts(base, {...AGENT, ...host}, NONE, NOTED);
}

/** The hosts in the order that containerd has them: by where their tables begin. */
function orderOf(text: string): string[] {
  const names = statementsOf(text).flatMap(({table}) => (table?.[0] === 'host' && table[1] ? [table[1]] : []));
  // As containerd 2 does it, which compares with the one before only.
  return names.filter((name, at) => name !== names[at - 1]);
}

const CORP = `# the company's
server = "https://ghcr.io"
ca = ["/etc/ssl/a.crt", "b.crt"]
client = [
  ["/etc/a.cert", "/etc/a.key"], # a line that begins with a bracket
  ["c.cert", "c.key"],
]
note = """
[host."https://not-a-table"]
# noost
"""

# the nearest
[host."https://mirror.corp:5000"]
  capabilities = ["pull", "resolve"]
  [host."https://mirror.corp:5000".header]
    X-Team = "a # no comment"

[host."https://other.corp"]
  skip_verify = true`;

for (const [what, base] of [
  ['nothing', ''],
  ['blank lines and a comment', '\n# mine\n'],
  ['a comment without a line end', '# mine'],
  ['only a server', 'server = "https://registry-1.docker.io"\n'],
  ['a server without a line end', 'server = "https://registry-1.docker.io"'],
  ['hosts, certificates, arrays of arrays, long strings', CORP],
  ['the same with a line end', `${CORP}\n`],
  ['carriage returns', CORP.replaceAll('\n', '\r\n')],
  ['a byte-order mark', `\uFEFF${CORP}`],
  ['a table called host', '[host]\n[host."https://a"]\n  capabilities = ["pull"]\n'],
  ['hosts by dotted keys', 'host."https://a".capabilities = ["pull"]\n'],
  ['quotes within quotes', `server = 'https://a'\nx = """a"""""\ny = '''b'\n[z]'''\n[host."https://b"]\n`],
  ['the agent, by hand', '[host."http://127.0.0.1:5055"]\n  capabilities = ["pull", "resolve"]\n'],
] as const) {
  for (const order of ['first', 'last'] as const)
    test(`mergeHosts, ours ${order}, keeps everything of a file with ${what}, and takeOut gives it back`, () => {
      const text = merge(base, {order});
      const [before, after] = [parseToml(base), parseToml(text)];
      const {host: hosts, ...rest} = after as {host: Record<string, unknown>};
      const {host: were = {}, ...restBefore} = before as {host?: Record<string, unknown>};
      assert.deepEqual(rest, restBefore);
      const url = findBlock(text)?.mark.url ?? '';
      assert.deepEqual({...hosts, [url]: undefined}, {...were, [url]: undefined});
      const names = orderOf(text);
      assert.equal(order === 'first' ? names[0] : names.at(-1), url);
      assert.equal(names.filter((name) => name === url).length, 1, 'one host to containerd 2, too');
      assert.deepEqual(takeOut(text), {rest: base, mark: findBlock(text)?.mark, untouched: true});
    });
}

test('mergeHosts keeps the certificates that containerd finds only where no hosts.toml says anything', () => {
  const certificates = {ca: ['a.crt', 'b.crt'], client: [['a.cert', 'a.key']] as const};
  const {ca, client} = parseToml(mergeHosts('# empty\n', AGENT, certificates, NOTED));
  assert.deepEqual({ca, client}, {ca: ['a.crt', 'b.crt'], client: [['a.cert', 'a.key']]});
  const said = mergeHosts('server = "https://a"\n', AGENT, certificates, NOTED);
  assert.equal(parseToml(said)['ca'], undefined, 'there containerd does not look for them');
});

for (const [what, base, reason] of [
  ['broken TOML', 'server = \n', /not valid TOML.*containerd does not use it either/],
  ['hosts that are one inline table', 'host = {"https://a" = {}}\n', /not valid TOML|allows no other/],
  ['the agent in all its names', ['', '/v2', '/v2/'].map((p) => `[host."${AGENT.url}${p}"]\n`).join(''), /names/],
] as const) {
  test(`mergeHosts leaves alone: ${what}`, () => {
    assert.throws(
      () => merge(base),
      (error: unknown) => error instanceof NotMergeable && reason.test(error.message),
    );
  });
}

test('takeOut finds what an edit left of the block', () => {
  const text = merge(CORP);
  const lines = text.split('\n');
  const begin = lines.findIndex((line) => line.startsWith('# noost:begin'));
  const end = lines.indexOf('# noost:end');
  for (const gone of [[begin], [end], [begin + 1], [begin, end]]) {
    const edited = lines.filter((_, at) => !gone.includes(at)).join('\n');
    const taken = takeOut(edited);
    if (gone.length === 2) assert.equal(taken, undefined, "without any mark it is the user's own");
    else assert.deepEqual(parseToml(taken?.rest ?? 'gone = 1'), parseToml(CORP));
  }
});

test('takeOut tells that somebody has edited the rest, and keeps it', () => {
  const edited = `${merge(`${CORP}\n`)}[host."https://new.corp"]\n`.replace(
    'skip_verify = true',
    'skip_verify = false',
  );
  const taken = takeOut(edited);
  assert.equal(taken?.untouched, false);
  assert.equal(
    taken?.rest,
    `${CORP}\n[host."https://new.corp"]\n`.replace('skip_verify = true', 'skip_verify = false'),
  );
});

test('takeOut of any valid file with our block is that file', () => {
  const name = fc.stringMatching(/^[a-z]{1,6}$/);
  const value = fc.oneof(
    fc.string().map((text) => JSON.stringify(text).replaceAll('\u007f', '')),
    fc.constantFrom("'lit # [x]'", '"""\n[a]\n"""', "'''\n[host.x]'''", '[ [1],\n [2] ]', '{a = "]"}', 'true', '1'),
  );
  const key = fc.tuple(name, value).map(([k, v]) => `${k} = ${v}`);
  const comment = fc.constantFrom('', '# c', '  # [host."x"]', '\t');
  const table = fc
    .tuple(name, fc.array(fc.oneof(key, comment), {maxLength: 4}))
    .map(([host, keys]) => [`[host."https://${host}"]`, ...keys]);
  const file = fc
    .tuple(
      fc.array(fc.oneof(key, comment), {maxLength: 5}),
      fc.array(table, {maxLength: 4}),
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
    )
    .map(([root, tables, eol, end]) => [...root, ...tables.flat()].join(eol) + (end ? eol : ''));
  fc.assert(
    fc.property(file, fc.constantFrom('first' as const, 'last' as const), (base, order) => {
      try {
        parseToml(base);
      } catch {
        return; // the same key twice
      }
      const text = merge(base, {order});
      assert.equal(takeOut(text)?.rest, base);
      const again = mergeHosts(takeOut(text)?.rest ?? '', {...AGENT, order}, NONE, NOTED);
      assert.equal(again, text);
    }),
    {numRuns: 2000},
  );
});
