import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FakeRegistry} from '../test/fake-registry.ts';
import {ask, NAME, newUpstreamRig, newUpstreams, recorder, settings} from '../test/upstream-rig.ts';

const DIGEST = `sha256:${'0'.repeat(64)}` as const;

/** Names that nobody configured: refused by themselves, with no question to a name server (D-010…D-012). */
for (const registry of [
  'localhost',
  'localhost:5000',
  'registry',
  'kubernetes.default',
  'registry.kube-system.svc',
  'registry.kube-system.svc.cluster.local',
  'metadata.google.internal',
  '127.0.0.1:5000',
  '127.0.0.1',
  '169.254.169.254',
  '10.0.0.1',
  '0.0.0.0:1',
  '[::1]:5000',
  '[::ffff:127.0.0.1]:6443',
  '[::ffff:169.254.169.254]',
  '[64:ff9b::a9fe:a9fe]',
  '[fd00:ec2::254]',
  '[fe80::1%25eth0]',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '127.1',
  'docker.io@169.254.169.254',
  'docker.io#@x',
  'docker.io%2f@x',
  'docker.io/x',
  'docker.io?x',
  'docker.io\\x',
  'ｌocalhost',
  'reg.example:0',
  'reg.example:65536',
  'reg.example.',
  '',
  ' ',
  '../x',
])
  test(`'${registry}' is refused before anything is asked`, async () => {
    let looked = 0;
    const events: string[] = [];
    const upstreams = newUpstreams([], {
      events: recorder(events),
      lookup: async () => {
        looked++;
        return [];
      },
    });
    const name = {registry, repository: 'acme/app'};
    const asking = async (): Promise<unknown> => upstreams.for(name).getManifest(name, 'v1', ask());
    await assert.rejects(asking, {name: 'UpstreamError', failure: 'refused', message: /upstream refused/});
    assert.deepEqual([looked, events], [0, ['ssrfDenied upstream']]);
    await upstreams.close();
  });

/** Names that resolve to where they should not (D-013). */
for (const [addresses, allowPrivate] of [
  [['127.0.0.1'], true],
  [['169.254.169.254'], true],
  [['8.8.8.8', '127.0.0.1'], true],
  [['::ffff:127.0.0.1'], true],
  [['10.0.0.1'], false],
] as const)
  test(`a name at ${addresses.join(' and ')} is refused at the connection`, async () => {
    const events: string[] = [];
    const lookup = async () => addresses.map((address) => ({address, family: address.includes(':') ? 6 : 4}));
    const upstreams = newUpstreams([], {events: recorder(events), lookup});
    const name = {registry: 'rebound.example', repository: 'acme/app'};
    const options = ask('anonymous', {allowPrivate});
    const [source] = upstreams.for(name).sources(name);
    await assert.rejects(upstreams.for(name).getManifest(name, 'v1', options), {failure: 'refused'}); // over HTTP/2
    await assert.rejects(source!.open(DIGEST, 0, options), {failure: 'refused'}); // over HTTP/1.1
    assert.ok(
      events.includes('ssrfDenied upstream') && !events.some((event) => event.startsWith('retry')),
      events.join(),
    );
    await upstreams.close();
  });

test('what is configured may be on loopback, and so may its storage and token server', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true, redirectBlobs: true});
  const {layers} = rig.fake.content.addImage('acme/app', 'v1');
  const {body} = await rig.source().open(layers[0]!, 0, ask('node'));
  body.resume();
});

test('so may the storage of one that is configured by name, from the first request on', async () => {
  await using fake = await FakeRegistry.start({redirectBlobs: true});
  const {layers} = fake.content.addImage('acme/app', 'v1');
  const lookup = async () => [{address: '127.0.0.1', family: 4}];
  const url = fake.url.replace('127.0.0.1', 'registry.reg.test');
  const upstreams = newUpstreams([settings({url})], {lookup});
  const {body} = await upstreams.for(NAME).sources(NAME).at(-1)!.open(layers[0]!, 0, ask());
  body.resume();
  await upstreams.close();
});

for (const location of [
  'http://169.254.169.254/latest/meta-data',
  'http://[::ffff:169.254.169.254]/',
  'http://10.0.0.1/',
  'http://0.0.0.0/',
  'http://metadata.google.internal/',
  'http://2852039166/',
])
  test(`a redirect to ${location} is refused, even of what is configured (D-014)`, async () => {
    await using rig = await newUpstreamRig();
    rig.fake.fail({kind: 'status', status: 307, headers: {location}});
    await assert.rejects(rig.source().open(DIGEST, 0, ask()), {failure: 'refused', message: /redirect refused/});
    assert.ok(rig.events.includes('ssrfDenied redirect'));
  });

test('a realm at the metadata service is refused', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.auth.realm = 'http://169.254.169.254/token';
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {
    failure: 'refused',
    message: /realm refused/,
  });
  assert.ok(rig.events.includes('ssrfDenied realm'));
});

test('a realm within the registry’s own kind of address is asked, by name too', async () => {
  const lookup = async () => [{address: '127.0.0.1', family: 4}];
  await using rig = await newUpstreamRig({auth: 'bearer', client: {lookup}});
  rig.fake.auth.publicRepositories.add('all');
  rig.fake.auth.realm = `http://auth.reg.test:${rig.fake.port('token')}/token`;
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.headManifest(NAME, 'v1', ask());
  assert.equal(rig.fake.lines('token').length, 1);
});

test('nothing is asked of our own address, by redirect or configuration (D-015)', async () => {
  await using own = await FakeRegistry.start();
  const ownAddresses = [{host: '0.0.0.0', port: own.port('registry')}];
  await using rig = await newUpstreamRig({client: {ownAddresses}});
  rig.fake.fail({kind: 'status', status: 307, headers: {location: `${own.url}/loop`}});
  await assert.rejects(rig.source().open(DIGEST, 0, ask()), {failure: 'refused', message: /our own/});
  const upstreams = newUpstreams(
    [settings({url: own.url}), settings({host: 'b.test', url: `http://localhost:${own.port('registry')}`})],
    {ownAddresses},
  );
  for (const registry of ['reg.test', 'b.test'])
    await assert.rejects(upstreams.for({...NAME, registry}).getManifest(NAME, 'v1', ask()), {
      failure: 'refused',
      message: /our own/,
    });
  assert.deepEqual(own.requests, []);
  await upstreams.close();
});

test('`*` does not make a registry configured, nor give it a password', async () => {
  const upstreams = newUpstreams([settings({host: '*'})]);
  const name = {registry: '127.0.0.1:5000', repository: 'x'};
  await assert.rejects(async () => upstreams.for(name).getManifest(name, 'v1', ask('node')), {failure: 'refused'});
  await upstreams.close();
});

test('private addresses are reached where the options or the question allow it, loopback never', async () => {
  for (const [client, options, refused] of [
    [{}, ask(), true],
    [{allowPrivate: true}, ask(), false],
    [{}, ask('anonymous', {allowPrivate: true}), false],
  ] as const) {
    const lookup = async () => [{address: 'fd12:3456::1', family: 6}];
    const upstreams = newUpstreams([], {...client, lookup, timeouts: {connectMs: 100, budgetMs: 200}});
    const name = {registry: 'corp.example', repository: 'x'};
    const failures = refused ? ['refused'] : ['timeout', 'down'];
    await assert.rejects(upstreams.for(name).getManifest(name, 'v1', options), ({failure}: {failure: string}) =>
      failures.includes(failure),
    );
    await upstreams.close();
  }
});
