import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {mkdtempDisposable, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import fc from 'fast-check';
import {describeTree, makeTree, type Tree, type TreeEntry} from '../../test/node-tree.ts';
import {CERTS, HOST} from '../../test/node-victim.ts';
import {inspect, install, uninstall, type Outcome} from './certs-dir.ts';
import {findBlock} from './hosts-mark.ts';
import {parseToml, tableAt} from './toml-text.ts';

const WRITER = {owner: 'a', since: new Date('2026-11-25T20:00:00Z')};
const WANTED = {host: HOST, registries: undefined};
const isRoot = process.getuid?.() === 0;

const CORP = 'server = "https://ghcr.io"\n\n[host."https://mirror.corp"]\n  ca = "corp.crt"\n';

/** As much of what one meets as fits into one tree. */
const RICH: Tree = {
  'etc/containerd/config.toml': {file: 'version = 2\n'},
  'etc/common.toml': {file: '[host."https://common.corp"]\n', mode: 0o640},
  'etc/elsewhere/hosts.toml': {file: CORP},
  [`.${CERTS}/ghcr.io/hosts.toml`]: {file: CORP, mode: 0o640, ...(isRoot ? {owner: 1234} : {})},
  [`.${CERTS}/ghcr.io/corp.crt`]: {file: 'PEM'},
  [`.${CERTS}/registry.corp_5000_/ca.crt`]: {file: 'PEM', mode: 0o600},
  [`.${CERTS}/registry.corp_5000_/client.cert`]: {file: 'PEM'},
  [`.${CERTS}/registry.corp_5000_/client.key`]: {file: 'KEY', mode: 0o600},
  [`.${CERTS}/link.corp/hosts.toml`]: {link: '../../../common.toml'},
  [`.${CERTS}/absolute.corp/hosts.toml`]: {link: '/etc/common.toml'},
  [`.${CERTS}/elsewhere.corp`]: {link: '/etc/elsewhere'},
  [`.${CERTS}/alias.corp`]: {link: 'ghcr.io'},
  [`.${CERTS}/dangling.corp/hosts.toml`]: {link: 'nowhere'},
  [`.${CERTS}/broken.corp/hosts.toml`]: {file: 'server = \n'},
  [`.${CERTS}/binary.corp/hosts.toml`]: {file: Uint8Array.of(0xff, 0xfe, 0)},
  [`.${CERTS}/twin.corp/hosts.toml`]: {file: CORP},
  [`.${CERTS}/other-twin.corp/hosts.toml`]: {hardLink: `.${CERTS}/twin.corp/hosts.toml`},
  [`.${CERTS}/empty.corp`]: {folder: true, mode: 0o700},
  [`.${CERTS}/localhost_5000_/hosts.toml`]: {file: CORP},
  [`.${CERTS}/README`]: {file: 'mine'},
};

async function treeOf(stack: AsyncDisposableStack, tree: Tree): Promise<string> {
  const {path} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-node-')));
  await makeTree(path, tree);
  return path;
}

function did(outcomes: readonly Outcome[]): Record<string, Outcome['did']> {
  return Object.fromEntries(outcomes.map(({name, did: what}) => [name, what]));
}

test('install merges into every folder it can, tells why not, and twice is once; uninstall gives back the very files', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await treeOf(stack, RICH);
  const certs = {root, path: CERTS};
  const before = await describeTree(root);
  const first = await install(certs, WANTED, WRITER);
  assert.deepEqual(did(first), {
    _default: 'written',
    'absolute.corp': 'written',
    'alias.corp': 'written',
    'binary.corp': 'left alone',
    'broken.corp': 'left alone',
    'dangling.corp': 'left alone',
    'elsewhere.corp': 'written',
    'empty.corp': 'written',
    'ghcr.io': 'unchanged', // reached by its alias
    'link.corp': 'written',
    localhost_5000_: 'left alone',
    'other-twin.corp': 'written',
    'registry.corp_5000_': 'written',
    'twin.corp': 'written',
  });
  const between = await describeTree(root);
  const again = await install(certs, WANTED, {owner: 'a', since: new Date()});
  assert.ok(again.every(({did: what}) => what === 'unchanged' || what === 'left alone'));
  assert.deepEqual(await describeTree(root), between);
  const secret = await readFile(join(root, CERTS, 'registry.corp_5000_', 'hosts.toml'), 'utf8');
  assert.deepEqual(parseToml(secret)['client'], [['client.cert', 'client.key']]);
  const readable = between
    .filter((line) => /\/hosts\.toml 100(?!600)/.test(line))
    .map((line) => line.split('/').at(-2));
  assert.deepEqual(readable, ['binary.corp', 'broken.corp', 'localhost_5000_'], 'the secret is for root alone');
  await uninstall(certs);
  assert.deepEqual(await describeTree(root), before);
});

