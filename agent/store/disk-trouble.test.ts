import assert from 'node:assert/strict';
import {readSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {needs} from '../../test/needs.ts';
import {poll} from '../../test/poll.ts';
import {SmallDisk} from '../../test/small-disk.ts';
import {HOUR, keep, newContent, ROOMY, StoreRig} from '../../test/store-rig.ts';
import {StoreFullError} from './contract.ts';

const MIB = 1024 * 1024;

describe('a disk in trouble', () => {
  test('full although there is room by our count: what is cold goes, and the blob is kept', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    await using rig = await StoreRig.open(disk.path, {limits: ROOMY});
    const cold = await keep(rig.store, newContent(3 * MIB).bytes);
    rig.clock.now += HOUR;
    const {bytes} = newContent(5 * MIB);
    const digest = await keep(rig.store, bytes);
    assert.equal(await rig.store.stat(cold), undefined);
    assert.ok((await rig.store.read(digest, 8 * MIB))?.bytes.equals(bytes));
    assert.deepEqual(rig.told, [`evicted free 1 ${3 * MIB}`]);
  });

  test('full under way: the blob cannot be kept, what came can be read, and later the store goes on', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    await using rig = await StoreRig.open(disk.path, {limits: ROOMY});
    const {bytes, digest} = newContent(4 * MIB);
    const ingest = await rig.store.ingest(digest, bytes.length);
    const release = ingest.retain();
    fill(join(disk.path, 'other'), 5 * MIB);
    const failure = await writeAll(ingest, bytes).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.ok(failure instanceof StoreFullError, String(failure));
    assert.equal((failure.cause as NodeJS.ErrnoException).code, 'ENOSPC');
    await ingest.abandon(false);
    const read = Buffer.alloc(ingest.writtenBytes);
    assert.equal(readSync(ingest.fd, read, 0, read.length, 0), read.length);
    assert.ok(read.length >= MIB && read.equals(bytes.subarray(0, read.length)));
    release();
    rmSync(join(disk.path, 'other'));
    await keep(rig.store, bytes, {sizeBytes: bytes.length});
    assert.ok((await rig.store.read(digest, 8 * MIB))?.bytes.equals(bytes));
  });

  test('full to the last byte: the index can still note what goes', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    const cold = newContent(2 * MIB);
    {
      await using rig = await StoreRig.open(disk.path, {limits: ROOMY});
      await keep(rig.store, cold.bytes);
      fill(join(disk.path, 'other'), 8 * MIB);
    }
    await using rig = await StoreRig.open(disk.path, {limits: ROOMY});
    fill(join(disk.path, 'another'), MIB);
    rig.store.touch(cold.digest);
    await keep(rig.store, newContent(MIB).bytes, {sizeBytes: MIB});
    assert.equal(await rig.store.stat(cold.digest), undefined);
    assert.deepEqual(rig.told, [`evicted free 1 ${2 * MIB}`]);
  });

  test('with less free space than the watermark: what does not fit is refused before a byte is fetched', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    await using rig = await StoreRig.open(disk.path, {limits: {...ROOMY, minFree: {share: 0.5}}});
    await assert.rejects(rig.store.ingest(newContent(1).digest, 5 * MIB), StoreFullError);
    await (await rig.store.ingest(newContent(1).digest, 2 * MIB)).abandon(false);
  });

  test('what would not fit into an empty cache is refused and empties none', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    await using rig = await StoreRig.open(disk.path);
    const {bytes, digest} = newContent(2 * MIB);
    await keep(rig.store, bytes);
    await assert.rejects(rig.store.ingest(newContent(1).digest, 20 * MIB), StoreFullError);
    assert.ok(await rig.store.stat(digest));
    assert.deepEqual(rig.told, []);
  });

  test('read-only at the start: everything is absent, nothing is kept, and the store heals with the disk', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(8);
    const {bytes, digest} = newContent(1000);
    {
      await using rig = await StoreRig.open(disk.path);
      await keep(rig.store, bytes);
    }
    disk.setReadOnly(true);
    await using rig = await StoreRig.open(disk.path, {retryMs: 20});
    assert.deepEqual(rig.told, ['degraded']);
    assert.equal(await rig.store.stat(digest), undefined);
    assert.equal(await rig.store.open(digest), undefined);
    assert.equal(await rig.store.leftover(digest), 0);
    await assert.rejects(rig.store.ingest(digest, 1000), StoreFullError);
    assert.equal((await rig.store.usage()).sizeBytes, 0);
    disk.setReadOnly(false);
    await poll('healed', () => rig.told.includes('healed'));
    assert.ok((await rig.store.read(digest, 1000))?.bytes.equals(bytes));
  });

  test('full at the first start: the store opens when there is room', async (t) => {
    if (!needs(t, 'root', 'mount')) return;
    using disk = new SmallDisk(4);
    fill(join(disk.path, 'other'), 8 * MIB);
    await using rig = await StoreRig.open(disk.path, {retryMs: 20});
    assert.deepEqual(rig.told, ['degraded']);
    rmSync(join(disk.path, 'other'));
    await poll('healed', () => rig.told.includes('healed'));
    await keep(rig.store, newContent(1000).bytes, {sizeBytes: 1000});
  });
});

/** Until the disk is full, if that comes first. */
function fill(path: string, bytes: number): void {
  try {
    writeFileSync(path, Buffer.alloc(bytes));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
}

async function writeAll(ingest: {append(chunks: readonly Uint8Array[]): Promise<void>}, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += 65_536) await ingest.append([bytes.subarray(at, at + 65_536)]);
}
