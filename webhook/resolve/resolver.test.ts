import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {NAME} from '../../test/upstream-rig.ts';
import {HOUR, newRig} from '../../test/resolver-rig.ts';
import type {Rights} from './resolver.ts';

const HEAD = 'HEAD /v2/acme/app/manifests/v1';

test('fifty who ask at once, and those who ask a little later, cost one HEAD', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const all = await Promise.all(Array.from({length: 50}, () => it.resolve()));
  assert.deepEqual(new Set(all), new Set([digest]));
  it.pass(29_000);
  assert.equal(await it.resolve(), digest);
  assert.deepEqual(it.asked(), [HEAD]);
  assert.equal(it.told.at(-1), 'hit');
});

test('an index is resolved to its own digest, and none of its images is asked for (§7 66)', async () => {
  await using it = await newRig();
  const {content} = it.rig.fake;
  const index = content.addIndex('acme/app', 'v1', [
    content.addImage('acme/app'),
    content.addImage('acme/app', undefined, ['b']),
  ]);
  assert.equal(await it.resolve(), index);
  assert.deepEqual(it.asked(), [HEAD]);
});

test('where HEAD is refused the bytes of a GET say the digest, whatever the header says (§7 41)', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  it.rig.fake.fail({kind: 'headRefused'}, {times: Infinity});
  assert.equal(await it.resolve(), digest);
  assert.equal(it.asked().at(-1), 'GET /v2/acme/app/manifests/v1');
});

test('a tag that is no longer fresh is asked for again, and what it is now is the answer', async () => {
  await using it = await newRig();
  it.rig.fake.content.addImage('acme/app', 'v1');
  await it.resolve();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1', ['another']);
  it.pass(30_001);
  assert.equal(await it.resolve(), digest);
  assert.deepEqual(it.asked(), [HEAD, HEAD]);
});

test('a registry that is down leaves what was seen before, and says so of what was not', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  await it.resolve();
  await it.rig.fake.down();
  it.pass(60_000);
  assert.equal(await it.resolve(), digest);
  assert.equal(it.told.at(-1), 'stale');
  await assert.rejects(
    it.resolve('v2'),
    (error: unknown) => error instanceof UpstreamError && error.failure === 'down',
  );
  it.pass(2 * HOUR);
  await assert.rejects(it.resolve(), (error: unknown) => error instanceof UpstreamError && error.failure === 'down');
});

test('a failure is the answer for some seconds without asking again, and then no more (§7 45)', async () => {
  await using it = await newRig();
  await assert.rejects(it.resolve(), UpstreamError);
  await assert.rejects(it.resolve(), UpstreamError);
  assert.deepEqual(it.asked(), [HEAD]);
  assert.deepEqual(it.told, ['failed', 'negative']);
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  it.pass(5_001);
  assert.equal(await it.resolve(), digest);
});

test('a tag that was deleted is not served as it was', async () => {
  await using it = await newRig();
  it.rig.fake.content.addImage('acme/app', 'v1');
  await it.resolve();
  it.rig.fake.content.at('acme/app').tags.delete('v1');
  it.pass(30_001);
  await assert.rejects(
    it.resolve(),
    (error: unknown) => error instanceof UpstreamError && error.failure === 'notFound',
  );
});

test('a digest that is expected and not known makes the registry be asked again: another replica may know better', async () => {
  await using it = await newRig();
  const {digest: old} = it.rig.fake.content.addImage('acme/app', 'v1');
  await it.resolve();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1', ['another']);
  it.pass(1_000);
  assert.equal(await it.resolve('v1', digest), digest);
  assert.deepEqual(it.asked(), [HEAD, HEAD]);
  // One that the tag lately was is good enough for who was told so a moment ago, and for nobody for long.
  assert.equal(await it.resolve('v1', old), old);
  assert.equal(await it.resolve('v1'), digest);
  it.pass(31_000);
  assert.equal(await it.resolve('v1', old), digest);
});

test('a foreign digest is never confirmed, and asking for it over and over does not ask the registry over and over', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const foreign: Digest = `sha256:${'f'.repeat(64)}`;
  for (let i = 0; i < 20; i++) assert.equal(await it.resolve('v1', foreign), digest);
  assert.deepEqual(it.asked(), [HEAD]);
});

test('what one set of rights may see is not told to another', async () => {
  await using it = await newRig();
  it.rig.fake.content.addImage('acme/app', 'v1');
  await it.resolve();
  await it.resolve('v1', undefined, {...it.rights, key: 'other'});
  assert.deepEqual(it.asked(), [HEAD, HEAD]);
});

test('a review that has no time left is answered, and the question goes on for the next', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const upstream = it.rig.upstreams.for(NAME);
  const headManifest: typeof upstream.headManifest = async (...question) => {
    await delay(200);
    return upstream.headManifest(...question);
  };
  const rights: Rights = {
    key: 'slow',
    upstream: () => Object.assign(Object.create(upstream) as typeof upstream, {headManifest}),
  };
  await assert.rejects(
    it.resolver.resolve({name: NAME, tag: 'v1', rights, tenant: 'team-a'}, AbortSignal.timeout(20)),
    {
      name: 'TimeoutError',
    },
  );
  assert.equal(await it.resolve('v1', undefined, rights), digest);
  assert.deepEqual(it.asked(), [HEAD]);
});

test('hundreds of different images at once are each told their own digest (§7 69)', async () => {
  await using it = await newRig();
  const wanted = Array.from(
    {length: 200},
    (_, i) => it.rig.fake.content.addImage('acme/app', `t${String(i)}`, [`layer ${String(i)}`]).digest,
  );
  const got = await Promise.all(wanted.map((_, i) => it.resolve(`t${String(i)}`)));
  assert.deepEqual(got, wanted);
  assert.ok(it.rig.fake.concurrent <= 16, `${String(it.rig.fake.concurrent)} at once`);
});

test('a registry that nobody configured is not asked at a private address (§7 58, 63)', async () => {
  await using it = await newRig();
  const name = {registry: it.rig.fake.host, repository: 'acme/app'};
  await assert.rejects(
    it.resolver.resolve({name, tag: 'v1', rights: it.rights, tenant: 'team-a'}, AbortSignal.timeout(5_000)),
    (error: unknown) => error instanceof UpstreamError && error.failure === 'refused',
  );
  assert.deepEqual(it.asked(), []);
});

test('a registry that is offline by configuration is never asked', async () => {
  await using it = await newRig({offline: true});
  await assert.rejects(it.resolve(), /offline by configuration/);
  assert.deepEqual(it.asked(), []);
});
