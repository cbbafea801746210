import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {after, before, test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {OCI_INDEX, OCI_MANIFEST} from '../../oci/media-type.ts';
import {BOB, HostedRig} from '../hosted-rig.ts';
import {codeOf, describe, PushClient} from '../push-client.ts';

// Protocol A, as far as the official suite does not test it (test/integration/registry-conformance.test.ts).

let registry: HostedRig;
let alice: PushClient;
before(async () => {
  registry = await HostedRig.start({
    hosted: {immutableTags: ['release/**:v*']},
  });
  alice = new PushClient(registry);
});
after(async () => {
  await registry[Symbol.asyncDispose]();
});

let names = 0;
/** A repository that nothing else is in. */
const newName = (): string => `test/a${String(++names)}`;

test('a manifest needs what it refers to, with its size (A-072)', async () => {
  const name = newName();
  const [config, layer] = [randomBytes(100), randomBytes(100)];
  await alice.blob(name, config);
  const put = async (status: number, body: object, type = OCI_MANIFEST): Promise<Response> =>
    await alice.send(status, 'PUT', `${name}/manifests/v1`, {
      body: JSON.stringify({schemaVersion: 2, mediaType: type, ...body}),
      headers: {'content-type': type},
    });
  const image = {config: describe(config), layers: [describe(layer)]};
  assert.equal(await codeOf(await put(404, image)), 'MANIFEST_BLOB_UNKNOWN');
  await alice.send(404, 'GET', `${name}/manifests/v1`);
  await alice.blob(name, layer);
  assert.equal(await codeOf(await put(400, {...image, layers: [{...describe(layer), size: 99}]})), 'MANIFEST_INVALID');
  await put(201, image);
  const missing = {...describe(layer), mediaType: OCI_MANIFEST};
  assert.equal(await codeOf(await put(404, {manifests: [missing]}, OCI_INDEX)), 'MANIFEST_BLOB_UNKNOWN');
});

test('blobs are found in the repository only, whoever else has them (A-061, A-064, D-104, D-109)', async () => {
  const [one, two] = [newName(), newName()];
  const bytes = randomBytes(500);
  const digest = await alice.blob(one, bytes);
  await alice.send(404, 'GET', `${two}/blobs/${digest}`);
  const mounted = await alice.send(201, 'POST', `${two}/blobs/uploads/?mount=${digest}&from=${one}`);
  assert.equal(mounted.headers.get('location'), `/v2/${two}/blobs/${digest}`);
  await alice.send(202, 'DELETE', `${one}/blobs/${digest}`);
  await alice.send(404, 'GET', `${one}/blobs/${digest}`);
  await alice.send(200, 'GET', `${two}/blobs/${digest}`);
  await alice.send(404, 'DELETE', `${one}/blobs/${digest}`);
  await alice.send(202, 'POST', `${one}/blobs/uploads/?mount=${digest}&from=${newName()}`);
  await alice.send(201, 'POST', `${one}/blobs/uploads/?mount=${digest}`);
  await alice.send(202, 'POST', `${one}/blobs/uploads/?mount=nonsense&from=../../etc`);
});

test('parts of a blob, and questions whether it has changed (A-080…A-084)', async () => {
  const name = newName();
  const bytes = randomBytes(2048);
  const path = `${name}/blobs/${await alice.blob(name, bytes)}`;
  for (const [range, status, start, end] of [
    ['bytes=500-1499', 206, 500, 1500],
    ['bytes=500-', 206, 500, 2048],
    ['bytes=-500', 206, 1548, 2048],
    ['bytes=2000-5000', 206, 2000, 2048],
    ['bytes=0-', 206, 0, 2048],
    ['bytes=2048-', 416, 0, 0],
    ['bytes=500-0', 416, 0, 0],
    ['bytes=0-1,5-6', 200, 0, 2048],
    ['lines=1-2', 200, 0, 2048],
  ] as const) {
    const answer = await alice.send(status, 'GET', path, {headers: {range}});
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes.subarray(start, end), range);
    if (status === 206) assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end - 1}/2048`);
    if (status === 416) assert.equal(answer.headers.get('content-range'), 'bytes */2048');
  }
  const etag = (await alice.send(200, 'HEAD', path)).headers.get('etag') ?? '';
  for (const given of [etag, `W/${etag}`, '*', `"x", ${etag}`])
    await alice.send(304, 'GET', path, {headers: {'if-none-match': given}});
  await alice.send(200, 'GET', path, {headers: {'if-none-match': '"x"'}});
  await alice.send(200, 'GET', path, {headers: {range: 'bytes=1-2', 'if-range': '"x"'}});
});

test('lists come in pages, in ASCII order (A-090…A-095)', async () => {
  const name = newName();
  const config = randomBytes(50);
  await alice.send(404, 'GET', `${name}/tags/list`);
  const image = await alice.image(name, undefined, [config]);
  assert.deepEqual(await (await alice.send(200, 'GET', `${name}/tags/list`)).json(), {name, tags: []});
  const headers = {'content-type': OCI_MANIFEST};
  for (const tag of ['b', 'a', 'B', '10', '9'])
    await alice.send(201, 'PUT', `${name}/manifests/${tag}`, {body: image.manifest, headers});
  const page = async (query: string): Promise<[string[], string | null]> => {
    const answer = await alice.send(200, 'GET', `${name}/tags/list?${query}`);
    return [((await answer.json()) as {tags: string[]}).tags, answer.headers.get('link')];
  };
  assert.deepEqual(await page(''), [['10', '9', 'B', 'a', 'b'], null]);
  assert.deepEqual(await page('n=2'), [['10', '9'], `</v2/${name}/tags/list?n=2&last=9>; rel="next"`]);
  assert.deepEqual(await page('n=2&last=C'), [['a', 'b'], null]);
  assert.deepEqual(await page('n=0'), [[], null]);
  assert.deepEqual(await page('n=99999999999'), [['10', '9', 'B', 'a', 'b'], null]); // D-100
  for (const n of ['-1', 'x', '1.5'])
    assert.equal(await codeOf(await alice.send(400, 'GET', `${name}/tags/list?n=${n}`)), 'PAGINATION_NUMBER_INVALID');
  const catalog = (await (await alice.send(200, 'GET', '_catalog?n=1000')).json()) as {repositories: string[]};
  assert.ok(catalog.repositories.includes(name));
  assert.deepEqual(catalog.repositories, catalog.repositories.toSorted());
});

test('what refers to a manifest is listed, filtered and paged; deletion takes it off (A-100…A-104)', async () => {
  const name = newName();
  const config = randomBytes(50);
  const subject = describe(randomBytes(10)); // which need not exist
  const path = `${name}/referrers/${(subject as {digest: string}).digest}`;
  const list = async (
    query = '',
  ): Promise<{manifests: {digest: string; annotations?: object; artifactType?: string}[]}> =>
    (await (await alice.send(200, 'GET', path + query)).json()) as Awaited<ReturnType<typeof list>>;
  assert.deepEqual(await list(), {schemaVersion: 2, mediaType: OCI_INDEX, manifests: []});
  await alice.blob(name, config);
  const digests: string[] = [];
  for (let i = 0; i < 5; i++) {
    const more = {artifactType: `application/t${String(i % 2)}`, annotations: {i: String(i)}};
    digests.push((await alice.image(name, undefined, [config], {more: {subject, ...more}})).digest);
  }
  const all = (await list()).manifests;
  assert.deepEqual(
    all.map(({digest}) => digest),
    digests.toSorted(),
  );
  assert.deepEqual(new Set(all.map(({annotations}) => JSON.stringify(annotations))).size, 5);
  const filtered = await alice.send(200, 'GET', `${path}?artifactType=application/t1&n=1`);
  assert.equal(filtered.headers.get('oci-filters-applied'), 'artifactType');
  const next = /^<(.*)>; rel="next"$/.exec(filtered.headers.get('link') ?? '')?.[1] ?? '';
  const pages = [filtered, await alice.send(200, 'GET', next)];
  assert.equal(pages[1]?.headers.get('link'), null);
  const found: unknown[] = [];
  for (const one of pages) found.push(...((await one.json()) as {manifests: {artifactType: string}[]}).manifests);
  assert.deepEqual(found.length, 2);
  await alice.send(202, 'DELETE', `${name}/manifests/${digests[0] ?? ''}`);
  assert.equal((await list()).manifests.length, 4);
});

test('immutable tags are made once, and all that they need stays (D-043, D-114)', async () => {
  const name = 'release/app';
  const [config, layer] = [randomBytes(40), randomBytes(40)];
  const child = await alice.image(name, undefined, [config, layer]);
  const list = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [{...describe(child.manifest), mediaType: OCI_MANIFEST}],
    }),
  );
  const headers = {'content-type': OCI_INDEX};
  for (let i = 0; i < 2; i++) await alice.send(201, 'PUT', `${name}/manifests/v1`, {body: list, headers}); // the same again
  const other = await alice.image(name, 'latest', [config]);
  const moved = await alice.send(403, 'PUT', `${name}/manifests/v1`, {
    body: other.manifest,
    headers: {'content-type': OCI_MANIFEST},
  });
  assert.equal(await codeOf(moved), 'DENIED');
  const byParameter = `${name}/manifests/${other.digest}?tag=free&tag=v1`;
  await alice.send(403, 'PUT', byParameter, {body: other.manifest, headers: {'content-type': OCI_MANIFEST}});
  await alice.send(404, 'GET', `${name}/manifests/free`);
  for (const path of [
    'manifests/v1',
    `manifests/${digestOf(list)}`,
    `manifests/${child.digest}`,
    `blobs/${digestOf(config)}`,
    `blobs/${digestOf(layer)}`,
  ])
    await alice.send(403, 'DELETE', `${name}/${path}`);
  await assert.rejects(registry.agent.noost('rm', `${name}:v1`));
  await alice.send(202, 'DELETE', `${name}/manifests/${other.digest}`);
  await alice.assertPulls(name, child.digest, child);
  await alice.send(200, 'GET', `${name}/manifests/v1`);
});

test('who moved a tag, from what to what, is known; rm takes what only the image needs', async () => {
  const name = newName();
  const [one, two] = [
    await alice.image(name, 'main', [randomBytes(10)]),
    await new PushClient(registry, BOB).image(name, 'main', [randomBytes(11)]),
  ];
  const history = JSON.parse(await registry.agent.noost('history', '--json', `${name}:main`)) as {
    moves: Record<string, string>[];
  };
  assert.deepEqual(
    history.moves.map(({by, from, to}) => [by, from, to]),
    [
      ['bob', one.digest, two.digest],
      ['alice', undefined, one.digest],
    ],
  );
  const signature = await alice.image(name, undefined, [randomBytes(12)], {more: {subject: describe(two.manifest)}});
  await registry.agent.noost('rm', `reg.test/${name}:main`);
  for (const digest of [two.digest, signature.digest]) await alice.send(404, 'GET', `${name}/manifests/${digest}`);
  await alice.assertPulls(name, one.digest, one);
  const {freedBytes, blobs} = JSON.parse(await registry.agent.noost('gc', '--json')) as {
    freedBytes: number;
    blobs: number;
  };
  assert.ok(blobs >= 2 && freedBytes >= 23, `${String(blobs)} blobs, ${String(freedBytes)} bytes`);
  await alice.assertPulls(name, one.digest, one);
  for (const bytes of [...two.blobs, ...signature.blobs])
    await alice.send(404, 'GET', `${name}/blobs/${digestOf(bytes)}`);
});

test('other methods are told which there are (A-002)', async () => {
  const name = newName();
  for (const [method, path, allowed] of [
    ['PUT', `${name}/blobs/${digestOf(Buffer.alloc(1))}`, 'GET, HEAD, DELETE'],
    ['PATCH', `${name}/manifests/v1`, 'GET, HEAD, PUT, DELETE'],
    ['DELETE', `${name}/tags/list`, 'GET, HEAD'],
  ] as const) {
    const answer = await alice.send(405, method, path);
    assert.equal(await codeOf(answer), 'UNSUPPORTED');
    assert.equal(answer.headers.get('allow'), allowed);
  }
});
