import assert from 'node:assert/strict';
import {test} from 'node:test';
import {INDEX_TYPE, MANIFEST_TYPE} from '../test/fake-content.ts';
import type {Fault} from '../test/fake-fault.ts';
import {ask, NAME, newUpstreamRig} from '../test/upstream-rig.ts';
import {digestOf} from './digest.ts';

const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';
const MANIFEST = {schemaVersion: 2, mediaType: MANIFEST_TYPE, layers: []};

test('a manifest comes byte for byte, with the digest of its bytes (P-06, C-055)', async () => {
  await using rig = await newUpstreamRig();
  const text = `{ "schemaVersion":2,\n\t"mediaType" : "${MANIFEST_TYPE}", "layers":[],"x":1.0 }`;
  rig.fake.content.addManifest('acme/app', text, MANIFEST_TYPE, 'v1');
  rig.fake.fail({kind: 'header', headers: {'docker-content-digest': `sha256:${'0'.repeat(64)}`}});
  const {bytes, digest, sizeBytes} = await rig.upstream.getManifest(NAME, 'v1', ask());
  assert.deepEqual([bytes.toString(), digest, sizeBytes], [text, digestOf(Buffer.from(text)), text.length]);
});

test('bytes that do not have the digest asked for are an IntegrityError (C-055)', async () => {
  await using rig = await newUpstreamRig();
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.content
    .find('acme/app')!
    .manifests.set(digest, {bytes: Buffer.from(JSON.stringify(MANIFEST)), mediaType: MANIFEST_TYPE, digest});
  await assert.rejects(rig.upstream.getManifest(NAME, digest, ask()), {name: 'IntegrityError'});
});

test('a sha512 digest is checked by sha512', async () => {
  await using rig = await newUpstreamRig();
  const bytes = Buffer.from(JSON.stringify(MANIFEST));
  const digest = digestOf(bytes, 'sha512');
  rig.fake.content.at('acme/app').manifests.set(digest, {bytes, mediaType: MANIFEST_TYPE, digest: digest as never});
  assert.equal((await rig.upstream.getManifest(NAME, digest, ask())).digest, digest);
});

/** the body, then the header, then the shape. */
for (const [name, body, contentType, expected] of [
  ['the body’s word', {...MANIFEST}, 'text/plain', MANIFEST_TYPE],
  ['the body’s word against another', {...MANIFEST}, DOCKER, MANIFEST_TYPE],
  ['the header', {schemaVersion: 2, layers: []}, DOCKER, DOCKER],
  ['the header without parameters', {schemaVersion: 2, layers: []}, `${DOCKER}; charset=utf-8`, DOCKER],
  [
    'the shape of an image',
    {schemaVersion: 2, config: {digest: digestOf(Buffer.alloc(0)), size: 0}, layers: []},
    'text/plain',
    MANIFEST_TYPE,
  ],
  ['the shape of an index', {schemaVersion: 2, manifests: []}, 'application/octet-stream', INDEX_TYPE],
  [
    'Docker’s first type',
    {schemaVersion: 1, fsLayers: []},
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ],
] as const)
  test(`a media type is ${name}`, async () => {
    await using rig = await newUpstreamRig();
    rig.fake.content.addManifest('acme/app', body, contentType, 'v1');
    assert.equal((await rig.upstream.getManifest(NAME, 'v1', ask())).mediaType, expected);
  });

test('Docker’s first type passes under the digest that was asked for (A-078)', async () => {
  await using rig = await newUpstreamRig();
  const digest = digestOf(Buffer.from('the payload without signatures'));
  const bytes = Buffer.from('{"schemaVersion":1,"signatures":[]}');
  rig.fake.content.at('acme/app').manifests.set(digest, {
    bytes,
    mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
    digest: digest as never,
  });
  assert.equal((await rig.upstream.getManifest(NAME, digest, ask())).digest, digest);
});

const WRONG: readonly [name: string, fault: Fault, failure: string][] = [
  ['an HTML page', {kind: 'html'}, 'protocol'],
  ['nothing', {kind: 'empty'}, 'protocol'],
  ['too much', {kind: 'huge', bytes: 5 << 20}, 'protocol'],
  ['too much that says it is little', {kind: 'header', headers: {'content-length': '10'}}, 'protocol'],
  ['an array', {kind: 'status', status: 200, body: '[]'}, 'protocol'],
  [
    'two kinds at once',
    {kind: 'status', status: 200, body: '{"schemaVersion":2,"manifests":[],"layers":[]}'},
    'protocol',
  ],
  ['nesting without end', {kind: 'status', status: 200, body: '['.repeat(1 << 20)}, 'protocol'],
  ['a body that never ends', {kind: 'stall', after: 10}, 'timeout'],
  ['a trickle', {kind: 'drip', everyMs: 50, chunkBytes: 1}, 'timeout'],
  ['404', {kind: 'status', status: 404}, 'notFound'],
  ['403', {kind: 'status', status: 403}, 'unauthorized'],
  ['418', {kind: 'status', status: 418}, 'serverError'],
];

for (const [name, fault, failure] of WRONG)
  test(`a manifest that is ${name} is '${failure}'`, async () => {
    await using rig = await newUpstreamRig({client: {timeouts: {budgetMs: 700}}});
    rig.fake.content.addImage('acme/app', 'v1');
    rig.fake.fail(fault, {times: Infinity});
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {
      name: 'UpstreamError',
      failure,
      registry: 'reg.test',
    });
  });

