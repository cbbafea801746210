import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, utimes, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask, type Answer} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import type {FakeImage} from '../fake-content.ts';
import {needs} from '../needs.ts';
import {Disk} from '../disk.ts';

// Proof 5: kills at each step, a full disk, a read-only disk, a corrupted blob, a corrupted index. After a restart
// promise 1 holds and the next pull is right.

const MIB = 1 << 20;
const configFor = (registry: FakeRegistry, more: object = {}): {config: Record<string, unknown>} => ({
  config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url}], ...more},
});

async function pull(agent: AgentRig, image: FakeImage): Promise<Answer[]> {
  const answers = [await ask(agent.address, `/v2/app/manifests/${image.digest}?ns=up.test`)];
  for (const digest of [image.config, ...image.layers])
    answers.push(await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`));
  return answers;
}

async function assertPullsRight(agent: AgentRig, image: FakeImage): Promise<void> {
  const answers = await pull(agent, image);
  const digests = [image.digest, image.config, ...image.layers];
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.status, 200, answer.body.toString().slice(0, 200));
    assert.equal(answer.complete, true);
    assert.equal(answer.digest, digests[i]);
  }
}

/** Promise 1, by the folder itself: every file under a digest has that digest. */
async function assertWhole(dataDir: string): Promise<number> {
  let files = 0;
  for (const folder of await readdir(join(dataDir, 'blobs', 'sha256')).catch(() => []))
    for (const hex of await readdir(join(dataDir, 'blobs', 'sha256', folder))) {
      const actual = createHash('sha256')
        .update(await readFile(join(dataDir, 'blobs', 'sha256', folder, hex)))
        .digest('hex');
      assert.equal(actual, hex);
      files++;
    }
  return files;
}

const blobFile = (agent: AgentRig, digest: string): string => {
  const hex = digest.slice('sha256:'.length);
  return join(agent.dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex);
};

for (const point of [
  'store.ingest.created',
  'store.append',
  'store.verify',
  'store.commit.synced',
  'store.commit.renamed',
  'store.commit.indexed',
])
  for (const at of [1, 2, 3])
    test(
      `killed at ${point}, pass ${at}: nothing wrong is visible, and the next pull is right`,
      {timeout: 60_000},
      async () => {
        await using registry = await FakeRegistry.start();
        const image = registry.content.addImage('app', 'v1', [randomBytes(3 * MIB), randomBytes(100)]);
        await using agent = await AgentRig.start({...configFor(registry), env: {NOOST_FAULT: `${point}=kill@${at}`}});
        const answers = await pull(agent, image).catch(() => []);
        assert.ok(
          answers.some(({complete}) => !complete),
          'the fault struck',
        );
        assert.equal(await agent.ended(), 'SIGKILL');
        await assertWhole(agent.dataDir);
        await agent.restart({env: {NOOST_FAULT: ''}});
        await assertPullsRight(agent, image);
        await assertWhole(agent.dataDir);
        registry.clear();
        await assertPullsRight(agent, image);
        assert.deepEqual(registry.lines(), [], 'all of it is on disk now');
      },
    );

test(
  'a download that was killed in the middle is resumed with Range after the restart',
  {timeout: 60_000},
  async () => {
    await using registry = await FakeRegistry.start();
    const digest = registry.content.addBlob('app', randomBytes(20 * MIB));
    await using agent = await AgentRig.start(configFor(registry));
    registry.fail({kind: 'stall', after: 12 * MIB}, {path: /blobs/});
    const first = ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {leaveAfter: 11 * MIB, keep: false});
    await first;
    await agent.stop('SIGKILL');
    registry.clear();
    await agent.restart();
    assert.equal((await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false})).digest, digest);
    const range = String(registry.requests[0]?.headers['range']);
    assert.match(range, /^bytes=\d{7,}-$/);
  },
);

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
      if (when === 'while it is stopped') await agent.stop();
      for (const digest of [image.digest, String(image.layers[0])])
        await harm(blobFile(agent, digest)).catch(() => undefined);
      if (when === 'while it is stopped') await agent.restart();
      registry.clear();
      await assertPullsRight(agent, image);
      assert.ok(
        registry.lines().some((line) => line.includes(String(image.layers[0]))),
        registry.lines().join(', '),
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

test(
  'a full disk: pulls pass through, whole and right, and are kept again when there is room',
  {timeout: 120_000},
  async (t: TestContext) => {
    if (!needs(t, 'root', 'mount', 'umount')) return;
    await using disk = await Disk.tmpfs(24);
    await using registry = await FakeRegistry.start();
    await using agent = await AgentRig.start(
      configFor(registry, {data: join(disk.folder, 'data'), cache: {minFreeDisk: '0%', maxSize: '1GiB'}}),
    );
    await writeFile(join(disk.folder, 'ballast'), randomBytes(18 * MIB));
    const image = registry.content.addImage('app', 'v1', [randomBytes(12 * MIB), randomBytes(1000)]);
    await assertPullsRight(agent, image);
    await assertWhole(agent.dataDir);
    await rm(join(disk.folder, 'ballast'));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await assertPullsRight(agent, image);
    registry.clear();
    await assertPullsRight(agent, image);
    assert.deepEqual(registry.lines(), [], 'kept again');
  },
);

test(
  'a disk that fills up in the middle of a download: the client gets all of it, right',
  {timeout: 120_000},
  async (t: TestContext) => {
    if (!needs(t, 'root', 'mount', 'umount')) return;
    await using disk = await Disk.tmpfs(40);
    await using registry = await FakeRegistry.start();
    await using agent = await AgentRig.start(
      configFor(registry, {data: join(disk.folder, 'data'), cache: {minFreeDisk: '0%', maxSize: '1GiB'}}),
    );
    const digest = registry.content.addBlob('app', randomBytes(30 * MIB));
    registry.fail({kind: 'slow', bytesPerSecond: 10 * MIB}, {path: /blobs/});
    const clients = [1, 2, 3].map(() => ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false}));
    await new Promise((resolve) => setTimeout(resolve, 800));
    await writeFile(join(disk.folder, 'ballast'), randomBytes(20 * MIB)).catch(() => undefined);
    for (const answer of await Promise.all(clients)) {
      assert.equal(answer.complete, true);
      assert.equal(answer.digest, digest);
    }
    await assertWhole(agent.dataDir);
  },
);

test(
  'a disk that turns read-only: pulls pass through, and what is there is still served',
  {timeout: 120_000},
  async (t: TestContext) => {
    if (!needs(t, 'root', 'mount', 'umount')) return;
    await using disk = await Disk.tmpfs(64);
    await using registry = await FakeRegistry.start();
    await using agent = await AgentRig.start(configFor(registry, {data: join(disk.folder, 'data')}));
    const before = registry.content.addImage('app', 'before', [randomBytes(MIB)]);
    await assertPullsRight(agent, before);
    await agent.stop();
    await disk.remount('ro');
    await agent.restart().catch(() => undefined); // readiness may say no, and does: the store cannot be written
    const image = registry.content.addImage('app', 'v1', [randomBytes(MIB)]);
    await assertPullsRight(agent, image);
    await assertPullsRight(agent, before);
    await disk.remount('rw');
  },
);

test('a second agent on the same data folder is refused, and says why', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await AgentRig.start(configFor(registry));
  await assert.rejects(
    AgentRig.start({...configFor(registry, {data: agent.dataDir}), readyMs: 8_000}),
    /in use|already|lock/i,
  );
});

test('a data folder of an unknown layout is refused and left as it is', async () => {
  await using registry = await FakeRegistry.start();
  const folder = await mkdtemp(join(tmpdir(), 'noost-layout-'));
  await writeFile(join(folder, 'layout.json'), '{"version":99}');
  await assert.rejects(AgentRig.start({...configFor(registry, {data: folder}), readyMs: 8_000}), /99/);
  assert.deepEqual(await readdir(folder), ['layout.json']);
  await rm(folder, {recursive: true});
});
