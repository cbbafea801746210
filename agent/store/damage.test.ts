import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {describe, test} from 'node:test';
import {poll} from '../../test/poll.ts';
import {keep, linkTo, newContent, StoreRig, TemporaryFolder} from '../../test/store-rig.ts';
import {Folder} from './folder.ts';

/** Content is random, and may have any one byte anywhere; not these eight. */
const OTHER = 'changed!';
/** What may happen to a blob's file behind our back. */
const DAMAGES: readonly {readonly name: string; do(path: string): void; readonly quarantined: boolean}[] = [
  {name: 'changed bytes of the same size', do: (path) => overwrite(path, OTHER), quarantined: true},
  {name: 'a shorter file', do: (path) => truncateSync(path, 500), quarantined: true},
  {name: 'an empty file', do: (path) => truncateSync(path, 0), quarantined: true},
  {name: 'another file in its place', do: (path) => replace(path), quarantined: true},
  {name: 'a folder in its place', do: (path) => (rmSync(path), mkdirSync(path)), quarantined: true},
  {name: 'no file', do: (path) => rmSync(path), quarantined: false},
];

describe('a damaged blob', () => {
  for (const damage of DAMAGES)
    for (const restarted of [false, true])
      test(`is absent, and can be kept again: ${damage.name}${restarted ? ', after a restart' : ''}`, async () => {
        using folder = new TemporaryFolder();
        const {bytes, digest} = newContent(1000);
        const path = new Folder(folder.path).blob(digest);
        let rig = await StoreRig.open(folder.path);
        try {
          await keep(rig.store, bytes, {link: linkTo(digest)});
          if (restarted) {
            await rig.store.close();
            damage.do(path);
            rig = await StoreRig.open(folder.path);
          } else damage.do(path);
          assert.equal(await rig.store.open(digest), undefined);
          assert.equal(await rig.store.stat(digest), undefined);
          assert.equal(await rig.store.read(digest, 1000), undefined);
          assert.equal((await rig.store.usage()).sizeBytes, 0);
          assert.deepEqual(rig.told, damage.quarantined ? [`quarantined ${digest}`] : []);
          assert.equal((await rig.store.links(digest)).length, 1, 'what was proven stays proven');
          await keep(rig.store, bytes);
          assert.deepEqual((await rig.store.read(digest, 1000))?.bytes, bytes);
        } finally {
          await rig.store.close();
        }
      });

  test('a touched file is hashed, found right, and served', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(1000);
    await keep(rig.store, bytes);
    utimesSync(new Folder(folder.path).blob(digest), 1, 1);
    for (let n = 0; n < 2; n++) {
      const blob = await rig.store.open(digest);
      assert.equal(blob?.sizeBytes, 1000);
      blob?.close();
    }
    assert.deepEqual(rig.told, []);
  });

  test('verify finds what size and times do not show, once for all who ask', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {bytes, digest} = newContent(1000);
    await keep(rig.store, bytes);
    const path = new Folder(folder.path).blob(digest);
    const blob = await rig.store.open(digest); // opened before: what rots under an open file
    assert.ok(blob);
    overwrite(path, OTHER);
    assert.deepEqual(await Promise.all([rig.store.verify(blob), rig.store.verify(blob)]), [undefined, undefined]);
    blob.close();
    assert.deepEqual(rig.told, [`quarantined ${digest}`]);
    assert.ok(existsSync(new Folder(folder.path).quarantined(digest)));
  });

  test('verify can be given up', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const digest = await keep(rig.store, newContent(1000).bytes);
    const blob = await rig.store.open(digest);
    assert.ok(blob);
    await assert.rejects(rig.store.verify(blob, AbortSignal.abort()), {name: 'AbortError'});
    blob.close();
  });

  test('a scrub finds it', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const [good, bad] = [newContent(1000), newContent(1000)];
    for (const {bytes} of [good, bad]) await keep(rig.store, bytes);
    overwrite(new Folder(folder.path).blob(bad.digest), OTHER);
    await rig.store.local?.scrub(1e9);
    assert.deepEqual(rig.told, [`quarantined ${bad.digest}`]);
    assert.equal((await rig.store.stat(good.digest))?.sizeBytes, 1000);
  });
});

