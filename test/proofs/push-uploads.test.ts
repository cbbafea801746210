import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {after, before, test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {OCI_MANIFEST} from '../../oci/media-type.ts';
import {ALICE, BOB, HostedRig} from '../hosted-rig.ts';
import {poll} from '../poll.ts';
import {codeOf, PushClient} from '../push-client.ts';

// Protocol A.4: uploads, as far as the official suite does not test it (test/integration/registry-conformance.test.ts).

let registry: HostedRig;
let alice: PushClient;
before(async () => {
  registry = await HostedRig.start({
    hosted: {maxManifestSize: '100KiB', maxBlobSize: '1MiB'},
  });
  alice = new PushClient(registry);
});
after(async () => {
  await registry[Symbol.asyncDispose]();
});

let names = 0;
/** A repository that nothing else is in. */
const newName = (): string => `test/a${String(++names)}`;
const OCTETS = {'content-type': 'application/octet-stream'};

async function begin(name: string): Promise<string> {
  const location = (await alice.send(202, 'POST', `${name}/blobs/uploads/`)).headers.get('location') ?? '';
  assert.match(location, /^\/v2\/test\/a\d+\/blobs\/uploads\/[\w-]{20,}$/);
  return location;
}
const chunk = (start: number, body: Buffer): RequestInit => ({
  body,
  headers: {...OCTETS, 'content-range': `${String(start)}-${String(start + body.length - 1)}`},
});
test('a wrong digest is refused, and nothing is visible under either (A-046)', async () => {
  const name = newName();
  const [bytes, wrong] = [randomBytes(1000), digestOf(randomBytes(1))];
  const answer = await alice.send(400, 'PUT', `${await begin(name)}?digest=${wrong}`, {body: bytes, headers: OCTETS});
  assert.equal(await codeOf(answer), 'DIGEST_INVALID');
  const once = await alice.send(400, 'POST', `${name}/blobs/uploads/?digest=${wrong}`, {body: bytes, headers: OCTETS});
  assert.equal(await codeOf(once), 'DIGEST_INVALID');
  for (const digest of [wrong, digestOf(bytes)]) await alice.send(404, 'HEAD', `${name}/blobs/${digest}`);
});

test('an upload whose digest is missing or none goes on (A-046)', async () => {
  const name = newName();
  const bytes = randomBytes(1000);
  const location = await begin(name);
  await alice.send(202, 'PATCH', location, {body: bytes, headers: OCTETS});
  assert.equal(await codeOf(await alice.send(400, 'PUT', location)), 'DIGEST_INVALID');
  assert.equal(await codeOf(await alice.send(400, 'PUT', `${location}?digest=sha256:x`)), 'DIGEST_INVALID');
  assert.equal(
    await codeOf(await alice.send(400, 'PUT', `${location}?digest=md5:${'a'.repeat(32)}`)),
    'DIGEST_INVALID',
  );
  const stored = await alice.send(201, 'PUT', `${location}?digest=${digestOf(bytes)}`);
  assert.equal(stored.headers.get('docker-content-digest'), digestOf(bytes));
  assert.equal(stored.headers.get('location'), `/v2/${name}/blobs/${digestOf(bytes)}`);
  await alice.send(404, 'GET', location);
});

test('chunks out of order, twice or of another length are refused, and the upload goes on (A-042, A-047)', async () => {
  const name = newName();
  const bytes = randomBytes(3000);
  const location = await begin(name);
  const first = await alice.send(202, 'PATCH', location, chunk(0, bytes.subarray(0, 1000)));
  assert.equal(first.headers.get('range'), '0-999');
  for (const wrong of [chunk(0, bytes.subarray(0, 1000)), chunk(2000, bytes.subarray(2000))]) {
    const answer = await alice.send(416, 'PATCH', location, wrong);
    assert.equal(answer.headers.get('range'), '0-999');
    assert.equal(answer.headers.get('location'), location);
  }
  const short = {body: bytes.subarray(1000, 1500), headers: {...OCTETS, 'content-range': '1000-1999'}};
  assert.equal(await codeOf(await alice.send(400, 'PATCH', location, short)), 'SIZE_INVALID');
  for (const range of ['x', '5-1', '-5', '1000-', 'bytes 0-0, 5-7'])
    await alice.send(416, 'PATCH', location, {body: bytes, headers: {...OCTETS, 'content-range': range}});
  const status = await alice.send(204, 'GET', location);
  assert.equal(status.headers.get('range'), '0-999');
  await alice.send(202, 'PATCH', location, chunk(1000, bytes.subarray(1000, 2000)));
  const last = chunk(2000, bytes.subarray(2000));
  await alice.send(201, 'PUT', `${location}?digest=${digestOf(bytes)}`, last);
});

test("nobody goes on with another's upload, nor under another name (A-049, D-114)", async () => {
  const name = newName();
  const location = await begin(name);
  const id = location.split('/').at(-1) ?? '';
  const bob = new PushClient(registry, BOB);
  for (const method of ['GET', 'PATCH', 'DELETE']) {
    assert.equal((await registry.send(BOB, method, location.slice(4))).status, 404);
    await alice.send(404, method, `${newName()}/blobs/uploads/${id}`);
  }
  await bob.send(404, 'PUT', `${location}?digest=${digestOf(Buffer.alloc(0))}`);
  await alice.send(404, 'PATCH', `${name}/blobs/uploads/${'A'.repeat(24)}`, {body: Buffer.alloc(3), headers: OCTETS});
  await alice.send(204, 'DELETE', location);
  await alice.send(404, 'GET', location);
});

test('two requests at one upload never mix their bytes (A-048)', async () => {
  const name = newName();
  const location = await begin(name);
  const [a, b] = [Buffer.alloc(400_000, 'a'), Buffer.alloc(400_000, 'b')];
  const answers = await Promise.all(
    [a, b].map((body) => registry.send(ALICE, 'PATCH', location.slice(4), chunk(0, body))),
  );
  assert.deepEqual(new Set(answers.map(({status}) => status)), new Set([202, 416]));
  const bytes = answers[0]?.status === 202 ? a : b;
  await alice.send(201, 'PUT', `${location}?digest=${digestOf(bytes)}`);
});

test('what is too large is refused with 413, whether it says so or not (A-016, D-102)', async () => {
  const name = newName();
  const large = randomBytes((1 << 20) + 1);
  const stream = (): RequestInit => ({
    body: new Blob([large]).stream(),
    duplex: 'half',
    headers: OCTETS,
  });
  assert.equal(
    await codeOf(await alice.send(413, 'PATCH', await begin(name), {body: large, headers: OCTETS})),
    'SIZE_INVALID',
  );
  assert.equal(await codeOf(await alice.send(413, 'PATCH', await begin(name), stream())), 'SIZE_INVALID');
  const body = JSON.stringify({schemaVersion: 2, annotations: {x: 'x'.repeat(100 << 10)}});
  const headers = {'content-type': OCI_MANIFEST};
  assert.equal(await codeOf(await alice.send(413, 'PUT', `${name}/manifests/v1`, {body, headers})), 'SIZE_INVALID');
  const chunked: RequestInit = {body: new Blob([body]).stream(), duplex: 'half', headers};
  assert.equal(await codeOf(await alice.send(413, 'PUT', `${name}/manifests/v1`, chunked)), 'SIZE_INVALID');
});

test(
  'an upload goes on where it was when the agent was killed in the middle of a body',
  {timeout: 60_000},
  async () => {
    await using own = await HostedRig.start();
    const client = new PushClient(own);
    const bytes = randomBytes(900_000);
    const location = (await client.send(202, 'POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
    const {readable, writable} = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const cut = assert.rejects(client.send(202, 'PATCH', location, {body: readable, duplex: 'half', headers: OCTETS}));
    await writer.write(bytes.subarray(0, 600_000));
    const offset = async (): Promise<number> => {
      const range = (await client.send(204, 'GET', location)).headers.get('range') ?? '';
      return Number(range.split('-')[1]) + 1;
    };
    await poll('it has come', async () => (await offset()) === 600_000);
    await own.agent.stop('SIGKILL');
    await cut;
    await own.agent.restart();
    assert.equal(await offset(), 600_000);
    const digest = digestOf(bytes);
    await client.send(201, 'PUT', `${location}?digest=${digest}`, chunk(600_000, bytes.subarray(600_000)));
    const blob = await client.send(200, 'GET', `app/blobs/${digest}`);
    assert.equal(digestOf(Buffer.from(await blob.arrayBuffer())), digest);
  },
);

test('a client that comes back while its old connection hangs takes the upload over', {timeout: 60_000}, async () => {
  const name = newName();
  const bytes = randomBytes(2000);
  const location = await begin(name);
  const {readable, writable} = new TransformStream<Uint8Array, Uint8Array>();
  const hanging = registry.send(ALICE, 'PATCH', location.slice(4), {body: readable, duplex: 'half', headers: OCTETS});
  await writable.getWriter().write(bytes.subarray(0, 1000));
  await poll('the old one makes way', async () => {
    const rest = chunk(1000, bytes.subarray(1000));
    return (await registry.send(ALICE, 'PATCH', location.slice(4), rest)).status === 202;
  });
  assert.equal((await hanging).status, 416);
  await alice.send(201, 'PUT', `${location}?digest=${digestOf(bytes)}`);
});

test(
  'who begins uploads for ever loses the oldest, and others push all the same (D-032)',
  {timeout: 120_000},
  async () => {
    const name = newName();
    const first = await begin(name);
    const others = await new PushClient(registry, BOB).send(202, 'POST', `${name}/blobs/uploads/`);
    for (let i = 0; i < 50; i++) await Promise.all(Array.from({length: 20}, () => begin(name)));
    await alice.send(404, 'GET', first);
    await alice.send(204, 'GET', await begin(name));
    await new PushClient(registry, BOB).send(204, 'GET', others.headers.get('location') ?? '');
  },
);
