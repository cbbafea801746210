import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import type {Digest} from '../../oci/digest.ts';
import type {RepositoryName} from '../../oci/source.ts';
import {NAME} from '../../test/upstream-rig.ts';
import {newRig} from '../../test/resolver-rig.ts';
import type {Rights} from './resolver.ts';

/** The rights to registries that hang. @returns how many questions they hold. */
function hanging(): {readonly rights: Rights; readonly held: () => number} {
  let held = 0;
  const headManifest = (): Promise<never> => {
    held++;
    return new Promise(() => undefined);
  };
  return {rights: {key: 'hangs', upstream: () => ({headManifest}) as never}, held: () => held};
}

test('registries that hang, however many of their images are named, leave room for others, in the same namespace, too', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const {rights} = hanging();
  const failures: unknown[] = [];
  for (let i = 0; i < 10_000; i++) {
    const name: RepositoryName = {registry: `evil-${String(i % 3)}.test`, repository: 'x'};
    it.resolver
      .resolve({name, tag: `v${String(i)}`, rights, tenant: 'team-a'}, new AbortController().signal)
      .catch((error: unknown) => failures.push(error));
  }
  await delay(10);
  assert.ok(failures.length > 9_000, String(failures.length));
  assert.match(String(failures[0]), /too many images are being resolved/);
  assert.equal(await it.resolve(), digest);
});

test('a tenant who names hundreds of registries that hang holds up nobody else, and holds few connections', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const {rights, held} = hanging();
  for (let i = 0; i < 10_000; i++) {
    const name: RepositoryName = {registry: `evil-${String(i % 500)}.test`, repository: 'x'};
    it.resolver
      .resolve({name, tag: `v${String(i)}`, rights, tenant: 'evil'}, new AbortController().signal)
      .catch(() => undefined);
  }
  await delay(10);
  assert.ok(held() <= 64, `${String(held())} at once`);
  assert.equal(await it.resolve(), digest);
});

test("who asks for a tag that waits in another's long queue does not wait behind it", async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const upstream = it.rig.upstreams.for(NAME);
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const order: string[] = [];
  const headManifest: typeof upstream.headManifest = async (name, tag, options) => {
    order.push(tag);
    await gate;
    return upstream.headManifest(name, tag, options);
  };
  const rights: Rights = {
    key: 'slow',
    upstream: () => Object.assign(Object.create(upstream) as typeof upstream, {headManifest}),
  };
  const signal = AbortSignal.timeout(60_000);
  const evil = [...Array.from({length: 300}, (_, i) => `evil-${String(i)}`), 'v1'].map((tag) =>
    it.resolver.resolve({name: NAME, tag, rights, tenant: 'evil'}, signal),
  );
  const all = Promise.allSettled(evil);
  const mine = it.resolver.resolve({name: NAME, tag: 'v1', rights, tenant: 'team-a'}, signal);
  open();
  assert.equal((await mine).digest, digest);
  assert.ok(order.indexOf('v1') < 60, `it was asked as number ${String(order.indexOf('v1'))}`);
  await all;
});

test('a question whose turn did not come is not remembered as a failure of its image', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const upstream = it.rig.upstreams.for(NAME);
  let hangs = true;
  const headManifest: typeof upstream.headManifest = (name, tag, options) =>
    hangs ? new Promise(() => undefined) : upstream.headManifest(name, tag, options);
  const rights: Rights = {
    key: 'sometimes',
    upstream: () => Object.assign(Object.create(upstream) as typeof upstream, {headManifest}),
  };
  const ask = (tag: string): Promise<{digest: Digest}> =>
    it.resolver.resolve({name: NAME, tag, rights, tenant: 'team-a'}, AbortSignal.timeout(60_000));
  const asked = ['v2', 'v3', 'v4', 'v5', 'v1'].map(ask);
  const ends = await Promise.allSettled(asked);
  const told = ends.map((end) => (end.status === 'rejected' ? String(end.reason) : 'resolved'));
  assert.match(told[0] ?? '', /did not answer in time/);
  assert.match(told[4] ?? '', /wait before this one/);
  hangs = false;
  assert.equal((await ask('v1')).digest, digest);
  await assert.rejects(ask('v2'), /did not answer in time/);
});
