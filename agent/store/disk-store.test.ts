import assert from 'node:assert/strict';
import {readdirSync, statSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, test} from 'node:test';
import {HOUR, keep, linkTo, newContent, StoreRig, TemporaryFolder} from '../../test/store-rig.ts';
import {DataFolderError} from './folder.ts';

describe('openStore', () => {
  test('what was committed is there after a restart, with its links and tags', async () => {
    using folder = new TemporaryFolder();
    const {bytes, digest} = newContent(1000);
    const name = {registry: 'docker.io', repository: 'library/alpine'};
    const tag = {
      ...name,
      tag: '3',
      authority: 'anonymous',
      digest,
      mediaType: 'm',
      sizeBytes: 9,
      resolvedAt: 5,
    } as const;
    {
      await using rig = await StoreRig.open(folder.path);
      await keep(rig.store, bytes, {link: linkTo(digest)});
      await rig.store.putTag(tag);
      assert.deepEqual(rig.store.peekTag(name, '3', 'anonymous'), tag);
    }
    await using rig = await StoreRig.open(folder.path);
    assert.equal(rig.store.peekTag(name, '3', 'anonymous'), undefined);
    assert.deepEqual(await rig.store.tag(name, '3', 'anonymous'), tag);
    assert.equal(await rig.store.tag(name, '3', 'node'), undefined);
    assert.deepEqual(rig.store.peekTag(name, '3', 'anonymous'), tag);
    assert.deepEqual(await rig.store.links(digest, name), [linkTo(digest)]);
    assert.deepEqual(await rig.store.links(digest), [linkTo(digest)]);
    assert.deepEqual(await rig.store.links(digest, {...name, repository: 'other'}), []);
    assert.deepEqual((await rig.store.read(digest, 1000))?.bytes, bytes);
    assert.equal(await rig.store.read(digest, 999), undefined);
    const {blobs, manifests, tags, sizeBytes} = await rig.store.usage();
    assert.deepEqual({blobs, manifests, tags, sizeBytes}, {blobs: 1, manifests: 0, tags: 1, sizeBytes: 1000});
    await rig.store.removeTag(name, '3', 'anonymous');
    assert.equal(await rig.store.tag(name, '3', 'anonymous'), undefined);
  });

  test('a link is known at once, beside those that were asked for before', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    const {digest} = newContent(1);
    assert.deepEqual(await rig.store.links(digest, linkTo(digest)), []);
    await rig.store.addLink(linkTo(digest));
    assert.deepEqual(rig.store.peekLinks(digest, linkTo(digest)), [linkTo(digest)]);
    await rig.store.addLink(linkTo(digest, 'library/alpine', {authority: 'node'}));
    assert.equal(rig.store.peekLinks(digest, linkTo(digest))?.length, 2);
    assert.equal((await rig.store.links(digest)).length, 2);
  });

  test('a second agent on the folder is refused, and may have it when the first has gone', async () => {
    using folder = new TemporaryFolder();
    {
      await using _rig = await StoreRig.open(folder.path);
      await assert.rejects(
        StoreRig.open(folder.path),
        (error) => error instanceof DataFolderError && /in use/.test(error.message),
      );
    }
    await using _rig = await StoreRig.open(folder.path);
  });

  for (const text of ['{"version":3}', '{"version":"1"}', '{}', 'null', 'no JSON'])
    test(`a folder with the layout ${text} is refused`, async () => {
      using folder = new TemporaryFolder();
      writeFileSync(join(folder.path, 'layout.json'), text);
      await assert.rejects(
        StoreRig.open(folder.path),
        (error) => error instanceof DataFolderError && /layout/.test(error.message),
      );
    });

  test('folders and files are for nobody else (D-031)', async () => {
    using folder = new TemporaryFolder();
    await using rig = await StoreRig.open(folder.path);
    await keep(rig.store, newContent(10).bytes);
    assert.equal(statSync(folder.path).mode & 0o777, 0o700);
    for (const name of readdirSync(folder.path)) assert.equal(statSync(join(folder.path, name)).mode & 0o077, 0, name);
  });

  test('last uses in the future are taken back at the start', async () => {
    using folder = new TemporaryFolder();
    const at = 1000 * HOUR;
    const {bytes, digest} = newContent(10);
    const name = linkTo(digest, 'a', {kind: 'manifest'});
    {
      await using rig = await StoreRig.open(folder.path, {at});
      await keep(rig.store, bytes, {kind: 'manifest', link: name});
    }
    await using rig = await StoreRig.open(folder.path, {at: at - 10 * HOUR});
    assert.equal((await rig.store.images({limit: 9}))[0]?.usedAt, at - 10 * HOUR);
  });
});