for (const [what, tree, why] of [
  ['certs.d is missing', {'etc/containerd/config.toml': {file: ''}}, undefined],
  ['certs.d is empty', {[`.${CERTS}`]: {folder: true}}, undefined],
  ['certs.d is a link', {'opt/certs/ghcr.io/hosts.toml': {file: CORP}, [`.${CERTS}`]: {link: '/opt/certs'}}, undefined],
  ['there is no containerd', {'etc/passwd': {file: ''}}, /there is no .*\/etc\/containerd/],
] satisfies [string, Tree, RegExp | undefined][]) {
  test(`install and uninstall where ${what}`, async () => {
    await using stack = new AsyncDisposableStack();
    const root = await treeOf(stack, tree);
    const certs = {root, path: CERTS};
    const before = await describeTree(root);
    const outcome = (await install(certs, WANTED, WRITER)).find(({name}) => name === '_default');
    assert.match(outcome?.why ?? '', why ?? /^$/);
    if (why === undefined) assert.equal((await inspect(certs)).find(({name}) => name === '_default')?.mark?.owner, 'a');
    await uninstall(certs);
    assert.deepEqual(await describeTree(root), before);
  });
}

const content = fc.oneof(
  fc.constantFrom<string | Uint8Array>(
    '',
    '\n',
    '# c',
    CORP,
    CORP.trimEnd(),
    'server = "https://a"',
    'x = [',
    Uint8Array.of(255),
  ),
  fc.string(),
);
const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      file: content,
      mode: fc.constantFrom(0o600, 0o644, 0o640, 0o444, 0o4755),
      owner: fc.constantFrom(...(isRoot ? [0, 1, 65_534] : [process.getuid?.() ?? 0])),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      link: fc.constantFrom('../x/hosts.toml', '/etc/common.toml', '/etc/none', 'hosts.toml', '..'),
    }),
  },
  {weight: 1, arbitrary: fc.constant<TreeEntry>({folder: true})},
);
const registries = fc.dictionary(
  fc.constantFrom('_default', 'docker.io', 'x', 'a_5000_', 'b:5000', 'localhost', '.hidden'),
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.dictionary(fc.constantFrom('hosts.toml', 'a.crt', 'b.cert', 'b.key', 'other'), entry, {maxKeys: 4}),
    },
    {weight: 1, arbitrary: fc.constantFrom('x', '/etc/containerd', '/nowhere', '_default')},
  ),
);

test('uninstall after install, and after edits of nothing, is as if nothing had been, for any tree', async () => {
  await fc.assert(
    fc.asyncProperty(registries, fc.boolean(), async (folders, hasSecret) => {
      await using stack = new AsyncDisposableStack();
      const tree: Record<string, TreeEntry> = {
        'etc/containerd/config.toml': {file: ''},
        'etc/common.toml': {file: CORP, mode: 0o604},
      };
      for (const [name, files] of Object.entries(folders)) {
        if (typeof files === 'string') tree[`.${CERTS}/${name}`] = {link: files};
        else
          for (const [file, what] of Object.entries({'': {folder: true as const}, ...files}))
            tree[`.${CERTS}/${name}/${file}`] = what;
      }
      const root = await treeOf(stack, tree);
      const certs = {root, path: CERTS};
      const before = await describeTree(root);
      const host = {...HOST, secret: hasSecret ? HOST.secret : undefined};
      await install(certs, {host, registries: undefined}, WRITER);
      const between = await describeTree(root);
      await install(certs, {host, registries: undefined}, WRITER);
      assert.deepEqual(await describeTree(root), between);
      await install(
        certs,
        {host: {...host, secret: 'another-0123456789'}, registries: undefined},
        {...WRITER, owner: 'b'},
      );
      await uninstall(certs, 'a'); // which is no longer there
      await uninstall(certs);
      assert.deepEqual(await describeTree(root), before);
    }),
    {numRuns: 60},
  );
});

const POINTS = [
  'temporary',
  'written',
  'keep',
  'kept',
  'folder',
  'rename',
  'renamed',
  'restore',
  'remove',
  'gone',
  'removed',
];
const VICTIM = fileURLToPath(new URL('../../test/node-victim.ts', import.meta.url));

