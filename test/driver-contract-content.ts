import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import type {Driver} from '../agent/hosted/contract.ts';
import {IntegrityError} from '../oci/error.ts';
import {digestOf} from '../oci/digest.ts';
import {newDigest, REPOSITORY, type Check} from './driver-under-test.ts';

/** Uploads of the contract suite. */
export function checkUploads(check: Check): void {
  const begin = async ({metadata}: Driver, id: string): Promise<void> =>
    metadata.putUpload({id, repository: REPOSITORY, identity: 'alice', algorithm: undefined, startedAt: 5});
  check('an upload goes on after a restart where it was', async (under) => {
    const bytes = randomBytes(3_000_000);
    await begin(under.driver, 'one');
    await append(under.driver, 'one', bytes.subarray(0, 1_000_000));
    await append(under.driver, 'one', bytes.subarray(1_000_000, 1_000_001));
    await under.restart();
    const {metadata, content} = under.driver;
    assert.deepEqual(await metadata.upload('one'), {
      id: 'one',
      repository: REPOSITORY,
      identity: 'alice',
      algorithm: undefined,
      startedAt: 5,
    });
    assert.equal((await content.uploadState('one'))?.bytes, 1_000_001);
    await append(under.driver, 'one', bytes.subarray(1_000_001));
    const upload = await content.upload('one', undefined);
    const letGo = await upload.commit(digestOf(bytes), true);
    await upload.close();
    assert.deepEqual(await content.read(digestOf(bytes), bytes.length), bytes);
    letGo();
    await metadata.removeUpload('one');
    await content.dropUpload('one');
    assert.equal(await metadata.upload('one'), undefined);
    assert.equal(await content.uploadState('one'), undefined);
  });
  check('bytes with another digest become nothing, and are as they were', async ({driver}) => {
    const bytes = randomBytes(70_000);
    await append(driver, 'one', bytes);
    const upload = await driver.content.upload('one', undefined);
    const wrong = newDigest();
    await assert.rejects(upload.commit(wrong, true), IntegrityError);
    assert.equal(await driver.content.stat(wrong), undefined);
    assert.equal(upload.offset, bytes.length);
    (await upload.commit(digestOf(bytes), true))();
    await upload.close();
  });
  check('what is taken back is not in the blob, and sha512 is as good as sha256', async ({driver}) => {
    const bytes = randomBytes(100_000);
    const upload = await driver.content.upload('one', 'sha512');
    await upload.append([bytes.subarray(0, 50_000), randomBytes(50_000), randomBytes(3)]);
    await upload.rewind(50_000);
    await upload.append([bytes.subarray(50_000)]);
    const digest = digestOf(bytes, 'sha512');
    const letGo = await upload.commit(digest, false);
    await upload.close();
    assert.deepEqual(await driver.content.read(digest, bytes.length), bytes);
    letGo();
  });
  check('an empty upload is the empty blob (A-051)', async ({driver: {content}}) => {
    const upload = await content.upload('empty', undefined);
    const letGo = await upload.commit(digestOf(Buffer.alloc(0)), true);
    await upload.close();
    assert.equal(await content.stat(digestOf(Buffer.alloc(0))), 0);
    letGo();
  });
}

/** Blobs of the contract suite. */
export function checkContent(check: Check): void {
  check('what nothing needs goes when it is released, and what is linked or held stays', async ({driver}) => {
    const {metadata, content} = driver;
    const bytes = randomBytes(5_000);
    const digest = digestOf(bytes);
    const first = await content.put(digest, bytes);
    await metadata.addLink(REPOSITORY, digest, 'alice');
    first();
    assert.equal(await content.release(digest), 0, 'it is linked');
    const held = await content.hold(digest);
    await metadata.removeLink(REPOSITORY, digest);
    assert.equal(await content.release(digest), 0, 'it is held');
    assert.equal(await content.stat(digest), bytes.length);
    held?.();
    await content.release(digest);
    assert.equal(await content.stat(digest), undefined);
    assert.equal(await content.hold(digest), undefined);
  });
  check('a blob that is put while the same one is released is there', async ({driver}) => {
    const {metadata, content} = driver;
    const bytes = randomBytes(1_000);
    const digest = digestOf(bytes);
    const releases: Promise<number>[] = [];
    for (let i = 0; i < 50; i++) {
      const [letGo] = await Promise.all([content.put(digest, bytes), content.release(digest)]);
      assert.deepEqual(await content.read(digest, 2_000), bytes);
      await metadata.addLink(REPOSITORY, digest, 'alice');
      letGo();
      await content.release(digest);
      assert.deepEqual(await content.read(digest, 2_000), bytes);
      await metadata.removeLink(REPOSITORY, digest);
      releases.push(content.release(digest));
    }
    await Promise.all(releases);
  });
}

async function append({content}: Driver, id: string, bytes: Buffer): Promise<void> {
  const upload = await content.upload(id, undefined);
  await upload.append([bytes.subarray(0, 10), bytes.subarray(10)]);
  await upload.close();
}
