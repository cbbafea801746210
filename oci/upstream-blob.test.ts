import assert from 'node:assert/strict';
import {once} from 'node:events';
import {buffer} from 'node:stream/consumers';
import {createServer, type AddressInfo, type Server} from 'node:net';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import type {Fault} from '../test/fake-fault.ts';
import {ask, NAME, newUpstreamRig, newUpstreams, settings, type UpstreamRig} from '../test/upstream-rig.ts';
import type {Digest} from './digest.ts';
import {UpstreamError} from './error.ts';

const BYTES = Buffer.from(Array.from({length: 200_000}, (_, i) => i % 251));

async function newBlobRig(options: Parameters<typeof newUpstreamRig>[0] = {}): Promise<UpstreamRig & {digest: Digest}> {
  const rig = await newUpstreamRig(options);
  return Object.assign(rig, {digest: rig.fake.content.addBlob('acme/app', BYTES)});
}

test('a blob comes whole, by GET alone (P-18)', async () => {
  await using rig = await newBlobRig();
  const {body, offset, sizeBytes} = await rig.source().open(rig.digest, 0, ask());
  assert.deepEqual([offset, sizeBytes, (await buffer(body)).equals(BYTES)], [0, BYTES.length, true]);
  assert.deepEqual(rig.fake.lines(), [`GET /v2/acme/app/blobs/${rig.digest}`]);
  assert.equal(rig.fake.requests[0]?.headers.range, undefined);
});

test('of a blob that nobody reads yet no more than two chunks are held', async () => {
  await using rig = await newUpstreamRig();
  const digest = rig.fake.content.addBlob('acme/app', Buffer.alloc(4 << 20));
  const {body} = await rig.source().open(digest, 0, ask());
  await delay(200);
  assert.ok(body.readableLength > 0 && body.readableLength <= 128 << 10, String(body.readableLength));
  assert.equal((await buffer(body)).length, 4 << 20);
});

test('a redirect to storage is followed without credentials, hop or cookies, and asked anew each time (P-19, C-051)', async () => {
  await using rig = await newBlobRig({auth: 'basic', login: true, redirectBlobs: true});
  for (const offset of [0, 7]) {
    const answer = await rig.source().open(rig.digest, offset, ask('node'));
    assert.ok((await buffer(answer.body)).equals(BYTES.subarray(offset)));
    assert.equal(answer.authority, 'node');
  }
  const stored = rig.fake.requests.filter(({part}) => part === 'storage');
  assert.deepEqual(
    stored.map(({headers}) => [headers.authorization, headers['noost-hop'], headers.range, headers['accept-encoding']]),
    [
      [undefined, undefined, undefined, 'identity'],
      [undefined, undefined, 'bytes=7-', 'identity'],
    ],
  );
  assert.notEqual(stored[0]?.url, stored[1]?.url);
});

/** What `open(digest, 1000)` makes of an answer (C-052). */
const RESUMES: readonly [name: string, fault: Fault | undefined, offset: number, expected: number | 'protocol'][] = [
  ['206 of what was asked', undefined, 1000, 1000],
  ['200 of everything', {kind: 'ignoreRange'}, 1000, 0],
  ['206 from elsewhere', {kind: 'wrongRange'}, 1000, 'protocol'],
  ['206 without Content-Range', {kind: 'header', headers: {'content-range': ''}}, 1000, 'protocol'],
  [
    '206 that ends early',
    {kind: 'header', headers: {'content-range': `bytes 1000-1999/${BYTES.length}`}},
    1000,
    'protocol',
  ],
  ['416 at the end', undefined, BYTES.length, BYTES.length],
  ['416 beyond the end', undefined, BYTES.length + 1, 'protocol'],
  ['416 of another size', {kind: 'status', status: 416, headers: {'content-range': 'bytes */5'}}, 1000, 'protocol'],
];

for (const [name, fault, offset, expected] of RESUMES)
  test(`resuming: ${name}`, async () => {
    await using rig = await newBlobRig();
    if (fault) rig.fake.fail(fault);
    const opening = rig.source().open(rig.digest, offset, ask());
    if (expected === 'protocol') return await assert.rejects(opening, {failure: 'protocol'});
    const answer = await opening;
    assert.equal(answer.offset, expected);
    assert.ok((await buffer(answer.body)).equals(BYTES.subarray(expected)));
    assert.ok(rig.events.includes('resumed reg.test'));
  });

