import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import type {RepositoryName} from '../../oci/source.ts';
import {policyFor} from '../../oci/upstream-policy.ts';
import type {UpstreamConfig} from '../../oci/upstream-config.ts';
import {newUpstreamRig, NAME, type UpstreamRig} from '../../test/upstream-rig.ts';
import {Resolver, type Rights} from './resolver.ts';

const HOUR = 3_600_000;
const CONFIG: UpstreamConfig = {
  host: 'reg.test',
  url: undefined,
  mirrors: [],
  credentials: undefined,
  tls: undefined,
  maxConnections: 8,
  freshForMs: 30_000,
  staleIfError: {down: HOUR, timeout: HOUR, tooManyRequests: HOUR, serverError: HOUR, notFound: 0},
  offline: false,
  cache: 'always',
};

interface ResolverRig extends AsyncDisposable {
  readonly rig: UpstreamRig;
  readonly resolver: Resolver;
  readonly rights: Rights;
  /** What the resolver told: outcomes in their order. */
  readonly told: string[];
  /** Moves its clock. */
  pass(ms: number): void;
  resolve(tag?: string, expected?: Digest, rights?: Rights): Promise<string>;
  /** What the registry was asked since, `HEAD /v2/…`. */
  asked(): string[];
}

async function newRig(config: Partial<UpstreamConfig> = {}): Promise<ResolverRig> {
  const rig = await newUpstreamRig();
  let now = 1_000_000;
  const told: string[] = [];
  const upstreams = [{...CONFIG, ...config}];
  const resolver = new Resolver({
    policy: (name) => policyFor(upstreams, name),
    allowPrivate: false,
    events: {resolved: (outcome) => told.push(outcome)},
    now: () => now,
  });
  const rights: Rights = {key: 'own', upstream: (name: RepositoryName) => rig.upstreams.for(name)};
  return {
    rig,
    resolver,
    rights,
    told,
    pass: (ms) => {
      now += ms;
    },
    resolve: async (tag = 'v1', expected, as = rights) =>
      (await resolver.resolve({name: NAME, tag, rights: as, expected}, AbortSignal.timeout(60_000))).digest,
    asked: () => rig.fake.lines('registry').splice(0),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

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
  await assert.rejects(it.resolver.resolve({name: NAME, tag: 'v1', rights}, AbortSignal.timeout(20)), {
    name: 'TimeoutError',
  });
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

test('registries that hang, however many of their images are named, leave room for the others', async () => {
  await using it = await newRig();
  const {digest} = it.rig.fake.content.addImage('acme/app', 'v1');
  const never: Rights = {
    key: 'hangs',
    upstream: () => ({headManifest: () => new Promise(() => undefined)}) as never,
  };
  const gone = AbortSignal.timeout(60_000);
  const failures: unknown[] = [];
  for (let i = 0; i < 10_000; i++) {
    const name: RepositoryName = {registry: `evil-${String(i % 3)}.test`, repository: 'x'};
    it.resolver
      .resolve({name, tag: `v${String(i)}`, rights: never}, gone)
      .catch((error: unknown) => failures.push(error));
  }
  await delay(10);
  assert.ok(failures.length > 7_000, String(failures.length));
  assert.match(String(failures[0]), /too many images are being resolved/);
  assert.equal(await it.resolve(), digest);
});

test('a registry that nobody configured is not asked at a private address (§7 58, 63)', async () => {
  await using it = await newRig();
  const name = {registry: it.rig.fake.host, repository: 'acme/app'};
  await assert.rejects(
    it.resolver.resolve({name, tag: 'v1', rights: it.rights}, AbortSignal.timeout(5_000)),
    (error: unknown) => error instanceof UpstreamError && error.failure === 'refused',
  );
  assert.deepEqual(it.asked(), []);
});

test('a registry that is offline by configuration is never asked', async () => {
  await using it = await newRig({offline: true});
  await assert.rejects(it.resolve(), /offline by configuration/);
  assert.deepEqual(it.asked(), []);
});
