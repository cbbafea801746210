import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {createServer, type Server} from 'node:http';
import {connect, type AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import type {Fault} from '../fake-fault.ts';
import {poll} from '../poll.ts';

// Downloads that begin at one source and go on at another, or in another process: none may show what is not its own,
// none may stand in the way of the next.

const SIZE = 300_000;
const cache = {minFreeDisk: '0%'};

test(
  'what is left of an interrupted private download is not shown to who asks another registry for its digest',
  {timeout: 60_000},
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'noost-outside-'));
    const secret = 'a-secret-of-the-node-0123456789';
    await writeFile(join(folder, 'secret'), secret);
    await writeFile(join(folder, 'password'), 'secret');
    await using registry = await FakeRegistry.start({auth: 'basic'});
    const bytes = randomBytes(SIZE);
    const digest = registry.content.addBlob('private', bytes);
    const evil = await startEvil(SIZE);
    await using agent = await AgentRig.start({
      secretFile: join(folder, 'secret'),
      config: {
        cache,
        upstreams: [
          {
            host: 'reg.test',
            url: registry.url,
            credentials: {username: 'user', passwordFile: join(folder, 'password')},
          },
          {host: 'evil.test', url: `http://127.0.0.1:${(evil.address() as AddressInfo).port}`},
        ],
      },
    });
    const half = await halfOf(agent, registry, `/v2/private/blobs/${digest}?ns=reg.test`, {
      'noost-node-secret': secret,
    });
    assert.ok(half.includes(bytes.subarray(0, 1000)), 'the first half came');
    await agent.stop('SIGKILL');
    await agent.restart();

    const seen = await firstBytes(agent, `/v2/x/blobs/${digest}?ns=evil.test`);
    assert.match(seen.toString('latin1'), /^HTTP\/1\.1 200 /);
    assert.ok(!seen.includes(bytes.subarray(0, 16)), 'no byte of the private blob leaves');
    evil.closeAllConnections();
    evil.close();

    registry.clear();
    const answer = await ask(agent.address, `/v2/private/blobs/${digest}?ns=reg.test`, {
      headers: {'noost-node-secret': secret},
    });
    assert.ok(answer.body.equals(bytes));
    await rm(folder, {recursive: true});
  },
);

test('a left-over that is longer than the blob does not stand in the way of the next pull', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await AgentRig.start({config: {cache, upstreams: [{host: 'up.test', url: registry.url}]}});
  const bytes = randomBytes(500);
  const digest = registry.content.addBlob('app', bytes);
  registry.content.at('app').blobs.set(digest, randomBytes(4000));
  registry.fail({kind: 'truncate', after: 3000}, {path: /blobs/});
  registry.fail({kind: 'status', status: 404}, {path: /blobs/, times: Infinity});
  assert.equal((await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`)).complete, false);
  registry.clear();
  registry.content.at('app').blobs.set(digest, bytes);
  assert.ok((await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`)).body.equals(bytes));
});

// What the mirror does for ever, and how often a client may be cut before the registry serves it.
const MIRRORS: readonly (readonly [string, Fault, number])[] = [
  ['closes before the first byte of each body', {kind: 'truncate', after: 0}, 0],
  ['closes after each hundred bytes', {kind: 'truncate', after: 100}, 0],
  ['announces a length that is too large', {kind: 'wrongLength', by: 10}, 1],
  ['announces a length that is too small', {kind: 'wrongLength', by: -10}, 1],
  ['sends wrong bytes', {kind: 'corrupt', at: 5}, 1],
  ['sends a page to log in', {kind: 'html'}, 1],
];
for (const [what, fault, cuts] of MIRRORS)
  test(`a mirror that ${what} is replaced by the registry after ${cuts} cuts at most`, {timeout: 60_000}, async () => {
    await using registry = await FakeRegistry.start();
    await using mirror = await FakeRegistry.start();
    const upstreams = [{host: 'up.test', url: registry.url, mirrors: [mirror.url]}];
    await using agent = await AgentRig.start({config: {cache, upstreams}});
    const bytes = randomBytes(SIZE);
    const digest = registry.content.addBlob('app', bytes);
    mirror.content.addBlob('app', bytes);
    mirror.fail(fault, {path: /blobs/, times: Infinity});
    let answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`);
    for (let cut = 0; cut < cuts && !answer.complete; cut++)
      answer = await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`);
    assert.equal(answer.complete, true);
    assert.equal(answer.digest, digest);
  });

