import assert from 'node:assert/strict';
import {mkdtempDisposable, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {ALICE, BOB, HostedRig, push} from '../hosted-rig.ts';

// Node caches in front of a registry of our own, and names that never lead elsewhere (design §3, §7).

/** An agent on another node, to which the registry is an upstream with a login. */
async function newNode(stack: AsyncDisposableStack, registry: HostedRig): Promise<AgentRig> {
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-node-')));
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, BOB.password);
  const credentials = {username: BOB.username, passwordFile};
  const upstream = {host: 'reg.test', url: registry.url, credentials, freshFor: '0s'};
  return stack.use(await AgentRig.start({config: {upstreams: [upstream]}}));
}

test('what was pushed to one agent is cached by another, and served when the first is down', async () => {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await HostedRig.start());
  const node = await newNode(stack, registry);
  const image = await push(registry, ALICE, 'team/app', 'v1', [Buffer.alloc(300_000, 'a'), Buffer.from('small')]);
  const get = (path: string) => ask(node.address, `/v2/team/app/${path}?ns=reg.test`);
  const tag = await get('manifests/v1');
  assert.deepEqual([tag.status, tag.body], [200, image.bytes]);
  for (const {digest} of image.blobs) assert.equal((await get(`blobs/${digest}`)).digest, digest);
  // A tag that moves is seen: each node asks.
  const second = await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('second')]);
  assert.deepEqual((await get('manifests/v1')).body, second.bytes);
  await registry.agent.stop('SIGKILL');
  const stale = await get('manifests/v1');
  assert.deepEqual([stale.status, stale.body], [200, second.bytes], 'the last that was known');
  for (const {digest} of image.blobs) assert.equal((await get(`blobs/${digest}`)).digest, digest);
  assert.equal((await get(`manifests/${image.digest}`)).status, 200);
  assert.notEqual((await get('manifests/never-asked')).status, 200);
  await registry.agent.restart();
  assert.equal((await get('manifests/never-asked')).status, 404);
  assert.deepEqual((await get('manifests/v1')).body, second.bytes, 'and after its restart the registry has it still');
});

test('the agent serves what it hosts to its own node, under its own name, without asking anybody', async () => {
  await using registry = await HostedRig.start();
  const image = await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('a layer')]);
  for (const path of ['/v2/team/app/manifests/v1?ns=reg.test', '/v2/reg.test/team/app/manifests/v1']) {
    const got = await ask(registry.runtimeAddress, path);
    assert.deepEqual([got.status, got.body], [200, image.bytes], path);
  }
  // Runtimes read: whoever pushes goes to the direct listener.
  const put = await ask(registry.runtimeAddress, '/v2/reg.test/team/app/manifests/v2', {method: 'PUT'});
  assert.equal(put.status, 405);
});

test('a runtime listener that asks a proof gives hosted images to nobody without one', async () => {
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-secret-')));
  const secretFile = join(folder, 'secret');
  await writeFile(secretFile, 'a-secret-of-the-node');
  const registry = stack.use(await HostedRig.start({runtime: {secretFile, anyLocalProcess: false}}));
  const image = await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('a layer')]);
  const path = '/v2/team/app/manifests/v1?ns=reg.test';
  assert.equal((await ask(registry.runtimeAddress, path)).status, 404);
  const wrong = await ask(registry.runtimeAddress, path, {headers: {'noost-node-secret': 'a-secret-of-some-pod'}});
  assert.equal(wrong.status, 404);
  const headers = {'noost-node-secret': 'a-secret-of-the-node'};
  assert.deepEqual((await ask(registry.runtimeAddress, path, {headers})).body, image.bytes);
});

test('a hosted name that is missing never comes from an upstream, nor an upstream’s from what is hosted', async () => {
  await using stack = new AsyncDisposableStack();
  const public_ = stack.use(await FakeRegistry.start());
  public_.content.addImage('team/secret-tool', 'v1');
  public_.content.addImage('library/secret-tool', 'v1');
  const upstreams = [
    {host: 'docker.io', url: public_.url},
    {host: 'up.test', url: public_.url},
  ];
  const registry = stack.use(
    await HostedRig.start({hosted: {names: ['team/**']}, config: {upstreams, defaultUpstream: 'docker.io'}}),
  );
  const mine = await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('mine')]);
  // An attacker has put our internal name on the public registry, which is also the default upstream.
  for (const path of ['team/secret-tool/manifests/v1', 'reg.test/team/secret-tool/manifests/v1']) {
    assert.equal((await registry.send(ALICE, 'GET', path)).status, 404, path);
    assert.equal((await registry.send(ALICE, 'GET', `${path}?ns=reg.test`)).status, 404, path);
  }
  assert.equal((await ask(registry.runtimeAddress, '/v2/team/secret-tool/manifests/v1?ns=reg.test')).status, 404);
  assert.deepEqual(public_.lines(), [], 'the upstream was not even asked');
  // And the reverse: a name of the upstream that it does not have is not taken from us.
  for (const path of [
    'up.test/team/app/manifests/v1',
    'team/app/manifests/v1?ns=up.test',
    'docker.io/team/app/manifests/v1',
  ])
    assert.equal((await registry.send(ALICE, 'GET', path)).status, 404, path);
  assert.equal((await ask(registry.runtimeAddress, '/v2/up.test/team/app/manifests/v1')).status, 404);
  // What is not ours by `names` is the upstream's, and read-only.
  assert.equal((await registry.send(ALICE, 'GET', 'up.test/team/secret-tool/manifests/v1')).status, 200);
  const start = await registry.send(ALICE, 'POST', 'other/app/blobs/uploads/');
  assert.equal(start.status, 405);
  assert.match(await start.text(), /hosted\.names/);
  assert.equal(
    (await registry.send(ALICE, 'GET', 'team/app/manifests/v1')).headers.get('docker-content-digest'),
    mine.digest,
  );
});
