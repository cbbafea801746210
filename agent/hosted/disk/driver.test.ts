import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtemp, rm, unlink} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {digestOf} from '../../../oci/digest.ts';
import {registerDriverContract} from '../../../test/driver-contract.ts';
import type {DriverUnderTest} from '../../../test/driver-under-test.ts';
import {ROOMY} from '../../../test/store-rig.ts';
import {openStore, type DiskStore} from '../../store/disk-store.ts';
import type {Driver} from '../contract.ts';
import {newDiskDriver} from './driver.ts';

/** The disk driver on a store of its own. */
class DiskUnderTest implements DriverUnderTest {
  readonly folder: string;
  driver!: Driver;
  store!: DiskStore;
  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<DiskUnderTest> {
    const under = new DiskUnderTest(await mkdtemp(join(tmpdir(), 'noost-driver-')));
    await under.#begin();
    return under;
  }

  async restart(between: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    await this.#end();
    await between();
    await this.#begin();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await rm(this.folder, {recursive: true, force: true});
  }

  async #begin(): Promise<void> {
    this.store = await openStore(this.folder, {limits: ROOMY, events: {}, hashers: 1});
    this.driver = newDiskDriver(this.folder, this.store, {failed: (error) => assert.fail(error as Error)});
  }

  async #end(): Promise<void> {
    this.driver.close();
    await this.store.close();
  }
}

registerDriverContract('disk', () => DiskUnderTest.open());

test('disk: the index can be deleted, and all that is hosted comes back', async () => {
  await using under = await DiskUnderTest.open();
  const blobs = Array.from({length: 20}, () => randomBytes(3_000));
  for (const bytes of blobs) {
    const letGo = await under.driver.content.put(digestOf(bytes), bytes);
    await under.driver.metadata.addLink('team/app', digestOf(bytes), 'alice');
    letGo();
  }
  await under.restart(async () => {
    for (const name of ['index.db', 'index.db-wal', 'index.db-shm'])
      await unlink(join(under.folder, name)).catch(() => undefined);
  });
  for (const bytes of blobs) assert.deepEqual(await under.driver.content.read(digestOf(bytes), bytes.length), bytes);
  assert.equal((await under.store.hostedUsage()).blobs, blobs.length);
  assert.equal((await under.store.usage()).sizeBytes, 0, 'none of it counts as cache');
});

test('disk: eviction never takes what is hosted, however small the cache is to be', async () => {
  await using under = await DiskUnderTest.open();
  const bytes = randomBytes(100_000);
  const letGo = await under.driver.content.put(digestOf(bytes), bytes);
  await under.driver.metadata.addLink('team/app', digestOf(bytes), 'alice');
  letGo();
  under.store.setLimits({maxBytes: 1, minFree: {share: 1}, maxIdleMs: 1});
  const ingest = await under.store.ingest(digestOf(Buffer.alloc(10)), 10).catch(() => undefined);
  await ingest?.abandon(false);
  assert.deepEqual(await under.driver.content.read(digestOf(bytes), bytes.length), bytes);
});
