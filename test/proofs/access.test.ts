import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask, type Answer} from '../ask.ts';
import {FakeRegistry, type FakeOptions} from '../fake-registry.ts';
import {poll} from '../poll.ts';

// Proof 8: what the node's credentials fetched is served only to who proves to be the node's runtime.

const SECRET = 'a-secret-of-the-node-0123456789';
const PROVEN = {'noost-node-secret': SECRET};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-access-'));
  await writeFile(join(folder, 'secret'), `${SECRET}\n`);
  await writeFile(join(folder, 'password'), 'secret\n');
});
after(() => rm(folder, {recursive: true}));

function agentFor(
  registries: Readonly<Record<string, {registry: FakeRegistry; credentials?: boolean}>>,
): Promise<AgentRig> {
  const upstreams = Object.entries(registries).map(([host, {registry, credentials}]) => ({
    host,
    url: registry.url,
    ...(credentials === true ? {credentials: {username: 'user', passwordFile: join(folder, 'password')}} : {}),
  }));
  return AgentRig.start({secretFile: join(folder, 'secret'), config: {cache: {minFreeDisk: '0%'}, upstreams}});
}

for (const auth of ['basic', 'bearer'] satisfies FakeOptions['auth'][]) {
  test(`content fetched with ${auth} credentials is not served without the node's secret, by any name, digest, method or range`, async () => {
    await using registry = await FakeRegistry.start({auth});
    const image = registry.content.addImage('private', 'v1', [randomBytes(5000)]);
    const layer = String(image.layers[0]);
    await using agent = await agentFor({'reg.test': {registry, credentials: true}});
    const address = agent.address;
    const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
      ask(address, path, {headers, method});

    for (const path of [`manifests/v1`, `manifests/${image.digest}`, `blobs/${layer}`, `blobs/${image.config}`]) {
      const answer = await get(`/v2/private/${path}?ns=reg.test`, PROVEN);
      assert.equal(answer.status, 200, path);
      assert.equal(answer.complete, true);
    }
    const paths = [
      '/v2/private/manifests/v1?ns=reg.test',
      '/v2/reg.test/private/manifests/v1',
      '/v2/f/reg.test/private/manifests/v1',
      `/v2/private/manifests/${image.digest}?ns=reg.test`,
      `/v2/private/manifests/${image.config}?ns=reg.test`,
      `/v2/private/blobs/${layer}?ns=reg.test`,
      `/v2/private/blobs/${image.digest}?ns=reg.test`,
      `/v2/other/blobs/${layer}?ns=reg.test`,
      `/v2/other/manifests/${image.digest}?ns=reg.test`,
      '/v2/private/tags/list?ns=reg.test',
    ];
    const attempts: Record<string, string>[] = [
      {},
      {'noost-node-secret': ''},
      {'noost-node-secret': `${SECRET}x`},
      {'noost-node-secret': SECRET.slice(1)},
      {authorization: `Basic ${SECRET}`},
    ];
    for (const path of paths)
      for (const headers of [...attempts, {range: 'bytes=0-10'}, {'if-none-match': `"${image.digest}"`}])
        for (const method of ['GET', 'HEAD']) {
          const answer = await get(path, headers, method);
          assert.equal(answer.status, 404, `${method} ${path} ${JSON.stringify(headers)}`);
          assert.equal(answer.headers['www-authenticate'], undefined);
        }
  });
}

test('a runtime that sends no headers proves itself by a path component, which no log line holds (B-071, B-080)', async () => {
  await using registry = await FakeRegistry.start({auth: 'bearer'});
  const image = registry.content.addImage('private', 'v1', [randomBytes(5000)]);
  await using agent = await agentFor({'reg.test': {registry, credentials: true}});
  const layer = `private/blobs/${String(image.layers[0])}`;
  const wrong = SECRET.replace('0123', '3210');
  for (const [path, status] of [
    [`/v2/noost-secret-${SECRET}/`, 200],
    [`/v2/noost-secret-${SECRET}/reg.test/private/manifests/v1`, 200],
    [`/v2/noost-secret-${SECRET}/reg.test/${layer}`, 200],
    [`/noost-secret-${SECRET}/v2/${layer}?ns=reg.test`, 200],
    [`/v2/reg.test/${layer}`, 404],
    [`/v2/noost-secret-${wrong}/reg.test/${layer}`, 404],
    [`/v2/noost-secret-/reg.test/${layer}`, 404],
    [`/v2/%6eoost-secret-${SECRET}/reg.test/${layer}`, 400],
    [`/v2/reg.test/noost-secret-${SECRET}/${layer}`, 404],
    [`/v2/noost-secret-${SECRET}/UPPER/${layer}`, 400],
  ] as const)
    assert.equal((await ask(agent.address, path)).status, status, path);
  await poll('the last request is logged', () => agent.lines.filter((line) => line.includes('"access"')).length >= 10);
  // The one that asks for a repository of that name is logged as such: that path holds no secret in its place.
  const told = agent.lines.filter((line) => line.includes(SECRET) || line.includes(wrong));
  assert.deepEqual(
    told.filter((line) => !line.includes(`reg.test/noost-secret-`)),
    [],
  );
});