/** What becomes of a body that goes wrong after its headers: never an end that looks whole. */
const BROKEN: readonly [name: string, fault: Fault, failure: string][] = [
  ['FIN in the middle', {kind: 'truncate', after: 1000}, 'down'],
  ['RST in the middle', {kind: 'truncate', after: 1000, how: 'rst'}, 'down'],
  ['a Content-Length that is too long', {kind: 'wrongLength', by: 10}, 'down'],
  ['silence', {kind: 'stall', after: 1000}, 'timeout'],
];

for (const [name, fault, failure] of BROKEN)
  test(`a body that breaks by ${name} ends in an UpstreamError`, async () => {
    await using rig = await newBlobRig({client: {timeouts: {stallMs: 300}}});
    rig.fake.fail(fault);
    const {body} = await rig.source().open(rig.digest, 0, ask());
    await assert.rejects(buffer(body), {name: 'UpstreamError', failure});
  });

test('no Content-Length is no size, and raw bytes stay raw whatever Content-Encoding says (C-053, C-054)', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'noLength'});
  rig.fake.fail({kind: 'gzip'});
  for (const size of [undefined, BYTES.length]) {
    const {body, sizeBytes} = await rig.source().open(rig.digest, 0, ask());
    assert.equal(sizeBytes, size);
    assert.ok((await buffer(body)).equals(BYTES));
  }
});

