import assert from 'node:assert/strict';
import {buffer} from 'node:stream/consumers';
import {test} from 'node:test';
import type {Fault} from '../test/fake-fault.ts';
import {FakeRegistry} from '../test/fake-registry.ts';
import {ask, NAME, newUpstreamRig, newUpstreams, recorder, settings} from '../test/upstream-rig.ts';

/** C-060: what is asked again, and how often. */
const RETRIES: readonly [name: string, fault: Fault, times: number, asked: number, outcome: string][] = [
  ...[500, 502, 503, 504].map((status): [string, Fault, number, number, string] => [
    `${status} once`,
    {kind: 'status', status},
    1,
    2,
    'ok',
  ]),
  ['503 for ever', {kind: 'status', status: 503}, Infinity, 3, 'serverError'],
  ['a reset', {kind: 'reset'}, 1, 2, 'ok'],
  ['a close', {kind: 'close'}, 2, 3, 'ok'],
  ['resets for ever', {kind: 'reset'}, Infinity, 3, 'down'],
  ['501', {kind: 'status', status: 501}, 1, 1, 'serverError'],
  ['404', {kind: 'status', status: 404}, 1, 1, 'notFound'],
];

for (const [name, fault, times, asked, outcome] of RETRIES)
  test(`${name} is asked ${asked} times`, async () => {
    await using rig = await newUpstreamRig();
    rig.fake.content.addImage('acme/app', 'v1');
    rig.fake.fail(fault, {times});
    const asking = rig.upstream.getManifest(NAME, 'v1', ask());
    if (outcome === 'ok') await asking;
    else await assert.rejects(asking, {failure: outcome});
    assert.equal(rig.fake.requests.length, asked);
  });

test('a registry that hangs is given up within the budget', async () => {
  await using rig = await newUpstreamRig({client: {timeouts: {budgetMs: 300}}});
  rig.fake.fail({kind: 'hang'}, {times: Infinity});
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {failure: 'timeout'});
  assert.deepEqual(rig.events, ['request reg.test timeout']);
});

test('a kept connection that was closed meanwhile costs one retry (C-057)', async () => {
  await using rig = await newUpstreamRig();
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.getManifest(NAME, 'v1', ask());
  await rig.fake.down();
  await rig.fake.up();
  await rig.upstream.getManifest(NAME, 'v1', ask());
});

test('429 is remembered as long as Retry-After says, and asks nothing meanwhile (C-060)', async () => {
  const clock = {ms: 0};
  await using rig = await newUpstreamRig({client: {now: () => clock.ms}});
  const {layers} = rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'status', status: 429, headers: {'retry-after': '7'}});
  await assert.rejects(rig.upstream.headManifest(NAME, 'v1', ask()), {
    failure: 'tooManyRequests',
    status: 429,
    retryAfterMs: 7000,
  });
  clock.ms = 5000;
  await assert.rejects(rig.source().open(layers[0]!, 0, ask()), {failure: 'tooManyRequests', retryAfterMs: 2000});
  assert.equal(rig.fake.requests.length, 1);
  clock.ms = 7001;
  await rig.upstream.headManifest(NAME, 'v1', ask());
});

test('ratelimit-remaining is reported (C-031)', async () => {
  await using rig = await newUpstreamRig();
  rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'header', headers: {'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600'}});
  await rig.upstream.headManifest(NAME, 'v1', ask());
  assert.ok(rig.events.includes('rateLimitRemaining reg.test 76'));
});

test('a registry that is down is not asked for a while, and found again by itself', async () => {
  const clock = {ms: 0};
  await using rig = await newUpstreamRig({client: {now: () => clock.ms}});
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.fake.down();
  for (let i = 0; i < 4; i++) await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {failure: 'down'});
  assert.equal(rig.events.filter((event) => event === 'request reg.test down').length, 10);
  await rig.fake.up();
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {failure: 'down', retryAfterMs: 1000});
  assert.deepEqual(rig.fake.requests, []);
  clock.ms = 1001;
  await rig.upstream.getManifest(NAME, 'v1', ask());
  assert.deepEqual(
    rig.events.filter((event) => event.startsWith('breaker')),
    ['breaker reg.test true', 'breaker reg.test false'],
  );
});

