import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {setTimeout as delay} from 'node:timers/promises';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import type {FakeImage} from '../fake-content.ts';
import {poll} from '../poll.ts';

// Proof 7: the cache keeps its limit, drops whole images in the right order, and never breaks a running transfer.

const MIB = 1 << 20;
const LIMIT = 64 * MIB;

async function pull(agent: AgentRig, tag: string, image: FakeImage): Promise<void> {
  assert.equal((await ask(agent.address, `/v2/app/manifests/${tag}?ns=up.test`)).status, 200);
  for (const digest of [image.config, ...image.layers]) {
    const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false});
    assert.equal(answer.digest, digest);
  }
}

const start = (registry: FakeRegistry): Promise<AgentRig> =>
  AgentRig.start({
    config: {
      cache: {maxSize: '64MiB', minFreeDisk: '0%'},
      upstreams: [{host: 'up.test', url: registry.url, freshFor: '1h'}],
    },
  });

test(
  'filling ten times the limit keeps usage under it at every moment, and the last image is whole',
  {timeout: 180_000},
  async () => {
    await using registry = await FakeRegistry.start();
    await using agent = await start(registry);
    let most = 0;
    const watch = setInterval(() => {
      void agent.metric('noost_cache_bytes').then((bytes) => {
        most = Math.max(most, bytes);
      });
    }, 50);
    let last: FakeImage | undefined;
    for (let i = 0; i < 40; i++) {
      last = registry.content.addImage('app', `v${i}`, [randomBytes(8 * MIB), randomBytes(8 * MIB)]);
      await pull(agent, `v${i}`, last);
    }
    clearInterval(watch);
    assert.ok(most > LIMIT / 2 && most <= LIMIT, `${most} of ${LIMIT}`);
    assert.ok((await agent.metric('noost_cache_evictions_total', {reason: 'size'})) >= 70);
    registry.clear();
    await pull(agent, 'v39', last as FakeImage);
    assert.deepEqual(registry.lines(), [], 'the last image is on disk as a whole');
  },
);

test(
  'whole images are dropped, the least recently asked for first; base layers of images in use stay',
  {timeout: 120_000},
  async () => {
    await using registry = await FakeRegistry.start();
    await using agent = await start(registry);
    const base = randomBytes(20 * MIB);
    const old = registry.content.addImage('app', 'old', [randomBytes(10 * MIB)]);
    const used = registry.content.addImage('app', 'used', [base, randomBytes(MIB)]);
    await pull(agent, 'old', old);
    await pull(agent, 'used', used);
    await delay(1_100);
    // A runtime that has an image asks only HEAD for its tag, and never again for its layers (design §5).
    assert.equal((await ask(agent.address, '/v2/app/manifests/used?ns=up.test', {method: 'HEAD'})).status, 200);
    for (let i = 0; i < 6; i++) {
      const image = registry.content.addImage('app', `n${i}`, [randomBytes(12 * MIB)]);
      await pull(agent, `n${i}`, image);
      await delay(1_100);
      await ask(agent.address, '/v2/app/manifests/used?ns=up.test', {method: 'HEAD'});
    }
    registry.clear();
    await pull(agent, 'used', used);
    assert.deepEqual(registry.lines(), [], 'the image in use is whole');
    assert.equal(
      (await ask(agent.address, `/v2/app/blobs/${old.layers[0]}?ns=up.test`, {keep: false})).digest,
      old.layers[0],
    );
    assert.ok(registry.lines().length > 0, 'the old one had gone');
  },
);

test('a transfer that runs while its blob is dropped ends right', {timeout: 120_000}, async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await start(registry);
  const victim = registry.content.addImage('app', 'victim', [randomBytes(16 * MIB)]);
  await pull(agent, 'victim', victim);
  const slow = ask(agent.address, `/v2/app/blobs/${victim.layers[0]}?ns=up.test`, {
    keep: false,
    bytesPerSecond: 6 * MIB,
  });
  await delay(1_100);
  for (let i = 0; i < 8; i++)
    await pull(agent, `n${i}`, registry.content.addImage('app', `n${i}`, [randomBytes(14 * MIB)]));
  await poll('the blob was dropped', async () => {
    const {images} = JSON.parse(await agent.noost('ls', '--json')) as {
      images: {reference: string; complete: boolean}[];
    };
    return !images.some(({reference, complete}) => reference === 'victim' && complete);
  });
  const answer = await slow;
  assert.equal(answer.complete, true);
  assert.equal(answer.digest, victim.layers[0]);
});

test('a blob that is larger than the cache passes through, and the cache keeps what it had', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await start(registry);
  const kept = registry.content.addImage('app', 'kept', [randomBytes(MIB)]);
  await pull(agent, 'kept', kept);
  const digest = registry.content.addBlob('app', randomBytes(80 * MIB));
  const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false});
  assert.equal(answer.complete, true);
  assert.equal(answer.digest, digest);
  const range = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {headers: {range: 'bytes=5-9'}});
  assert.equal(range.status, 206);
  assert.ok(range.body.equals(registry.content.at('app').blobs.get(digest)?.subarray(5, 10) as Buffer));
  registry.clear();
  await pull(agent, 'kept', kept);
  assert.deepEqual(registry.lines(), []);
  assert.equal(await agent.metric('noost_bypasses_total', {reason: 'full'}), 2);
});

test('an upstream that only announces a large blob does not empty the cache', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await AgentRig.start({
    config: {
      cache: {maxSize: '200MiB', minFreeDisk: '0%'},
      upstreams: [{host: 'up.test', url: registry.url, freshFor: '1h'}],
    },
  });
  const kept = registry.content.addImage('app', 'kept', [randomBytes(100 * MIB)]);
  await pull(agent, 'kept', kept);
  const digest = registry.content.addBlob('app', Buffer.alloc(190 * MIB, 1));
  registry.fail({kind: 'stall', after: 1000}, {path: /blobs/});
  const answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`, {keep: false, leaveAfter: 500});
  assert.equal(answer.status, 200);
  registry.clear();
  await pull(agent, 'kept', kept);
  assert.deepEqual(registry.lines(), []);
});