test('a manifest that breaks off is asked for again', async () => {
  await using rig = await newUpstreamRig();
  const image = rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'truncate', after: 10});
  assert.ok((await rig.upstream.getManifest(NAME, 'v1', ask())).bytes.equals(image.bytes));
});

test('manifests are redirected too (C-039)', async () => {
  await using rig = await newUpstreamRig();
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({
    kind: 'status',
    status: 307,
    headers: {location: `${rig.fake.url}/v2/acme/app/manifests/v1?region=eu`},
  });
  assert.equal((await rig.upstream.getManifest(NAME, 'v1', ask())).digest, digest);
});

/** P-17, C-055, C-056: what makes HEAD no good. */
const HEADS: readonly [name: string, fault: Fault][] = [
  ...[400, 401, 403, 405, 501].map((status): [string, Fault] => [
    `is refused with ${status}`,
    {kind: 'headRefused', status},
  ]),
  ['has no digest', {kind: 'noDigest'}],
  ['has a digest that is none', {kind: 'header', headers: {'docker-content-digest': 'md5:abc'}}],
  ['has a generic type', {kind: 'header', headers: {'content-type': 'text/plain'}}],
];

for (const [name, fault] of HEADS)
  test(`a HEAD that ${name} is made a GET, and remembered for minutes`, async () => {
    const clock = {ms: 0};
    await using rig = await newUpstreamRig({client: {now: () => clock.ms}});
    const {digest} = rig.fake.content.addImage('acme/app', 'v1');
    rig.fake.fail(fault, {method: 'HEAD', times: Infinity});
    for (let i = 0; i < 2; i++) assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask())).digest, digest);
    clock.ms = 601_000;
    await rig.upstream.headManifest(NAME, 'v1', ask());
    assert.deepEqual(
      rig.fake.requests.flatMap(({method, url}) => (url === '/v2/' ? [] : [method])),
      ['HEAD', 'GET', 'GET', 'HEAD', 'GET'],
    );
  });

test('a HEAD of what does not exist is asked once', async () => {
  await using rig = await newUpstreamRig();
  await assert.rejects(rig.upstream.headManifest(NAME, 'v1', ask()), {failure: 'notFound', status: 404});
  assert.equal(rig.fake.requests.length, 1);
});

test('tags come as they are, with the query of the next page (A-027, A-093)', async () => {
  await using rig = await newUpstreamRig();
  for (const tag of ['a', 'b', 'c']) rig.fake.content.addImage('acme/app', tag);
  const first = await rig.upstream.listTags(NAME, 'n=2', ask());
  assert.deepEqual([first.bytes.toString(), first.nextQuery], ['{"name":"acme/app","tags":["a","b"]}', 'last=b&n=2']);
  const second = await rig.upstream.listTags(NAME, first.nextQuery!, ask());
  assert.deepEqual([second.bytes.toString(), second.nextQuery], ['{"name":"acme/app","tags":["c"]}', undefined]);
});

for (const [link, expected] of [
  ['<https://evil.example/v2/x/tags/list?n=1&last=opaque%2F%2B>; rel="next"', 'n=1&last=opaque%2F%2B'],
  ['</first?a=1>; rel="first", </next?b=2>; rel=next', 'b=2'],
  ['</next?b=2>; title="x"; rel="prev next"', 'b=2'],
  ['</next>; rel="next"', undefined],
  ['</next?b=2>; rel="prev"', undefined],
  ['nonsense', undefined],
] as const)
  test(`the next page of ${link} is ${expected}, and its host is never asked (GHSA-h7vf)`, async () => {
    await using rig = await newUpstreamRig();
    rig.fake.content.addImage('acme/app', 'a');
    rig.fake.fail({kind: 'header', headers: {link}});
    assert.equal((await rig.upstream.listTags(NAME, '', ask())).nextQuery, expected);
  });

for (const fault of [
  {kind: 'html'},
  {kind: 'empty'},
  {kind: 'huge', bytes: 9 << 20},
  {kind: 'status', status: 200, body: '{"errors":[]}'},
] as const)
  test(`a tags list that is ${fault.kind} is an error of protocol`, async () => {
    await using rig = await newUpstreamRig();
    rig.fake.content.addImage('acme/app', 'a');
    rig.fake.fail(fault);
    await assert.rejects(rig.upstream.listTags(NAME, '', ask()), {failure: 'protocol'});
  });

test('referrers come as they are, with the filters that were applied (A-100, A-026)', async () => {
  await using rig = await newUpstreamRig();
  const image = rig.fake.content.addImage('acme/app', 'v1');
  const signature = rig.fake.content.addManifest(
    'acme/app',
    {...MANIFEST, subject: {digest: image.digest}},
    MANIFEST_TYPE,
  );
  rig.fake.fail({kind: 'header', headers: {'oci-filters-applied': 'artifactType'}});
  const page = await rig.upstream.listReferrers(NAME, image.digest, 'artifactType=x', ask());
  assert.ok(
    page.bytes.toString().includes(signature) &&
      page.mediaType === INDEX_TYPE &&
      page.filtersApplied === 'artifactType',
  );
  assert.deepEqual(rig.fake.lines(), [`GET /v2/acme/app/referrers/${image.digest}?artifactType=x`]);
});

test('an upstream without referrers says so, and never seems to have none (A-106)', async () => {
  await using rig = await newUpstreamRig();
  rig.fake.referrersApi = false;
  await assert.rejects(rig.upstream.listReferrers(NAME, digestOf(Buffer.alloc(0)), '', ask()), {failure: 'notFound'});
});
