import assert from 'node:assert/strict';
import {lstatSync, mkdirSync, writeFileSync} from 'node:fs';
import {test} from 'node:test';
import {type Digest, digestOf} from '../../oci/digest.ts';
import {newContent, ROOMY, StoreRig, TemporaryFolder, keep} from '../../test/store-rig.ts';
import {stampOf} from './disk-blob.ts';
import {Folder} from './folder.ts';
import {blobQueries} from './index-blobs.ts';
import {IndexDatabase} from './index-database.ts';

const BLOBS = 100_000;

test('a store of 100,000 blobs is ready soon after its start (time printed, not asserted)', async (t) => {
  using folder = new TemporaryFolder();
  const kept = newContent(1000);
  {
    await using rig = await StoreRig.open(folder.path);
    await keep(rig.store, kept.bytes);
  }
  fillIndex(new Folder(folder.path));
  const start = performance.now();
  await using rig = await StoreRig.open(folder.path, {limits: ROOMY});
  const blob = await rig.store.open(kept.digest);
  const readyMs = performance.now() - start;
  assert.ok(blob);
  blob.close();
  assert.equal((await rig.store.usage()).blobs, BLOBS + 1);
  await rig.store.local?.swept();
  const sweptMs = performance.now() - start;
  assert.equal((await rig.store.usage()).blobs, BLOBS + 1);
  t.diagnostic(`ready after ${readyMs.toFixed(0)} ms; files and index compared after ${sweptMs.toFixed(0)} ms`);
});

/** Empty files under made-up names, and their rows: a start does not look into files that are as the index has them. */
function fillIndex(folder: Folder): void {
  const index = new IndexDatabase(folder.index);
  index.transaction(() => {
    for (let n = 0; n < BLOBS; n++) {
      const digest: Digest = digestOf(Buffer.from(String(n)));
      mkdirSync(folder.shard(digest), {recursive: true});
      writeFileSync(folder.blob(digest), '');
      const stamp = stampOf(lstatSync(folder.blob(digest), {bigint: true}));
      index.run(
        "INSERT INTO blobs (digest, kind, size, media_type, stamp, used_at) VALUES (?, 'blob', 0, NULL, ?, ?)",
        digest,
        stamp,
        n,
      );
    }
  });
  assert.equal(blobQueries.stats(index).blobs, BLOBS + 1);
  index.close();
}
