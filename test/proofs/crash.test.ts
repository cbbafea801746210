import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtemp, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {needs} from '../needs.ts';
import {poll} from '../poll.ts';
import {Disk} from '../disk.ts';
import {assertPullsRight, assertWhole, configFor, pull} from '../whole-pull.ts';

// Proof 5: kills at each step, a full disk, a read-only disk; damage.test.ts has the corrupted blob and index. After a
// restart promise 1 holds and the next pull is right.

const MIB = 1 << 20;

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
        // Cut short, or whole where the bytes were right before the fault struck: a commit follows the last byte.
        await pull(agent, image).catch(() => []);
        assert.equal(await agent.ended(), 'SIGKILL', 'the fault struck');
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
    assert.deepEqual(registry.lines(), [], `kept again: ${JSON.stringify(image)}; ${agent.lines.join(' ')}`);
  },
);

test('what no row names and had to make room is gone: the next pull keeps it again', {timeout: 60_000}, async () => {
  await using registry = await FakeRegistry.start();
  const [unnamed, large] = [3 * MIB, 6 * MIB].map((size) => registry.content.addBlob('app', randomBytes(size)));
  await using agent = await AgentRig.start({
    ...configFor(registry, {cache: {minFreeDisk: '0%', maxSize: '8MiB'}}),
    env: {NOOST_FAULT: 'store.index.write=ENOSPC@1'},
  });
  const get = async (digest: string | undefined): Promise<void> => {
    const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false});
    assert.equal(answer.digest, digest);
  };
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // the sweep at the start would give it a row
  await get(unnamed);
  await poll('the row was refused', () => agent.lines.some((line) => line.includes('could not be kept')));
  await get(large);
  await poll('it may be dropped', async () => (await agent.metric('noost_fills_inflight')) === 0);
  assert.equal(await agent.metric('noost_cache_evictions_total'), 0, 'what had to go had no row');
  registry.clear();
  await get(unnamed);
  await get(unnamed);
  assert.deepEqual(registry.lines(), [`GET /v2/app/blobs/${unnamed}`]);
});

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
