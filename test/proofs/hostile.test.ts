import assert from 'node:assert/strict';
import {readdir} from 'node:fs/promises';
import {connect} from 'node:net';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';

// Proof 9: hostile paths, names, digests, headers and ns values are refused at once, nothing is dialled, and nothing is
// written outside the data folder.

let registry: FakeRegistry;
let agent: AgentRig;

before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url}]},
  });
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const DIGEST = `sha256:${'a'.repeat(64)}`;

// D-011, D-012: what is not configured is never loopback, link-local, metadata, private or cluster-internal.
const HOSTS = [
  '127.0.0.1',
  '127.0.0.1:6443',
  'localhost:6443',
  'localhost.',
  'LOCALHOST:80',
  'x.localhost',
  '127.1',
  '2130706433',
  '2852039166',
  '0x7f000001',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '0251.0376.0251.0376',
  '[::1]:6443',
  '[::]:80',
  '[::ffff:127.0.0.1]:6443',
  '[::ffff:7f00:1]',
  '[::ffff:169.254.169.254]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::a9fe:a9fe]',
  '[2002:7f00:1::]',
  '[fe80::1]',
  '[fd00:ec2::254]',
  '169.254.169.254',
  '169.254.170.2',
  '100.100.100.200',
  '0.0.0.0',
  '0.0.0.0:5057',
  '10.0.0.1:5000',
  '172.16.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '224.0.0.1',
  '255.255.255.255',
  'metadata.google.internal',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'api.x.svc:443',
  'docker.io@169.254.169.254',
  'docker.io#@x.example',
  'docker.io%2f@x.example',
  'docker.io:0',
  'docker.io:65536',
  '[fe80::1%25eth0]',
  '１２７.0.0.1',
  'user:pass@up.test',
  'up.test/../x',
  '../../etc',
  ' up.test',
  'up.test\r\nX: y',
];

for (const host of HOSTS)
  test(`ns=${JSON.stringify(host)} is refused at once`, async () => {
    const started = performance.now();
    for (const path of [
      `/v2/x/manifests/1?ns=${encodeURIComponent(host)}`,
      `/v2/x/blobs/${DIGEST}?ns=${encodeURIComponent(host)}`,
    ]) {
      const answer = await ask(agent.address, path);
      assert.ok([400, 403, 404].includes(answer.status), `status ${answer.status}`);
      assert.doesNotMatch(answer.body.toString(), /root:/);
    }
    assert.ok(performance.now() - started < 5_000, 'nothing was waited for');
    assert.deepEqual(registry.lines(), []);
  });

for (const path of [
  '/v2/../../../etc/passwd',
  '/v2/..%2f..%2f..%2fetc%2fpasswd',
  '/v2/%2e%2e/%2e%2e/etc/passwd',
  '/v2/%252e%252e/x/manifests/1',
  '/v2/x/manifests/..%2f..%2fetc',
  '/v2/x/blobs/../../../etc/passwd',
  '/v2/x/blobs/sha256:../../../../etc/passwd',
  '/v2/x/blobs/sha256:%2e%2e',
  `/v2/x/blobs/SHA256:${'a'.repeat(64)}`,
  `/v2/x/blobs/sha256:${'A'.repeat(64)}`,
  `/v2/x/blobs/sha256:${'a'.repeat(63)}`,
  `/v2/x/blobs/sha512:${'a'.repeat(64)}`,
  '/v2/x\\..\\y/manifests/1',
  '/v2/x%00y/manifests/1',
  '/v2/x%0d%0ay/manifests/1',
  '/v2/%ff/manifests/1',
  '/v2/x/manifests/%zz',
  '/v2//x/manifests/1',
  '//up.test/v2/x/manifests/1',
  'http://up.test/v2/x/manifests/1',
  '/metrics',
  '/readyz',
  '/api/v1/images',
  '/v2/_catalog',
  '/v2/x/manifests/1?ns=up.test&ns=up.test',
  `/v2/${'a/'.repeat(4000)}x/manifests/1`,
])
  test(`GET ${path.slice(0, 50)} is refused at once`, async () => {
    const answer = await ask(agent.address, path);
    assert.ok([400, 404].includes(answer.status), `status ${answer.status}`);
    assert.deepEqual(registry.lines(), []);
  });

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
  test(`${method} is refused on what is proxied, before a body is read (A-114)`, async () => {
    const answer = await ask(agent.address, '/v2/x/manifests/1?ns=up.test', {method});
    assert.equal(answer.status, 405);
    assert.equal(answer.headers['allow'], 'GET, HEAD');
    assert.deepEqual(registry.lines(), []);
  });

// D-035: each form that made two parsers disagree somewhere.
for (const [what, raw] of [
  [
    'Content-Length and Transfer-Encoding',
    'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two Content-Lengths', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello'],
  ['a folded header', 'GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n'],
  ['a bare CR', 'GET /v2/ HTTP/1.1\r\nHost: x\rA: b\r\n\r\n'],
  ['a space before the colon', 'GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n'],
  ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n'],
  ['headers without end', `GET /v2/ HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(70_000)}\r\n\r\n`],
] as const)
  test(`a request with ${what} is refused and its connection closed`, async () => {
    assert.match(await rawAnswer(raw), /^HTTP\/1\.1 4\d\d /);
  });

test('a request that came from this very agent is answered, not asked again (D-015)', async () => {
  const image = registry.content.addImage('x', 'hop');
  await ask(agent.address, '/v2/x/manifests/hop?ns=up.test');
  const hop = String(registry.requests[0]?.headers['noost-hop']);
  assert.match(hop, /\w{8,}/);
  registry.clear();
  const answer = await ask(
    agent.address,
    `/v2/x/manifests/${image.digest}x?ns=up.test`.replace(`${image.digest}x`, 'new'),
    {headers: {'noost-hop': hop}},
  );
  assert.equal(answer.status, 404);
  assert.deepEqual(registry.lines(), []);
});

test('hostile header values change nothing and are not echoed', async () => {
  registry.content.addImage('x', 'v1');
  const answer = await ask(agent.address, '/v2/x/manifests/v1?ns=up.test', {
    headers: {
      'x-request-id': '<script>',
      accept: 'text/evil',
      range: 'bytes=999999-',
      'if-range': 'x',
      forwarded: 'for=1',
      host: 'evil.test',
    },
  });
  assert.equal(answer.status, 200);
  assert.ok(!JSON.stringify(answer.headers).includes('script'));
  const asked = registry.requests[0]?.headers ?? {};
  assert.doesNotMatch(String(asked['accept']), /evil/);
  assert.equal(asked['accept-encoding'], 'identity'); // P-07
  assert.equal(asked['forwarded'], undefined);
});

test("the data folder holds nothing but its own parts, and is its owner's only", async () => {
  const entries = await readdir(agent.dataDir);
  for (const entry of entries)
    assert.match(
      entry,
      /^(blobs|ingest|quarantine|ballast|layout\.json|lock(-journal)?|index\.db(-wal|-shm)?|noost\.sock)$/,
    );
});

async function rawAnswer(raw: string): Promise<string> {
  const [host = '', port = ''] = agent.address.split(':');
  const socket = connect({host, port: Number(port)});
  socket.write(raw);
  let text = '';
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) text += chunk.toString('latin1');
  } catch {
    // A reset after the answer is as good as a close.
  }
  return text;
}
