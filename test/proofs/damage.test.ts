import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdir, open, rm, stat, truncate, utimes, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {Disk} from '../disk.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {needs} from '../needs.ts';
import {poll} from '../poll.ts';
import {assertPullsRight, assertWhole, configFor} from '../whole-pull.ts';

// Proof 5: a corrupted blob and a corrupted index are found, and the next pull is right.

const MIB = 1 << 20;

/** The file of a blob, once it is there: a client has its last byte before the commit. */
async function blobFile(agent: AgentRig, digest: string): Promise<string> {
  const hex = digest.slice('sha256:'.length);
  const file = join(agent.dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex);
  return poll(`${digest} is on disk`, async () => ((await stat(file)).isFile() ? file : undefined));
}

for (const [what, harm] of [
  [
    'one byte is another',
    async (file: string) => {
      const handle = await open(file, 'r+');
      await handle.write(Buffer.from([0xff, 0x00, 0xff]), 0, 3, 1000);
      await handle.close();
    },
  ],
  [
    'one byte is another under the old mtime',
    async (file: string) => {
      const {atime, mtime} = await stat(file);
      const handle = await open(file, 'r+');
      await handle.write(Buffer.from([0xff, 0x00, 0xff]), 0, 3, 1000);
      await handle.close();
      await utimes(file, atime, mtime);
    },
  ],
  ['it was cut', (file: string) => truncate(file, 5000)],
  ['it was emptied', (file: string) => truncate(file, 0)],
  ['it is gone', (file: string) => rm(file)],
  [
    'it is a folder',
    async (file: string) => {
      await rm(file);
      await mkdir(file);
    },
  ],
] as const)
  for (const when of ['while the agent runs', 'while it is stopped'] as const)
    test(`a blob on disk of which ${what}, ${when}, is fetched again and right`, {timeout: 60_000}, async () => {
      await using registry = await FakeRegistry.start();
      const image = registry.content.addImage('app', 'v1', [randomBytes(2 * MIB)]);
      await using agent = await AgentRig.start(configFor(registry));
      await assertPullsRight(agent, image);
      const [layer] = image.layers;
      assert.ok(layer);
      const files = await Promise.all([image.digest, layer].map((digest) => blobFile(agent, digest)));
      if (when === 'while it is stopped') await agent.stop();
      for (const file of files) await harm(file);
      if (when === 'while it is stopped') await agent.restart();
      registry.clear();
      await assertPullsRight(agent, image);
      assert.ok(
        registry.lines().some((line) => line.includes(layer)),
        `not fetched again; asked: ${registry.lines().join(', ')}`,
      );
      await assertPullsRight(agent, image);
    });

test(
  'a byte that rotted under an unchanged inode leaves once at most to a client that asks again',
  {timeout: 60_000},
  async (t: TestContext) => {
    if (!needs(t, 'root', 'mkfs.ext4', 'debugfs', 'mount', 'umount')) return;
    await using disk = await Disk.ext4(64);
    await using registry = await FakeRegistry.start();
    const content = randomBytes(2 * MIB);
    const digest = registry.content.addBlob('app', content);
    const path = `/v2/app/blobs/${digest}?ns=up.test`;
    await using agent = await AgentRig.start(configFor(registry, {data: join(disk.folder, 'data')}));
    assert.equal((await ask(agent.address, path)).digest, digest);
    assert.equal((await ask(agent.address, path)).digest, digest);
    await agent.stop();
    await disk.rot(`data/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}`, content);
    await agent.restart();
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await ask(agent.address, path));
    const wrong = answers.filter((answer) => answer.complete && answer.digest !== digest);
    assert.ok(wrong.length <= 1, `${wrong.length} wrong answers were complete`);
    assert.equal(answers.at(-1)?.digest, digest);
  },
);

for (const [between, others, hashed] of [
  ['nobody else asks', [], false],
  ['another has pulled it in full', [{}], false],
  ['another has read parts of it', [{range: 'bytes=0-1048575'}, {range: 'bytes=1048576-'}], false],
  ['it was hashed before and nobody else asks', [], true],
  ['it was hashed before and another has pulled it in full', [{}], true],
] as const)
  test(
    `a byte that rots under a blob never reaches who asks for it all the time, however often it was right, when ${between}`,
    {timeout: 60_000},
    async (t: TestContext) => {
      if (!needs(t, 'root', 'mkfs.ext4', 'mount', 'umount', 'fincore')) return;
      await using disk = await Disk.ext4(64);
      await using registry = await FakeRegistry.start();
      const content = randomBytes(2 * MIB);
      const digest = registry.content.addBlob('app', content);
      const path = `/v2/app/blobs/${digest}?ns=up.test`;
      await using agent = await AgentRig.start(configFor(registry, {data: join(disk.folder, 'data')}));
      for (let i = 0; i < 9; i++) assert.equal((await ask(agent.address, path)).digest, digest);
      await blobFile(agent, digest);
      registry.clear();
      const stir = (): Promise<unknown> => Promise.all(Array.from({length: 8}, () => ask(agent.address, '/v2/')));
      const file = `data/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}`;
      if (hashed) {
        await disk.drop(file, stir);
        assert.equal((await ask(agent.address, path)).digest, digest);
      }
      await disk.rotInUse(file, content, stir);
      for (const headers of others) await ask(agent.address, path, {headers: {'user-agent': 'other', ...headers}});
      const answers = [];
      for (let i = 0; i < 3; i++) answers.push(await ask(agent.address, path));
      for (const answer of answers)
        assert.ok(!answer.complete || answer.digest === digest, 'a wrong answer was complete');
      const [first] = answers;
      if (hashed) assert.ok(first?.body.equals(content.subarray(0, first.bodyBytes)), 'a wrong byte left');
      assert.equal(answers.at(-1)?.digest, digest);
      assert.ok(
        registry.lines().some((line) => line.includes(digest)),
        'nothing was found wrong',
      );
    },
  );

for (const [what, harm] of [
  ['zeros', (file: string) => writeFile(file, Buffer.alloc(8192))],
  ['noise', (file: string) => writeFile(file, randomBytes(8192))],
  ['cut in the middle', async (file: string) => truncate(file, Math.floor((await stat(file)).size / 2))],
  ['gone', (file: string) => rm(file)],
] as const)
  test(
    `an index that is ${what} after a stop is built again from the files, and pulls are right meanwhile`,
    {timeout: 60_000},
    async () => {
      await using registry = await FakeRegistry.start();
      const image = registry.content.addImage('app', 'v1', [randomBytes(2 * MIB)]);
      await using agent = await AgentRig.start(configFor(registry));
      await assertPullsRight(agent, image);
      await agent.stop('SIGKILL');
      await harm(join(agent.dataDir, 'index.db'));
      for (const side of ['index.db-wal', 'index.db-shm']) await rm(join(agent.dataDir, side), {force: true});
      await agent.restart();
      await assertPullsRight(agent, image);
      await assertWhole(agent.dataDir);
    },
  );
