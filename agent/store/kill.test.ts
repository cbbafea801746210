import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {readdirSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {digestOf} from '../../oci/digest.ts';
import {keep, StoreRig, TemporaryFolder} from '../../test/store-rig.ts';
import {contentOf, COUNT, LIMITS, SIZE} from '../../test/store-victim.ts';

const VICTIM = fileURLToPath(new URL('../../test/store-victim.ts', import.meta.url));

/** Each step of ingest → verify → commit → index, and of eviction, the first time and in the midst. */
const POINTS = [
  'store.ingest.create',
  'store.ingest.created',
  'store.append',
  'store.verify',
  'store.commit.synced',
  'store.commit.renamed',
  'store.index.write',
  'store.commit.indexed',
].flatMap((point) => [`${point}=kill@1`, `${point}=kill@4`]);
const EVICTION = ['store.evict.dropped=kill@1', 'store.evict.unlinked=kill@1', 'store.evict.dropped=kill@2'];

describe('after SIGKILL', {concurrency: 2}, () => {
  for (const fault of [...POINTS, ...EVICTION])
    test(`nothing visible is wrong, and the store goes on: ${fault}`, async () => {
      using folder = new TemporaryFolder();
      assert.equal(await runVictim(folder.path, fault), 'SIGKILL');
      await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
      for (let number = 0; number < COUNT; number++) await checkAbsentOrWhole(rig, number);
      await rig.store.local?.swept();
      assert.equal(
        (await rig.store.usage()).sizeBytes,
        bytesIn(join(folder.path, 'blobs')),
        'what is used is what is there',
      );
      for (let number = 0; number < COUNT; number++) {
        rig.clock.now += 1;
        const bytes = contentOf(number);
        if ((await rig.store.stat(digestOf(bytes))) === undefined) await keep(rig.store, bytes, {sizeBytes: SIZE});
        await checkAbsentOrWhole(rig, number, true);
      }
      assert.ok(bytesIn(join(folder.path, 'blobs')) <= LIMITS.maxBytes);
      assert.deepEqual(
        rig.told.filter((line) => /quarantined|failed/.test(line)),
        [],
      );
    });

  test('the points above are passed: without a fault the victim ends by itself', async () => {
    using folder = new TemporaryFolder();
    assert.equal(await runVictim(folder.path, ''), 'done');
  });

  test('a system call that fails at any of them costs the blob, not the store', async () => {
    for (const point of [
      'store.append=EIO@1',
      'store.commit.synced=EIO@1',
      'store.commit.renamed=EIO@1',
      'store.ingest.created=EROFS@1',
    ]) {
      using folder = new TemporaryFolder();
      assert.match(await runVictim(folder.path, point), /^failed/, point);
      await using rig = await StoreRig.open(folder.path, {limits: LIMITS});
      await checkAbsentOrWhole(rig, 0);
      await rig.store.local?.swept();
      assert.equal((await rig.store.usage()).sizeBytes, bytesIn(join(folder.path, 'blobs')), point);
    }
  });
});

async function checkAbsentOrWhole({store}: StoreRig, number: number, present = false): Promise<void> {
  const bytes = contentOf(number);
  const read = await store.read(digestOf(bytes), SIZE);
  if (read !== undefined || present) assert.ok(read?.bytes.equals(bytes), `blob ${number}`);
}

/** @returns the signal it died of, `done`, or `failed …`. */
async function runVictim(path: string, fault: string): Promise<string> {
  const env = {...process.env, NOOST_FAULT: fault};
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', VICTIM, path],
      {env},
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else resolve(error.signal ?? `failed ${stderr}`);
      },
    );
  });
}

function bytesIn(path: string): number {
  return readdirSync(path, {recursive: true, encoding: 'utf8'})
    .map((name) => statSync(join(path, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
}
