import assert from 'node:assert/strict';
import {readdirSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {IntegrityError} from '../../oci/error.ts';
import {digestOf} from '../../oci/digest.ts';
import {poll} from '../../test/poll.ts';
import {keep, linkTo, newContent, ROOMY, StoreRig, TemporaryFolder} from '../../test/store-rig.ts';
import {StoreFullError} from './contract.ts';
import {Folder} from './folder.ts';
import {BLOCK_BYTES} from './sums.ts';

describe('ingest', () => {
  test('a blob is absent until it is committed, and whole then', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {store} = rig;
    const {bytes, digest} = newContent(3_000_000);
    const ingest = await store.ingest(digest, bytes.length);
    assert.equal(ingest.resumedBytes, 0);
    await ingest.append([bytes.subarray(0, 1), bytes.subarray(1, 2_000_000)]);
    assert.equal(await store.stat(digest), undefined);
    assert.equal(await store.open(digest), undefined);
    await ingest.append([bytes.subarray(2_000_000)]);
    await ingest.verify(undefined);
    assert.equal(await store.open(digest), undefined);
    await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: linkTo(digest)});
    assert.deepEqual((await store.read(digest, 4e6))?.bytes, bytes);
    assert.equal(store.peekLinks(digest, linkTo(digest))?.length ?? (await store.links(digest)).length, 1);
    const stat = statSync(new Folder(folder.path).blob(digest));
    assert.equal(stat.mode & 0o777, 0o444);
    assert.deepEqual(readdirSync(join(folder.path, 'ingest')), []);
    assert.deepEqual(rig.told, []);
  });

  test('append writes many buffers in order', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(5000);
    const ingest = await rig.store.ingest(digest, undefined);
    await Promise.all([
      ingest.append(Array.from({length: 2500}, (_, at) => bytes.subarray(at, at + 1))),
      ingest.append(Array.from({length: 2500}, (_, at) => bytes.subarray(2500 + at, 2501 + at))),
    ]);
    await ingest.verify(5000);
    await ingest.abandon(false);
  });

  for (const [name, wrong, sizeBytes] of [
    ['another byte', (bytes: Buffer) => Buffer.concat([bytes.subarray(1), Buffer.from([0])]), undefined],
    ['a byte too few', (bytes: Buffer) => bytes.subarray(1), undefined],
    ['another size than was said at the end', (bytes: Buffer) => bytes, 7],
  ] as const)
    test(`verify refuses ${name}, and nothing is left`, async () => {
      using folder = new TemporaryFolder();
      await using rig = await StoreRig.open(folder.path);
      const {bytes, digest} = newContent(1000);
      const ingest = await rig.store.ingest(digest, undefined);
      await ingest.append([wrong(bytes)]);
      await assert.rejects(ingest.verify(sizeBytes), IntegrityError);
      await ingest.abandon(false);
      assert.equal(await rig.store.leftover(digest), 0);
      assert.deepEqual(readdirSync(join(folder.path, 'ingest')), []);
      assert.equal((await rig.store.usage()).reservedBytes, 0);
    });

  test('append refuses more than was announced', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(1000);
    const ingest = await rig.store.ingest(digest, 999);
    await assert.rejects(ingest.append([bytes]), IntegrityError);
    await ingest.abandon(false);
  });

  test('what an interrupted ingest left is continued, also by the next process', async () => {
    using folder = new TemporaryFolder();
    const {bytes, digest} = newContent(1_000_000);
    {
      await using rig = await StoreRig.open(folder.path);
      const ingest = await rig.store.ingest(digest, bytes.length);
      await ingest.append([bytes.subarray(0, 600_000)]);
      await ingest.abandon(true);
      assert.equal(await rig.store.leftover(digest), 599_999);
    }
    await using rig = await StoreRig.open(folder.path);
    const ingest = await rig.store.ingest(digest, bytes.length);
    assert.equal(ingest.resumedBytes, 599_999);
    assert.equal(ingest.writtenBytes, 599_999);
    await ingest.append([bytes.subarray(599_999)]);
    await ingest.verify(undefined);
    await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
    assert.deepEqual((await rig.store.read(digest, 1e6))?.bytes, bytes);
  });

  test('a whole left-over still leaves a byte to ask for (a range from the end on is a 416)', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(1000);
    const first = await rig.store.ingest(digest, 1000);
    await first.append([bytes]);
    await first.abandon(true);
    assert.equal(await rig.store.leftover(digest), 999);
    assert.equal(await keep(rig.store, bytes, {sizeBytes: 1000}), digest);
  });

  test('a left-over that is too long, or garbage, costs a restart and nothing else', async () => {
    using folder = new TemporaryFolder();
    const {bytes, digest} = newContent(1000);
    await using rig = await StoreRig.open(folder.path);
    writeFileSync(new Folder(folder.path).part(digest), Buffer.alloc(5000, 'x'));
    const ingest = await rig.store.ingest(digest, bytes.length);
    assert.equal(ingest.resumedBytes, 0);
    await ingest.append([bytes]);
    await ingest.verify(undefined);
    await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
    assert.deepEqual((await rig.store.read(digest, 1e6))?.bytes, bytes);
  });

  test('restart begins again at byte 0', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(1000);
    const ingest = await rig.store.ingest(digest, undefined);
    await ingest.append([Buffer.alloc(1500)]);
    await ingest.restart();
    assert.equal(ingest.writtenBytes, 0);
    await ingest.append([bytes]);
    await ingest.verify(1000);
    await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
    assert.deepEqual((await rig.store.read(digest, 1e6))?.bytes, bytes);
  });

  test('an empty blob is a blob', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const digest = await keep(rig.store, Buffer.alloc(0), {sizeBytes: 0});
    assert.equal((await rig.store.read(digest, 10))?.bytes.length, 0);
  });

  test('sha512 is kept under its own name', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const bytes = Buffer.from('sha512');
    const digest = digestOf(bytes, 'sha512');
    const ingest = await rig.store.ingest(digest, undefined);
    await ingest.append([bytes]);
    await ingest.verify(undefined);
    await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
    assert.deepEqual((await rig.store.read(digest, 10))?.bytes, bytes);
  });

  test('one digest has one writer at a time', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {digest} = newContent(10);
    const ingest = await rig.store.ingest(digest, 10);
    await assert.rejects(rig.store.ingest(digest, 10), StoreFullError);
    await ingest.abandon(false);
    await (await rig.store.ingest(digest, 10)).abandon(false);
  });

  test('a look-up that meets a commit waits for it', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(10);
    const ingest = await rig.store.ingest(digest, 10);
    await ingest.append([bytes]);
    await ingest.verify(undefined);
    const committed = ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
    await Promise.resolve(); // the commit has begun
    assert.equal((await rig.store.stat(digest))?.sizeBytes, 10);
    await committed;
  });

  test('what is larger than the cache is refused at once', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    await assert.rejects(rig.store.ingest(newContent(1).digest, ROOMY.maxBytes + 1), StoreFullError);
  });

  test('readers keep the file through commit, abandon and eviction; then its descriptor is closed', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    await keep(rig.store, newContent(10).bytes); // threads and database have their descriptors now
    await rig.store.local?.swept();
    const before = openDescriptors();
    for (let round = 0; round < 10; round++) await readWhileItGoes(rig);
    await poll('descriptors return to where they were', () => openDescriptors() <= before);
  });
});

async function readWhileItGoes({store}: StoreRig): Promise<void> {
  const {bytes, digest} = newContent(1000);
  const ingest = await store.ingest(digest, 1000);
  const release = ingest.retain();
  await ingest.append([bytes]);
  await ingest.verify(undefined);
  await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined});
  const blob = await store.open(digest);
  assert.ok(blob);
  assert.equal(await store.removeImage(linkTo(digest), digest), 1000);
  assert.equal(await store.open(digest), undefined);
  assert.deepEqual(readFileSync(blob.fd), bytes);
  assert.equal((await store.verify(blob))?.blocks, Math.ceil(blob.sizeBytes / BLOCK_BYTES));
  release();
  blob.close();
  blob.close();
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
