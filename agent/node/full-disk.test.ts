import assert from 'node:assert/strict';
import {appendFile, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {describeTree, makeTree} from '../../test/node-tree.ts';
import {needs} from '../../test/needs.ts';
import {SmallDisk} from '../../test/small-disk.ts';
import {install, uninstall} from './certs-dir.ts';

const CERTS = '/etc/containerd/certs.d';
const CORP = 'server = "https://a.example"\n[host."https://a.example"]\n  capabilities = ["pull"]\n';
const HOST = {url: 'http://127.0.0.1:5055', secret: 'f'.repeat(64), order: 'first'} as const;
const WANTED = {host: HOST, registries: undefined};

/** Until nothing more goes in: what the file system keeps for a name is small. */
async function fill(file: string): Promise<void> {
  for (const size of [1 << 20, 1 << 12, 1])
    for (;;) {
      try {
        await appendFile(file, Buffer.alloc(size));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
        break;
      }
    }
}

test('on a full disk install fails and leaves nothing behind; uninstall gives back every file that nobody edited', async (t) => {
  if (!needs(t, 'root', 'mount')) return;
  using disk = new SmallDisk(1);
  const root = disk.path;
  const certs = {root, path: CERTS};
  await makeTree(join(root, CERTS), {'docker.io/hosts.toml': {file: CORP}, 'quay.io/hosts.toml': {file: CORP}});
  const before = await describeTree(join(root, CERTS));
  const writer = {owner: 'a', since: new Date()};

  await fill(join(root, 'filler'));
  const failed = await install(certs, WANTED, writer);
  assert.deepEqual(
    failed.map(({did}) => did),
    ['failed', 'failed', 'failed'],
  );
  for (const {why} of failed) assert.match(why ?? '', /^ENOSPC/);
  assert.deepEqual(await describeTree(join(root, CERTS)), before);

  await rm(join(root, 'filler'));
  await install(certs, WANTED, writer);
  const edited = join(root, CERTS, 'quay.io/hosts.toml');
  await writeFile(edited, `${await readFile(edited, 'utf8')}# mine\n`);
  const whole = await describeTree(join(root, CERTS, 'quay.io'));
  await fill(join(root, 'filler'));
  const outcomes = await uninstall(certs, 'a');
  assert.equal(outcomes.find(({name}) => name === '_default')?.did, 'removed');
  assert.equal(outcomes.find(({name}) => name === 'docker.io')?.did, 'restored');
  // Removing the others made room for it, or it was told and stays as it is: never half of it.
  const {did} = outcomes.find(({name}) => name === 'quay.io') ?? {};
  if (did === 'failed') assert.deepEqual(await describeTree(join(root, CERTS, 'quay.io')), whole);
  else assert.equal(await readFile(edited, 'utf8'), `${CORP}# mine\n`);
  await rm(join(root, 'filler'));
  await uninstall(certs);
  assert.equal(await readFile(edited, 'utf8'), `${CORP}# mine\n`);
  await writeFile(edited, CORP);
  const after = await describeTree(join(root, CERTS));
  const names = (lines: readonly string[]): readonly (string | undefined)[] => lines.map((line) => line.split(' ')[0]);
  assert.deepEqual(names(after), names(before));
});
