import assert from 'node:assert/strict';
import {chmod, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {describeTree, makeTree} from '../../test/node-tree.ts';
import {poll} from '../../test/poll.ts';
import {install} from './certs-dir.ts';
import {NodeCleaner} from './cleaner.ts';
import {whyNotClean} from './keep.ts';

const CERTS = '/etc/containerd/certs.d';
const WANTED = {
  host: {url: 'http://127.0.0.1:5055', secret: undefined, order: 'first'},
  registries: undefined,
} as const;
const LOG = {debug: () => {}, info: () => {}, warn: () => {}, error: () => {}};

async function node(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'noost-clean-'));
  t.after(async () => await rm(root, {recursive: true, force: true}));
  await makeTree(root, {
    [`${CERTS}/docker.io/hosts.toml`]: {file: 'server = "https://mirror.example"\n', mode: 0o640},
    [`${CERTS}/broken/hosts.toml`]: {file: 'server = ["\n'},
  });
  return root;
}

function cleaner(root: string): NodeCleaner {
  const config = {
    configure: 'remove',
    hostRoot: root,
    containerdConfig: undefined,
    certsDir: undefined,
    registries: undefined,
    order: 'first',
  } as const;
  return new NodeCleaner({config, log: LOG as never, everyMs: 10}); // what it says of it is all that it needs
}

test('what any agent wrote is taken out, files that are none of ours are left, and then the node is clean', async (t) => {
  const root = await node(t);
  const before = await describeTree(root);
  await install({root, path: CERTS}, WANTED, {owner: 'killed', since: new Date()});
  assert.notDeepEqual(await describeTree(root), before);
  const cleaning = cleaner(root);
  assert.notEqual(cleaning.notClean, undefined, 'nothing is known before it has looked');
  await cleaning.start();
  assert.equal(cleaning.notClean, undefined);
  assert.deepEqual(await describeTree(root), before);
  await cleaning.stop();
});

test('an agent that comes back is taken out again', async (t) => {
  const root = await node(t);
  const cleaning = cleaner(root);
  await cleaning.start();
  await install({root, path: CERTS}, WANTED, {owner: 'old', since: new Date()});
  const file = join(root, CERTS, 'docker.io/hosts.toml');
  await poll('it is gone', async () => !(await readFile(file, 'utf8')).includes('noost:begin'));
  await cleaning.stop();
});

test('a file that still names an agent keeps the node from being clean, and is named', async (t) => {
  const root = await node(t);
  await install({root, path: CERTS}, WANTED, {owner: 'killed', since: new Date()});
  // Somebody broke what we wrote: it cannot be taken out without guessing.
  const file = join(root, CERTS, 'docker.io/hosts.toml');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('# noost:end\n', ''));
  await chmod(file, 0o600);
  const cleaning = cleaner(root);
  await cleaning.start();
  await cleaning.stop();
  const left = await readFile(file, 'utf8');
  if (left.includes('127.0.0.1:5055')) assert.match(cleaning.notClean ?? '', /docker\.io/);
  else assert.equal(cleaning.notClean, undefined);
});

test('an agent that is to clean its node is not ready before it has begun', () => {
  assert.equal(whyNotClean({node: {configure: 'containerd'} as never}, undefined), undefined);
  assert.match(whyNotClean({node: {configure: 'remove'} as never}, undefined) ?? '', /not been looked at/);
});
