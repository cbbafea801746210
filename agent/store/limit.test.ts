import assert from 'node:assert/strict';
import {readdirSync, readSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {poll} from '../../test/poll.ts';
import {HOUR, keep, linkTo, newContent, ROOMY, StoreRig, TemporaryFolder} from '../../test/store-rig.ts';
import {StoreFullError} from './contract.ts';

const MAX = 1_000_000;
const LIMITS = {...ROOMY, maxBytes: MAX};

describe('the limit', () => {
  test('is never exceeded while ten times as much comes, and a reader of what goes is not disturbed', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const first = newContent(50_000);
    await keep(rig.store, first.bytes, {sizeBytes: 50_000});
    const reader = await rig.store.open(first.digest);
    assert.ok(reader);
    let most = 0;
    for (let round = 0; round < 50; round++) {
      rig.clock.now += HOUR;
      await Promise.all(
        Array.from({length: 4}, async (_, n) => {
          const {bytes} = newContent(50_000);
          await keep(rig.store, bytes, {sizeBytes: n % 2 === 0 ? bytes.length : undefined}).catch((error: unknown) => {
            assert.ok(error instanceof StoreFullError, String(error)); // all four at once may be too much, and say so
          });
          most = Math.max(most, bytesBelow(folder.path));
        }),
      );
    }
    assert.ok(most <= MAX, `${most} bytes`);
    assert.ok(most > MAX / 2, `${most} bytes`);
    assert.equal(await rig.store.open(first.digest), undefined);
    const bytes = Buffer.alloc(50_000);
    assert.equal(readSync(reader.fd, bytes, 0, 50_000, 0), 50_000);
    assert.ok(bytes.equals(first.bytes));
    reader.close();
    const usage = await rig.store.usage();
    assert.equal(usage.reservedBytes, 0);
    await poll('files that go are gone', () => bytesBelow(join(folder.path, 'blobs')) === rig.store.local?.usedBytes);
  });

  test('an image goes as a whole, the least recently used first; a HEAD and a shared base layer keep', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const {store, clock} = rig;
    const base = await keep(store, newContent(200_000).bytes);
    const images = [];
    for (const name of ['one', 'two', 'three']) {
      clock.now += HOUR;
      const layer = await keep(store, newContent(200_000).bytes);
      const manifest = await keep(store, Buffer.from(name), {kind: 'manifest', children: [base, layer]});
      await store.addLink(linkTo(manifest, name, {kind: 'manifest'}));
      images.push({manifest, layer});
    }
    const [one, two, three] = images;
    assert.ok(one && two && three);
    clock.now += HOUR;
    store.touch(one.manifest); // a HEAD: nobody asks for its layers
    await keep(store, newContent(300_000).bytes, {sizeBytes: 300_000});
    assert.deepEqual(
      await Promise.all([one, two, three].map(async ({layer}) => (await store.stat(layer)) !== undefined)),
      [true, false, true],
    );
    assert.equal(await store.stat(two.manifest), undefined);
    assert.deepEqual(await store.links(two.manifest), []);
    assert.ok(await store.stat(base));
    assert.match(rig.told.join(), /^evicted size 2 \d+$/);
  });

  test('room that is promised counts', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const big = await rig.store.ingest(newContent(1).digest, 900_000);
    await assert.rejects(rig.store.ingest(newContent(1).digest, 200_000), StoreFullError);
    await big.abandon(false);
    await (await rig.store.ingest(newContent(1).digest, 200_000)).abandon(false);
  });

  test('a blob of unknown size stops where the cache ends, and what was written stays readable', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const ingest = await rig.store.ingest(newContent(1).digest, undefined);
    const chunk = Buffer.alloc(300_000, 'x');
    for (let n = 0; n < 3; n++) await ingest.append([chunk]);
    await assert.rejects(ingest.append([chunk]), StoreFullError);
    const read = Buffer.alloc(900_000);
    assert.equal(readSync(ingest.fd, read, 0, 900_000, 0), 900_000);
    await ingest.abandon(false);
    assert.equal((await rig.store.usage()).reservedBytes, 0);
  });

  test('left-overs go before blobs do', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const kept = await keep(rig.store, newContent(500_000).bytes);
    const {bytes, digest} = newContent(90_000);
    const ingest = await rig.store.ingest(digest, undefined);
    await ingest.append([bytes]);
    await ingest.abandon(true);
    assert.equal(await rig.store.leftover(digest), 89_999);
    await keep(rig.store, newContent(450_000).bytes, {sizeBytes: 450_000});
    assert.equal(await rig.store.leftover(digest), 0);
    assert.ok(await rig.store.stat(kept));
  });

  test('a smaller limit takes effect at once', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    for (let n = 0; n < 9; n++) {
      rig.clock.now += HOUR;
      await keep(rig.store, newContent(100_000).bytes);
    }
    rig.store.setLimits({...LIMITS, maxBytes: 350_000});
    await poll('evicted', async () => (await rig.store.usage()).sizeBytes <= 350_000);
    assert.equal((await rig.store.usage()).maxBytes, 350_000);
  });

  test('a file system with too little free space is relieved, and takes nothing new when that does not help', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
    const digest = await keep(rig.store, newContent(1000).bytes);
    const usage = await rig.store.usage();
    assert.equal(usage.capacityBytes, usage.maxBytes);
    const leaves = Math.floor(usage.diskFreeBytes / 2);
    rig.store.setLimits({...LIMITS, maxBytes: 2 ** 50, minFree: {bytes: leaves}});
    const {capacityBytes, diskFreeBytes, sizeBytes} = await rig.store.usage();
    const byDisk = sizeBytes + diskFreeBytes - leaves;
    assert.ok(Math.abs(capacityBytes - byDisk) < 10 * 2 ** 20, `${String(capacityBytes)}, not ${String(byDisk)}`);
    rig.store.setLimits({...LIMITS, minFree: {share: 1}});
    assert.equal((await rig.store.usage()).capacityBytes, 0);
    await poll('evicted', () => rig.told.join() === 'evicted free 1 1000');
    assert.equal(await rig.store.stat(digest), undefined);
    await assert.rejects(rig.store.ingest(digest, 10), StoreFullError);
    await assert.rejects(rig.store.ingest(digest, undefined), StoreFullError);
  });

  test('what nobody used for too long goes, but not because the clock was set', async () => {
    using folder = new TemporaryFolder();
    const steady = {now: 0};
    await using rig = await StoreRig.open(folder.path, {limits: LIMITS, monotonic: () => steady.now});
    const digest = await keep(rig.store, newContent(1000).bytes);
    rig.clock.now += 100 * 24 * HOUR;
    await rig.store.local?.upkeep.tick();
    assert.ok(await rig.store.stat(digest), 'the wall clock was set');
    rig.clock.now -= 300 * 24 * HOUR;
    await rig.store.local?.upkeep.tick();
    assert.ok(await rig.store.stat(digest), 'and set back');
    rig.clock.now += 31 * 24 * HOUR;
    steady.now += 31 * 24 * HOUR;
    await rig.store.local?.upkeep.tick();
    assert.equal(await rig.store.stat(digest), undefined);
    assert.deepEqual(rig.told, ['evicted idle 1 1000']);
  });
});