describe('files and index that do not agree', () => {
  test('a file without row is hashed and adopted when it is asked for, or refused when it is wrong', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    await rig.store.local?.swept();
    const [right, wrong] = [newContent(1000), newContent(1000)];
    place(folder.path, right.digest, right.bytes);
    place(folder.path, wrong.digest, right.bytes);
    const [one, two] = await Promise.all([rig.store.read(right.digest, 1000), rig.store.stat(right.digest)]);
    assert.deepEqual(one?.bytes, right.bytes);
    assert.equal(two?.sizeBytes, 1000);
    assert.equal(await rig.store.stat(wrong.digest), undefined);
    assert.deepEqual(rig.told, [`adopted ${right.digest}`, `quarantined ${wrong.digest}`]);
    assert.equal((await rig.store.usage()).sizeBytes, 1000);
    assert.deepEqual(await rig.store.links(right.digest), [], 'who may read it has to be proven again');
  });

  test('after a start everything is counted, adopted or dropped without being asked for', async () => {
    using folder = new TemporaryFolder();
    const [gone, orphan, garbage] = [newContent(1000), newContent(2000), newContent(3000)];
    {
      await using rig = await StoreRig.open(folder.path);
      await keep(rig.store, gone.bytes);
    }
    rmSync(new Folder(folder.path).blob(gone.digest));
    place(folder.path, orphan.digest, orphan.bytes);
    place(folder.path, garbage.digest, orphan.bytes);
    await using rig = await StoreRig.open(folder.path);
    await rig.store.local?.swept();
    const {blobs, sizeBytes} = await rig.store.usage();
    assert.deepEqual({blobs, sizeBytes}, {blobs: 1, sizeBytes: 2000});
    assert.deepEqual(rig.told.toSorted(), [`adopted ${orphan.digest}`, `quarantined ${garbage.digest}`]);
    assert.equal(rig.store.peekRecord(gone.digest), undefined);
  });

  test('a file that is no digest is left alone', async () => {
    using folder = new TemporaryFolder();
    {
      await using _rig = await StoreRig.open(folder.path);
    }
    mkdirSync(join(folder.path, 'blobs/sha256/aa'), {recursive: true});
    writeFileSync(join(folder.path, 'blobs/sha256/aa/README'), 'x');
    await using rig = await StoreRig.open(folder.path);
    await rig.store.local?.swept();
    assert.deepEqual(rig.told, []);
  });

  for (const [name, damage] of [
    ['garbage', (path: string) => writeFileSync(path, Buffer.alloc(20_000, 'x'))],
    ['a hole in its middle', (path: string) => overwrite(path, '\0'.repeat(8192), 4096)],
    ['an empty file', (path: string) => writeFileSync(path, '')],
    ['nothing', (path: string) => rmSync(path)],
  ] as const)
    test(`an index that is ${name} is built again from the files`, async () => {
      using folder = new TemporaryFolder();
      const manifest = Buffer.from('{"schemaVersion":2,"manifests":[]}');
      const blob = newContent(1000);
      let digest;
      {
        await using rig = await StoreRig.open(folder.path);
        digest = await keep(rig.store, manifest, {kind: 'manifest', mediaType: 'x/y'});
        await keep(rig.store, blob.bytes);
      }
      damage(join(folder.path, 'index.db'));
      await using rig = await StoreRig.open(folder.path);
      assert.deepEqual((await rig.store.read(blob.digest, 1000))?.bytes, blob.bytes);
      await poll('the index is built', async () => {
        const {blobs, manifests, sizeBytes} = await rig.store.usage();
        return blobs === 1 && manifests === 1 && sizeBytes === 1000 + manifest.length;
      });
      assert.equal((await rig.store.stat(digest))?.kind, 'manifest');
    });

  test('an index that is spoilt under way is replaced, and the blobs are found by their files', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const contents = Array.from({length: 300}, () => newContent(100));
    for (const {bytes, digest} of contents.slice(0, 40)) await keep(rig.store, bytes, {link: linkTo(digest)});
    await rig.store.local?.swept();
    // Its pages go through a cache of its own: the write-ahead log is what it reads again.
    for (const name of ['index.db', 'index.db-wal']) overwrite(join(folder.path, name), 'x'.repeat(60_000), 0);
    for (const {bytes} of contents.slice(40, 80)) await keep(rig.store, bytes).catch(() => {});
    for (const {bytes, digest} of contents.slice(0, 40))
      assert.deepEqual((await rig.store.read(digest, 100))?.bytes, bytes);
  });
});

test('a quarantine is bounded', async () => {
  using folder = new TemporaryFolder();
  await using rig = await StoreRig.open(folder.path);
  for (let n = 0; n < 20; n++) {
    const digest = await keep(rig.store, newContent(100).bytes);
    overwrite(new Folder(folder.path).blob(digest), OTHER);
    assert.equal(await rig.store.open(digest), undefined);
  }
  assert.equal(readdirSync(join(folder.path, 'quarantine')).length, 16);
});

function overwrite(path: string, text: string, at = 10): void {
  // The kernel's file times go by ticks of some ms: in the tick of the commit itself a change leaves no trace.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  chmodSync(path, 0o600);
  const fd = openSync(path, 'r+');
  writeSync(fd, text, at);
  closeSync(fd);
}

function replace(path: string): void {
  writeFileSync(`${path}.new`, Buffer.alloc(1000));
  renameSync(`${path}.new`, path);
}

function place(root: string, digest: Parameters<Folder['blob']>[0], bytes: Buffer): void {
  const path = new Folder(root).blob(digest);
  mkdirSync(dirname(path), {recursive: true});
  writeFileSync(path, bytes);
}