test('storage that is down does not keep tags away', async () => {
  await using rig = await newUpstreamRig({redirectBlobs: true});
  const {layers} = rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'reset'}, {on: 'storage', times: Infinity});
  for (let i = 0; i < 4; i++) await assert.rejects(rig.source().open(layers[0]!, 0, ask()), {failure: 'down'});
  await rig.upstream.getManifest(NAME, 'v1', ask());
});

/** Whatever is wrong with a mirror, the registry is asked. */
const MIRROR_FAULTS: readonly Fault[] = [
  {kind: 'status', status: 404},
  {kind: 'status', status: 401},
  {kind: 'status', status: 429},
  {kind: 'status', status: 500},
  {kind: 'reset'},
  {kind: 'hang'},
  {kind: 'html'},
  {kind: 'truncate', after: 3},
  {kind: 'status', status: 302, headers: {location: 'http://169.254.169.254/'}},
];

for (const fault of MIRROR_FAULTS)
  test(`a mirror with ${JSON.stringify(fault)} is passed over`, async () => {
    await using mirror = await FakeRegistry.start();
    await using rig = await newUpstreamRig({
      settings: {mirrors: [mirror.url]},
      client: {timeouts: {mirrorBudgetMs: 200}},
    });
    mirror.fail(fault, {times: Infinity});
    const {digest} = rig.fake.content.addImage('acme/app', 'v1');
    assert.equal((await rig.upstream.getManifest(NAME, 'v1', ask())).digest, digest);
    assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask())).digest, digest);
  });

test('a mirror is asked first, told which registry is meant, and never sent the registry’s password', async () => {
  await using mirror = await FakeRegistry.start({auth: 'basic'});
  await using rig = await newUpstreamRig({login: true, settings: {mirrors: [`${mirror.url}/some/path`]}});
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.getManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(
    mirror.requests.map(({url, headers}) => [url, headers.authorization]),
    [['/some/path/v2/acme/app/manifests/v1?ns=reg.test', undefined]],
  );
});

test('a mirror that has it spares the registry', async () => {
  await using mirror = await FakeRegistry.start();
  await using rig = await newUpstreamRig({settings: {mirrors: [mirror.url]}});
  const {layers} = mirror.content.addImage('acme/app', 'v1');
  await rig.upstream.getManifest(NAME, 'v1', ask());
  const [source] = rig.upstream.sources(NAME);
  await buffer((await source!.open(layers[0]!, 0, ask())).body);
  assert.deepEqual(rig.fake.requests, []);
  assert.deepEqual(
    rig.upstream.sources(NAME).map(({kind}) => kind),
    ['mirror', 'upstream'],
  );
});

test('the longest path at a host decides, and labels are configured hosts or `other`', () => {
  const hosts = ['reg.test', 'reg.test/acme', 'reg.test/acme/app', 'docker.io', '*'];
  const upstreams = newUpstreams(hosts.map((host) => settings({host})));
  const label = (registry: string, repository: string): string => upstreams.for({registry, repository}).label;
  assert.equal(label('reg.test', 'x'), 'reg.test');
  assert.equal(label('reg.test', 'acme/x'), 'reg.test/acme');
  assert.equal(label('reg.test', 'acme/app/x'), 'reg.test/acme/app');
  assert.equal(label('reg.test', 'acmeapp'), 'reg.test');
  assert.equal(label('docker.io', 'library/alpine'), 'docker.io');
  assert.equal(label('ghcr.io', 'x'), 'other');
});

test('reload keeps what is unchanged and replaces what is not', async () => {
  await using rig = await newUpstreamRig();
  const same = settings({url: rig.fake.url});
  const upstreams = newUpstreams([same, settings({host: 'b.test', url: rig.fake.url})], {events: recorder([])});
  const [a, b] = [upstreams.for(NAME), upstreams.for({...NAME, registry: 'b.test'})];
  upstreams.reload([same, settings({host: 'b.test', url: rig.fake.url, maxConnections: 3})]);
  assert.equal(upstreams.for(NAME), a);
  assert.notEqual(upstreams.for({...NAME, registry: 'b.test'}), b);
  await upstreams.close();
});

test('a transfer goes on while its upstream is reconfigured', async () => {
  await using rig = await newUpstreamRig();
  const digest = rig.fake.content.addBlob('acme/app', Buffer.alloc(400_000, 'x'));
  rig.fake.fail({kind: 'slow', bytesPerSecond: 2_000_000});
  const {body} = await rig.source().open(digest, 0, ask());
  rig.upstreams.reload([]);
  assert.equal((await buffer(body)).length, 400_000);
});
