import assert from 'node:assert/strict';
import {ftruncateSync, openSync, readdirSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {poll} from '../../test/poll.ts';
import {newContent, TemporaryFolder} from '../../test/store-rig.ts';
import {SlabReader, SLAB_BYTES, slabs} from '../../oci/slabs.ts';
import {HashPool, type HashJob} from './hash-pool.ts';
import {SharedFd} from './shared-fd.ts';

describe('HashPool', () => {
  test('hashes files that grow, several on one thread', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    await Promise.all(
      [1, 2, 3].map(async (n) => {
        const {bytes, digest} = newContent(n * 9_000_000);
        const file = newFile(folder, String(n));
        const job = pool.start(file, 'sha256');
        for (let at = 0; at < bytes.length; at += 500_000) {
          writeSync(file.fd, bytes.subarray(at, at + 500_000));
          job.follow(Math.min(at + 500_000, bytes.length));
          if (at % 3_000_000 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        assert.equal(`sha256:${await job.finish(bytes.length)}`, digest);
        file.release();
      }),
    );
    await pool.close();
  });

  test('keeps a descriptor open until its thread has let go of it', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    const before = readdirSync('/proc/self/fd').length;
    const file = newFile(folder, 'a');
    writeSync(file.fd, Buffer.alloc(30_000_000));
    const [dropped, finished] = [pool.start(file, 'sha256'), pool.start(file, 'sha256')];
    dropped.follow(30_000_000);
    const hex = finished.finish(30_000_000);
    file.release();
    dropped.drop();
    dropped.drop();
    assert.match(await hex, /^[0-9a-f]{64}$/);
    await pool.close();
    await poll('closed', () => readdirSync('/proc/self/fd').length <= before);
  });

  test('hashes from the memory that was written from, and gives it back', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    const {bytes, digest} = newContent(3 * SLAB_BYTES);
    const file = newFile(folder, 'a');
    const job = pool.start(file, 'sha256');
    for (let at = 0; at < bytes.length; at += SLAB_BYTES) {
      writeSync(file.fd, Buffer.alloc(SLAB_BYTES)); // other bytes: it is not read
      const chunk = lentChunk(bytes.subarray(at, at + SLAB_BYTES));
      job.follow(at + SLAB_BYTES, [chunk]);
      slabs.giveBack([chunk]); // by the writer
    }
    assert.equal(`sha256:${await job.finish(bytes.length)}`, digest);
    assert.equal(slabs.busy, 0);
    file.release();
    await pool.close();
  });

  test('reads from the file what it was not lent, what does not follow, and what was too much to hold', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    const {bytes, digest} = newContent(20 * SLAB_BYTES);
    const file = newFile(folder, 'a');
    const job = pool.start(file, 'sha256');
    for (let n = 0; n < 20; n++) {
      const part = bytes.subarray(n * SLAB_BYTES, (n + 1) * SLAB_BYTES);
      writeSync(file.fd, part);
      const chunk = n % 3 === 0 ? part : lentChunk(part);
      job.follow((n + 1) * SLAB_BYTES, n % 7 === 0 ? undefined : [chunk]);
      slabs.giveBack([chunk]);
      if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(slabs.busy <= 8, `${slabs.busy} slabs are held`);
    assert.equal(`sha256:${await job.finish(bytes.length)}`, digest);
    assert.equal(slabs.busy, 0);
    file.release();
    await pool.close();
  });

  for (const [end, how] of [
    ['dropped', (_pool: HashPool, job: HashJob) => job.drop()],
    ['ended with its thread', (pool: HashPool) => pool.close()],
  ] as const)
    test(`a job that is ${end} gives back what it was lent`, async () => {
      using folder = new TemporaryFolder();
      const pool = new HashPool(1);
      const file = newFile(folder, 'a');
      const job = pool.start(file, 'sha256');
      for (const at of [1, 2]) {
        const chunk = lentChunk(Buffer.alloc(1000));
        job.follow(at * 1000, [chunk]);
        slabs.giveBack([chunk]);
      }
      assert.equal(slabs.busy, 2);
      await how(pool, job);
      await poll('given back', () => slabs.busy === 0);
      file.release();
      await pool.close();
    });

  test('a file that is shorter than was said is a failure, not a hash', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    const file = newFile(folder, 'a');
    writeSync(file.fd, Buffer.alloc(1000));
    ftruncateSync(file.fd, 10);
    await assert.rejects(pool.hashFile(file, 'sha256', 1000), /ends at 10/);
    file.release();
    await pool.close();
  });

  test('close fails what is under way', async () => {
    using folder = new TemporaryFolder();
    const pool = new HashPool(1);
    const file = newFile(folder, 'a');
    const job = pool.start(file, 'sha256');
    await Promise.all([assert.rejects(job.finish(1)), pool.close()]);
    file.release();
    assert.throws(() => pool.start(file, 'sha256'));
  });
});

function newFile(folder: TemporaryFolder, name: string): SharedFd {
  return new SharedFd(openSync(join(folder.path, name), 'w+'));
}

/** The bytes in a slab, as a socket brings them: held for the caller, who gives them back. */
function lentChunk(bytes: Uint8Array): Buffer {
  const slab = slabs.take(new SlabReader(slabs)) ?? assert.fail('no slab is free');
  const chunk = slab.subarray(0, bytes.length);
  chunk.set(bytes);
  slabs.hold(chunk);
  slabs.parsed(slab);
  return chunk;
}