test('an upstream that is wrong for ever cuts one client; the others are told before their headers (B-042)', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await AgentRig.start({config: {cache, upstreams: [{host: 'up.test', url: registry.url}]}});
  const bytes = randomBytes(SIZE);
  const path = `/v2/app/blobs/${registry.content.addBlob('app', bytes)}?ns=up.test`;
  registry.fail({kind: 'corrupt', at: 5}, {path: /blobs/, times: Infinity});
  assert.equal((await ask(agent.address, path)).complete, false);
  for (const [method, headers] of [
    ['GET', {}],
    ['GET', {range: 'bytes=5-'}],
    ['HEAD', {}],
  ] as const)
    assert.equal((await ask(agent.address, path, {method, headers})).status, 503, 'a runtime goes to its next host');
  registry.clear();
  assert.ok((await ask(agent.address, path)).body.equals(bytes));
});

for (const keep of ['always', 'never'])
  test(`with cache: ${keep}, headers go out before the first byte of a body that is slow (P-01)`, async () => {
    await using registry = await FakeRegistry.start();
    const upstreams = [{host: 'up.test', url: registry.url, cache: keep}];
    await using agent = await AgentRig.start({config: {cache, upstreams}});
    const digest = registry.content.addBlob('app', randomBytes(SIZE));
    registry.fail({kind: 'stall'}, {path: /blobs/, times: Infinity});
    const seen = await firstBytes(agent, `/v2/app/blobs/${digest}?ns=up.test`);
    assert.match(seen.toString(), /^HTTP\/1\.1 200 OK\r\n.*content-length: 300000\r\n/is);
  });

for (const keep of ['always', 'never'])
  test(`with cache: ${keep}, an upstream that calls a blob empty is not believed, by HEAD neither`, async () => {
    await using registry = await FakeRegistry.start();
    const upstreams = [{host: 'up.test', url: registry.url, cache: keep}];
    await using agent = await AgentRig.start({config: {cache, upstreams}});
    const path = `/v2/app/blobs/${registry.content.addBlob('app', randomBytes(SIZE))}?ns=up.test`;
    registry.fail({kind: 'empty'}, {path: /blobs/, times: Infinity});
    for (const method of ['HEAD', 'GET']) assert.equal((await ask(agent.address, path, {method})).status, 503);
  });

test('a download whose upstream says nothing more does not hold up the end of the agent', async () => {
  await using registry = await FakeRegistry.start();
  await using agent = await AgentRig.start({config: {cache, upstreams: [{host: 'up.test', url: registry.url}]}});
  const digest = registry.content.addBlob('app', randomBytes(SIZE));
  await halfOf(agent, registry, `/v2/app/blobs/${digest}?ns=up.test`);
  const started = performance.now();
  agent.signal('SIGTERM');
  assert.equal(await agent.ended(), 0);
  assert.ok(performance.now() - started < 15_000, 'it waited for a body that stalls');
});

/** Whatever is asked of it, it says that it has it, and sends nothing. */
async function startEvil(size: number): Promise<Server> {
  const server = createServer((req, res) => {
    const [, from] = /bytes=(\d+)-/.exec(req.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const range = from === undefined ? {} : {'content-range': `bytes ${start}-${size - 1}/${size}`};
    res.writeHead(from === undefined ? 200 : 206, {...range, 'content-length': size - start}).flushHeaders();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Pulls until half of the blob has come; then the upstream stalls, and the client leaves. */
async function halfOf(
  agent: AgentRig,
  registry: FakeRegistry,
  path: string,
  headers: Record<string, string> = {},
): Promise<Buffer> {
  registry.fail({kind: 'stall', after: SIZE / 2}, {path: /blobs/, times: Infinity});
  return firstBytes(agent, path, headers, SIZE / 4);
}

/** What comes of a response until at least so many bytes are there; then the client leaves. */
async function firstBytes(
  agent: AgentRig,
  path: string,
  headers: Record<string, string> = {},
  atLeast = 200,
): Promise<Buffer> {
  const [host = '', port = ''] = agent.address.split(':');
  const socket = connect(Number(port), host);
  let seen = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => (seen = Buffer.concat([seen, chunk])));
  const lines = Object.entries({host: 'x', ...headers}).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  await poll('the first bytes', () => seen.length >= atLeast);
  socket.destroy();
  return seen;
}