describe('what `noost ls` and `noost rm` ask', () => {
  test('images are listed by name with what is below them, and removed with what nothing else needs', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {store} = rig;
    const base = await keep(store, newContent(1000).bytes);
    const [la, lb] = [await keep(store, newContent(100).bytes), await keep(store, newContent(10).bytes)];
    const a = await keep(store, Buffer.from('a'), {kind: 'manifest', children: [base, la]});
    const b = await keep(store, Buffer.from('b'), {kind: 'manifest', children: [base, lb]});
    const missing = digestOf(Buffer.from('missing'));
    const index = await keep(store, Buffer.from('i'), {kind: 'manifest', children: [a, missing]});
    const name = {registry: 'docker.io', repository: 'library/a'};
    for (const digest of [a, b, index])
      await store.addLink(linkTo(digest, 'library/a', {kind: 'manifest', mediaType: 'x/y'}));
    for (const authority of ['anonymous', 'node'] as const)
      await store.putTag({...name, tag: '1', authority, digest: index, mediaType: 'x/y', sizeBytes: 1, resolvedAt: 7});
    const list = await store.images({limit: 10});
    assert.deepEqual(
      list.map(({reference, sizeBytes, complete, resolvedAt}) => ({reference, sizeBytes, complete, resolvedAt})),
      [
        {reference: '1', sizeBytes: 1102, complete: true, resolvedAt: 7},
        {reference: b, sizeBytes: 1011, complete: true, resolvedAt: undefined},
      ],
    );
    assert.equal((await store.images({limit: 1, after: 'docker.io/library/a:1'}))[0]?.reference, b);
    assert.deepEqual(await store.images({limit: 1, match: 'nothing'}), []);
    assert.equal(await store.removeImage(name, '1'), 102);
    assert.deepEqual(
      (await store.images({limit: 10})).map(({reference}) => reference),
      [b],
    );
    assert.equal(await store.tag(name, '1', 'node'), undefined);
    assert.equal(await store.removeImage(name, b), 1011);
    assert.equal((await store.usage()).sizeBytes, 0);
    assert.equal(await store.removeImage(name, 'unknown'), 0);
  });

  test('what another repository shows stays', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const manifest = await keep(rig.store, Buffer.from('m'), {kind: 'manifest'});
    for (const repository of ['a', 'b']) await rig.store.addLink(linkTo(manifest, repository, {kind: 'manifest'}));
    assert.equal(await rig.store.removeImage({registry: 'docker.io', repository: 'a'}, manifest), 0);
    assert.equal(await rig.store.removeImage({registry: 'docker.io', repository: 'b'}, manifest), 1);
  });
});

/** Of blobs, parts and what is in quarantine; the index is not counted. */
function bytesBelow(path: string): number {
  return readdirSync(path, {recursive: true, encoding: 'utf8'})
    .filter((name) => !/^(index\.db|lock|layout)/.test(name))
    .map((name) => statSync(join(path, name), {throwIfNoEntry: false}))
    .reduce((sum, stat) => sum + (stat?.isFile() ? stat.size : 0), 0);
}