for (const [name, raw] of [
  ['chunked and closed', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n'],
  ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['sized and closed', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello'],
] as const)
  test(`an answer that is ${name} before its end is broken, not short (D-020)`, async () => {
    await using server = await newRawServer(raw);
    const upstreams = newUpstreams([settings({url: server.url})]);
    const [source] = upstreams.for(NAME).sources(NAME);
    const {body} = await source!.open(`sha256:${'0'.repeat(64)}`, 0, ask());
    await assert.rejects(buffer(body), {name: 'UpstreamError', failure: 'down'});
    await upstreams.close();
  });

for (const [name, raw] of [
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
  ['length and encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['noise', 'hello\r\n\r\n'],
  ['endless headers', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`],
] as const)
  test(`an answer with ${name} is refused (D-035)`, async () => {
    await using server = await newRawServer(raw);
    const upstreams = newUpstreams([settings({url: server.url})]);
    const [source] = upstreams.for(NAME).sources(NAME);
    const failed = source!.open(`sha256:${'0'.repeat(64)}`, 0, ask()).then(({body}) => buffer(body));
    await assert.rejects(failed, (error: unknown) => error instanceof UpstreamError);
    await upstreams.close();
  });

test('a signed URL that has expired is signed anew once (C-051)', async () => {
  await using rig = await newBlobRig({redirectBlobs: true});
  rig.fake.fail({kind: 'expired'}, {on: 'storage'});
  const {body} = await rig.source().open(rig.digest, 0, ask());
  assert.ok((await buffer(body)).equals(BYTES));
  assert.equal(rig.fake.lines('registry').length, 2);
  rig.fake.fail({kind: 'expired'}, {on: 'storage', times: Infinity});
  await assert.rejects(rig.source().open(rig.digest, 0, ask()), {failure: 'serverError', status: 403});
});

test('a 401 of storage never gets the credentials (C-010)', async () => {
  await using rig = await newBlobRig({auth: 'basic', login: true, redirectBlobs: true});
  rig.fake.fail(
    {kind: 'status', status: 401, headers: {'www-authenticate': 'Basic realm="x"'}},
    {on: 'storage', times: Infinity},
  );
  await assert.rejects(rig.source().open(rig.digest, 0, ask('node')), {failure: 'serverError', status: 401});
  assert.ok(rig.fake.requests.every(({part, headers}) => part !== 'storage' || headers.authorization === undefined));
});

/** C-050: every kind of redirect, relative or with characters that should have been escaped. */
for (const [status, location] of [
  [301, '/elsewhere/blob?a=b c'],
  [302, 'blob|x"y'],
  [303, '?signed=ü'],
  [307, '//HOST/blob'],
  [308, 'http://HOST/blob#fragment'],
] as const)
  test(`a ${status} to ${location} is followed`, async () => {
    await using rig = await newBlobRig();
    const to = location.replace('HOST', rig.fake.host);
    rig.fake.fail({kind: 'status', status, headers: {location: Buffer.from(to).toString('latin1')}});
    rig.fake.fail({kind: 'status', status: 200, body: 'there'});
    const {body} = await rig.source().open(rig.digest, 0, ask());
    assert.equal((await buffer(body)).toString(), 'there');
    assert.equal(rig.fake.requests.at(-1)?.method, 'GET');
  });

test('a Location of 20 KiB is followed (C-050)', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'status', status: 307, headers: {location: `/x?sig=${'s'.repeat(20_000)}`}});
  rig.fake.fail({kind: 'status', status: 200, body: 'there'});
  const {body} = await rig.source().open(rig.digest, 0, ask());
  assert.equal((await buffer(body)).toString(), 'there');
});

test('redirects without end are given up', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'status', status: 302, headers: {location: '/again'}}, {times: Infinity});
  await assert.rejects(rig.source().open(rig.digest, 0, ask()), {failure: 'protocol'});
  assert.equal(rig.fake.requests.length, 11);
});

for (const location of ['ftp://x/', 'file:///etc/passwd', 'http://user:pass@127.0.0.1/', 'http://['])
  test(`a redirect to ${location} is refused`, async () => {
    await using rig = await newBlobRig();
    rig.fake.fail({kind: 'status', status: 302, headers: {location}});
    await assert.rejects(rig.source().open(rig.digest, 0, ask()), {failure: 'refused', message: /redirect/});
  });

test('a body that its reader leaves closes the connection, and others go on', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'slow', bytesPerSecond: 20_000});
  const left = await rig.source().open(rig.digest, 0, ask());
  left.body.destroy();
  const {body} = await rig.source().open(rig.digest, 0, ask());
  assert.ok((await buffer(body)).equals(BYTES));
});

test('who leaves before the headers gets their own reason, and nothing counts as a failure', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'hang'});
  const leaving = new AbortController();
  const opening = rig.source().open(rig.digest, 0, ask('anonymous', {signal: leaving.signal}));
  setTimeout(() => leaving.abort(new Error('left')), 50);
  await assert.rejects(opening, {message: 'left'});
  assert.deepEqual(rig.events, []);
});

test('a reader who is slow is not taken for an upstream that is silent', async () => {
  await using rig = await newUpstreamRig({client: {timeouts: {stallMs: 300}}});
  const digest = rig.fake.content.addBlob('acme/app', Buffer.alloc(20 << 20, 'x'));
  const {body} = await rig.source().open(digest, 0, ask());
  await delay(1500);
  assert.equal((await buffer(body)).length, 20 << 20);
});

test('a body that breaks before anyone listens crashes nothing', async () => {
  await using rig = await newBlobRig();
  rig.fake.fail({kind: 'truncate', after: 1000, how: 'rst'});
  const {body} = await rig.source().open(rig.digest, 0, ask());
  await delay(300);
  await assert.rejects(buffer(body), {name: 'UpstreamError', failure: 'down'});
});

test('waiting for a connection of ours is not a failure of theirs', async () => {
  await using rig = await newBlobRig({settings: {maxConnections: 2}, client: {timeouts: {budgetMs: 150}}});
  rig.fake.fail({kind: 'stall', after: 10}, {path: 'blobs', times: 1});
  const {body} = await rig.source().open(rig.digest, 0, ask());
  for (let i = 0; i < 6; i++) await assert.rejects(rig.source().open(rig.digest, 0, ask()), {failure: 'timeout'});
  assert.ok(!rig.events.some((event) => event.startsWith('breaker')), rig.events.join());
  body.destroy();
  (await rig.source().open(rig.digest, 0, ask())).body.resume();
});

test('layers in slow transfer hold up neither tags nor manifests', async () => {
  await using rig = await newBlobRig({settings: {maxConnections: 4}});
  rig.fake.fail({kind: 'stall', after: 10}, {path: 'blobs', times: Infinity});
  rig.fake.content.addImage('acme/app', 'v1');
  const open = await Promise.all([1, 2, 3].map(() => rig.source().open(rig.digest, 0, ask())));
  await rig.upstream.headManifest(NAME, 'v1', ask());
  for (const {body} of open) body.on('error', () => {}).destroy();
});

async function newRawServer(raw: string): Promise<AsyncDisposable & {url: string}> {
  const server: Server = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end(raw)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo; // it listens at a port
  return {url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => void server.close()};
}