/** @returns whether it came to its end. */
function victim(root: string, what: string, faults = ''): Promise<boolean> {
  const args = [...process.execArgv.filter((arg) => !arg.startsWith('--test')), VICTIM, root, what];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, {env: {...process.env, NOOST_FAULT: faults}}, (error, stdout, stderr) => {
      if (stdout === 'done\n') resolve(true);
      else if (error?.signal === 'SIGKILL') resolve(false);
      else reject(new Error(stderr));
    });
  });
}

for (const point of POINTS) {
  test(`killed at node.${point}, at each pass, in install and in uninstall: what runs next finds back`, async () => {
    await using stack = new AsyncDisposableStack();
    const root = await treeOf(stack, RICH);
    const before = await describeTree(root);
    let kills = 0;
    for (const pass of [1, 2, 5]) {
      const faults = `node.${point}=kill@${pass}`;
      if (!(await victim(root, 'install', faults))) kills++;
      await victim(root, 'uninstall');
      assert.deepEqual(await describeTree(root), before, `install, killed at pass ${pass}, then uninstall`);
      await victim(root, 'install', faults);
      await victim(root, 'install');
      assert.equal((await inspect({root, path: CERTS})).filter(({mark}) => mark !== undefined).length, 10);
      if (!(await victim(root, 'uninstall', faults))) kills++;
      await victim(root, 'uninstall');
      assert.deepEqual(await describeTree(root), before, `uninstall, killed at pass ${pass}, then uninstall`);
    }
    assert.ok(kills > 0, 'the point is passed');
  });
}

test('what the user does to a file with our lines in it is kept', async (t) => {
  await using stack = new AsyncDisposableStack();
  const root = await treeOf(stack, RICH);
  const certs = {root, path: CERTS};
  const file = (name: string): string => join(root, CERTS, name, 'hosts.toml');
  const text = (name: string): Promise<string> => readFile(file(name), 'utf8');
  await install(certs, WANTED, WRITER);
  await t.test('added to', async () => {
    await writeFile(file('ghcr.io'), `${await text('ghcr.io')}\n[host."https://new.corp"]\n`);
    await install(certs, WANTED, WRITER);
    assert.deepEqual(Object.keys(tableAt(parseToml(await text('ghcr.io')), 'host')), [
      HOST.url,
      'https://mirror.corp',
      'https://new.corp',
    ]);
  });
  await t.test('added to one that we made', async () => {
    await writeFile(file('_default'), `${await text('_default')}[host."https://new.corp"]\n`);
  });
  await t.test('written anew', async () => writeFile(file('twin.corp'), 'server = "https://new.corp"\n'));
  await t.test('removed', async () => rm(file('link.corp')));
  await t.test('the file behind a link', async () => {
    await writeFile(join(root, 'etc/common.toml'), '[host."https://other.corp"]\n');
    await install(certs, WANTED, WRITER);
    assert.match(await text('absolute.corp'), /127\.0\.0\.1:5055[^]*other\.corp/);
  });
  await t.test('and a folder that appears later has us, too', async () => {
    await makeTree(root, {[`.${CERTS}/late.corp/hosts.toml`]: {file: CORP}});
    assert.equal(did(await install(certs, WANTED, WRITER))['late.corp'], 'written');
  });
  await uninstall(certs);
  assert.equal(await text('ghcr.io'), `${CORP}\n[host."https://new.corp"]\n`);
  assert.equal(await text('_default'), '[host."https://new.corp"]\n');
  assert.equal(await text('twin.corp'), 'server = "https://new.corp"\n');
  assert.equal(await text('late.corp'), CORP);
  const left = (await describeTree(root)).filter((line) => /noost/.test(line));
  assert.deepEqual(left, []);
  assert.equal(findBlock(await text('other-twin.corp')), undefined);
});

test('install for some registries only makes their folders, and leaves the others and _default alone', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await treeOf(stack, {
    [`.${CERTS}/ghcr.io/hosts.toml`]: {file: CORP},
    [`.${CERTS}/quay.io/hosts.toml`]: {file: CORP},
  });
  const certs = {root, path: CERTS};
  const before = await describeTree(root);
  const wanted = {host: HOST, registries: ['ghcr.io', 'docker.io', 'reg.corp:5000']};
  assert.deepEqual(did(await install(certs, wanted, WRITER)), {
    'docker.io': 'written',
    'ghcr.io': 'written',
    'reg.corp_5000_': 'written',
  });
  await uninstall(certs);
  assert.deepEqual(await describeTree(root), before);
  await makeTree(root, {[`.${CERTS}/_default/hosts.toml`]: {file: CORP}});
  assert.deepEqual(did(await install(certs, wanted, WRITER)), {
    'docker.io': 'left alone',
    'ghcr.io': 'written',
    'reg.corp_5000_': 'left alone',
  });
});
