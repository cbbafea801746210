import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {describeTree, makeTree, type Tree} from '../../test/node-tree.ts';
import {HOST} from '../../test/node-victim.ts';
import {runtimeFiles, type Runtime} from './runtime-files.ts';
import {parseToml, type TomlValue} from './toml-text.ts';

const WRITER = {owner: 'a', since: new Date('2026-11-25T20:00:00Z')};
const WANTED = {host: HOST, registries: undefined};
const SAID = {configFile: undefined, certsPath: undefined};
const DROP_IN = 'etc/containers/registries.conf.d/50-noost.conf';

const CRIO: Tree = {
  'etc/containers/registries.conf': {file: 'unqualified-search-registries = ["docker.io"]\n'},
  'etc/containers/registries.conf.d/010-corp.conf': {
    file: '[[registry]]\nprefix = "quay.io"\nlocation = "mirror.corp/quay"\n',
    mode: 0o640,
  },
  'etc/containers/registries.conf.d/README': {file: 'not TOML'},
};

for (const [what, runtime, tree, files] of [
  ['CRI-O with a mirror of the company', 'crio', CRIO, [DROP_IN]],
  ['CRI-O without a folder for drop-ins', 'crio', {'etc/containers/policy.json': {file: '{}'}}, [DROP_IN]],
  ['k3s without a file', 'k3s', {'etc/rancher/k3s/config.yaml': {file: 'a: b\n'}}, ['etc/rancher/k3s/registries.yaml']],
  [
    'a k3s agent that has no folder yet',
    'k3s',
    {'etc/rancher/node/password': {file: 'x'}},
    ['etc/rancher/k3s/registries.yaml'],
  ],
  [
    'RKE2 with a file',
    'rke2',
    {'etc/rancher/rke2/registries.yaml': {file: 'mirrors:\n  docker.io:\n    endpoint: ["https://m"]\n', mode: 0o640}},
    ['etc/rancher/rke2/registries.yaml'],
  ],
  [
    'RKE2 with a linked file',
    'rke2',
    {'srv/r.yaml': {file: 'configs: {}\n'}, 'etc/rancher/rke2/registries.yaml': {link: '/srv/r.yaml'}},
    ['etc/rancher/rke2/registries.yaml'],
  ],
] as const satisfies (readonly [string, Runtime, Tree, readonly string[]])[]) {
  test(`runtimeFiles, ${what}: written for root alone, twice is once, and given back as it was`, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-runtime-'));
    await makeTree(folder.path, tree);
    const before = await describeTree(folder.path);
    const there = await runtimeFiles(runtime, {root: folder.path, ...SAID});
    assert.deepEqual(there.findings, []);
    const did = async (): Promise<string[]> => (await there.install(WANTED, WRITER)).map(({did: what}) => what);
    assert.equal((await did())[0], 'written');
    const between = await describeTree(folder.path);
    assert.equal((await did())[0], 'unchanged');
    assert.deepEqual(await describeTree(folder.path), between);
    for (const file of files) {
      assert.ok(
        between.some((line) => line.startsWith(`${file} 100600 `)),
        file,
      );
      assert.match(
        await readFile(join(folder.path, file), 'utf8'),
        /127\.0\.0\.1:5055\/noost-secret-0123456789abcdef0123/,
      );
    }
    assert.equal((await there.inspect())[0]?.mark?.owner, 'a');
    await there.uninstall();
    assert.deepEqual(await describeTree(folder.path), before);
  });
}

test("the drop-in for CRI-O has the registries that nobody else's file has", async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-runtime-'));
  await makeTree(folder.path, CRIO);
  const there = await runtimeFiles('crio', {root: folder.path, ...SAID});
  const outcomes = await there.install(WANTED, WRITER);
  assert.match(outcomes.find(({name}) => name === 'quay.io')?.why ?? '', /010-corp\.conf configures it/);
  const {registry} = parseToml(await readFile(join(folder.path, DROP_IN), 'utf8'));
  const prefixes = (registry as readonly Record<string, TomlValue>[]).map(({prefix}) => prefix);
  assert.ok(prefixes.includes('docker.io') && !prefixes.includes('quay.io'), JSON.stringify(prefixes));
  await writeFile(
    join(folder.path, 'etc/containers/registries.conf'),
    '[[registry]]\nprefix = "*.io"\n[[registry]]\nlocation = "x"\n',
  );
  await there.install({...WANTED, registries: ['ghcr.io']}, WRITER);
  assert.deepEqual(await there.inspect(), [], 'nothing is left for it');
});

test('a file of the same name that is not ours is left alone', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-runtime-'));
  await makeTree(folder.path, {...CRIO, [DROP_IN]: {file: '[[registry]]\nprefix = "x"\n'}});
  const before = await describeTree(folder.path);
  const there = await runtimeFiles('crio', {root: folder.path, ...SAID});
  assert.equal((await there.install(WANTED, WRITER))[0]?.did, 'left alone');
  await there.uninstall();
  assert.deepEqual(await describeTree(folder.path), before);
});

for (const runtime of ['crio', 'k3s', 'rke2'] as const) {
  test(`runtimeFiles of ${runtime} where there is none`, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-runtime-'));
    const there = await runtimeFiles(runtime, {root: folder.path, ...SAID});
    assert.deepEqual(
      there.findings.map(({code}) => code),
      ['no-folder'],
    );
    const [outcome] = await there.install(WANTED, WRITER);
    assert.equal(outcome?.did, 'left alone');
    assert.deepEqual(await describeTree(folder.path), []);
  });
}
