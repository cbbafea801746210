import assert from 'node:assert/strict';
import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {keep, newContent, ROOMY, StoreRig, TemporaryFolder} from '../test/store-rig.ts';
import {loadNative} from './http/native.ts';
import {Sender} from './http/send.ts';
import {openStage, rehearse} from './rehearsal.ts';

const sender = new Sender({native: loadNative(), threads: 4});
const NEVER = new AbortController().signal;

test('a rehearsal pulls as a client does, all but the last byte, and leaves nothing', async () => {
  using folder = new TemporaryFolder();
  await using rig = await StoreRig.open(folder.path);
  const bytes = await rehearse({store: rig.store, sender}, 3, NEVER);
  assert.ok(bytes >= 3 * 99_999, `${bytes} bytes`);
  const {blobs, sizeBytes, reservedBytes} = await rig.store.usage();
  assert.deepEqual({blobs, sizeBytes, reservedBytes}, {blobs: 0, sizeBytes: 0, reservedBytes: 0});
  for (const place of ['ingest', 'quarantine']) assert.deepEqual(readdirSync(join(folder.path, place)), []);
  assert.deepEqual(rig.told, []);
});

test('nothing is dropped from a full cache for it', async () => {
  using folder = new TemporaryFolder();
  await using rig = await StoreRig.open(folder.path, {limits: {...ROOMY, maxBytes: 1 << 20}});
  await keep(rig.store, newContent(1_000_000).bytes);
  assert.equal(await rehearse({store: rig.store, sender}, 3, NEVER), 0);
  assert.equal((await rig.store.usage()).blobs, 1);
});

test('it ends when the agent is to stop, after the pull that is under way', async (t) => {
  using folder = new TemporaryFolder();
  await using rig = await StoreRig.open(folder.path);
  assert.equal(await rehearse({store: rig.store, sender}, 3, AbortSignal.abort()), 0);
  const stop = new AbortController();
  const ingest = rig.store.ingest.bind(rig.store);
  const begun = t.mock.method(rig.store, 'ingest', async (...args: Parameters<typeof ingest>) => {
    stop.abort();
    return await ingest(...args);
  });
  const bytes = await rehearse({store: rig.store, sender}, 3, stop.signal);
  assert.equal(begun.mock.callCount(), 1);
  assert.ok(bytes >= 99_999, `${bytes} bytes`);
});

test('a stranger who finds its port is given nothing, of no registry', async () => {
  using folder = new TemporaryFolder();
  await using rig = await StoreRig.open(folder.path);
  await using stage = await openStage({store: rig.store, sender});
  const asked = [
    '/v2/library/alpine/manifests/latest?ns=docker.io',
    `/v2/library/alpine/blobs/sha256:${'0'.repeat(64)}?ns=rehearsal.invalid`,
    `/v2/${stage.repository}/blobs/sha256:${'0'.repeat(64)}?ns=127.0.0.1:${stage.port}`,
    '/v2/library/alpine/tags/list?ns=169.254.169.254',
  ];
  for (const path of asked) {
    const answer = await fetch(`http://127.0.0.1:${stage.port}${path}`);
    assert.ok(answer.status >= 400, `${path}: ${answer.status}`);
    await answer.arrayBuffer();
  }
  const push = await fetch(`http://127.0.0.1:${stage.port}/v2/${stage.repository}/blobs/uploads/`, {method: 'POST'});
  assert.equal(push.status, 405);
});