test('a private digest is not reachable through a public repository of the same registry', async () => {
  await using registry = await FakeRegistry.start({auth: 'bearer'});
  registry.auth.publicRepositories.add('public');
  const image = registry.content.addImage('private', 'v1', [randomBytes(5000)]);
  registry.content.addImage('public', 'v1', ['anyone']);
  await using agent = await agentFor({'reg.test': {registry, credentials: true}});
  const address = agent.address;
  assert.equal((await ask(address, `/v2/private/blobs/${image.layers[0]}?ns=reg.test`, {headers: PROVEN})).status, 200);
  assert.equal((await ask(address, '/v2/public/manifests/v1?ns=reg.test')).status, 200);
  assert.equal((await ask(address, `/v2/public/blobs/${image.layers[0]}?ns=reg.test`)).status, 404);
  assert.equal((await ask(address, `/v2/public/blobs/${image.layers[0]}?ns=reg.test`, {headers: PROVEN})).status, 404);
});

test('a registry that only claims to have a private digest does not get its bytes out of the cache', async () => {
  await using registry = await FakeRegistry.start({auth: 'basic'});
  await using evil = await FakeRegistry.start();
  const bytes = randomBytes(5000);
  const digest = registry.content.addBlob('private', bytes);
  // It answers 200 for the digest with the right length, and has other bytes.
  evil.content.at('x').blobs.set(digest, randomBytes(5000));
  await using agent = await agentFor({'reg.test': {registry, credentials: true}, 'evil.test': {registry: evil}});
  const address = agent.address;
  assert.ok((await ask(address, `/v2/private/blobs/${digest}?ns=reg.test`, {headers: PROVEN})).body.equals(bytes));
  for (const headers of [{}, PROVEN])
    for (let i = 0; i < 2; i++) {
      const answer = await ask(address, `/v2/x/blobs/${digest}?ns=evil.test`, {headers});
      assert.equal(answer.complete, false);
      assert.ok(!bytes.subarray(0, 100).equals(answer.body.subarray(0, 100)), 'no byte of the private blob leaves');
    }
  // One that really has it is believed, and linked.
  evil.content.at('x').blobs.set(digest, bytes);
  assert.ok((await ask(address, `/v2/x/blobs/${digest}?ns=evil.test`)).body.equals(bytes));
});

test('a public blob that another repository has is shown there only when its registry says so', async () => {
  await using registry = await FakeRegistry.start();
  const bytes = randomBytes(5000);
  const digest = registry.content.addBlob('one', bytes);
  registry.content.addBlob('two', bytes);
  registry.content.at('three');
  await using agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'reg.test', url: registry.url}]},
  });
  assert.ok((await ask(agent.address, `/v2/one/blobs/${digest}?ns=reg.test`)).body.equals(bytes));
  const proof = await ask(agent.address, `/v2/two/blobs/${digest}?ns=reg.test`);
  assert.ok(proof.body.equals(bytes));
  assert.equal(proof.headers['noost-cache'], 'hit', 'the registry was asked whether, not for the bytes');
  assert.equal(registry.requests.at(-1)?.headers['range'], 'bytes=4999-');
  assert.equal((await ask(agent.address, `/v2/three/blobs/${digest}?ns=reg.test`)).status, 404);
});

test('public content of a registry that the node has credentials for is served to anyone, fetched anonymously', async () => {
  await using registry = await FakeRegistry.start({auth: 'bearer'});
  registry.auth.publicRepositories.add('public');
  const image = registry.content.addImage('public', 'v1', [randomBytes(100)]);
  await using agent = await agentFor({'reg.test': {registry, credentials: true}});
  const address = agent.address;
  assert.equal((await ask(address, '/v2/public/manifests/v1?ns=reg.test')).status, 200);
  assert.equal((await ask(address, `/v2/public/blobs/${image.layers[0]}?ns=reg.test`)).digest, image.layers[0]);
  const secrets = registry.requests.filter(({headers}) => String(headers['authorization'] ?? '').startsWith('Basic'));
  assert.deepEqual(secrets, [], 'the credentials were not used for who did not prove anything');
});

test('neither log nor metrics hold the secret, the password or a token', async () => {
  await using registry = await FakeRegistry.start({auth: 'bearer'});
  registry.content.addImage('private', 'v1');
  await using agent = await agentFor({'reg.test': {registry, credentials: true}});
  const address = agent.address;
  await ask(address, '/v2/private/manifests/v1?ns=reg.test', {headers: PROVEN});
  await ask(address, '/v2/private/manifests/v1?ns=reg.test', {headers: {'noost-node-secret': 'wrong-secret-guess'}});
  const metrics = await agent.admin('/metrics');
  await agent.stop();
  const tokens = registry.requests
    .map(({headers}) => String(headers['authorization'] ?? ''))
    .filter((value) => value !== '')
    .map((value) => value.split(' ')[1] ?? '');
  assert.ok(tokens.length > 0);
  for (const secret of [SECRET, 'wrong-secret-guess', ...tokens])
    for (const text of [agent.lines.join('\n'), metrics]) assert.ok(!text.includes(secret));
});
