import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FakeKube} from '../test/fake-kube.ts';
import type {Cluster} from './access.ts';
import {KubeClient} from './client.ts';
import {isConflict, isNotFound, KubeError} from './error.ts';
import {pathOf, type KubeObject} from './object.ts';
import {CONFIG_MAPS, NAMESPACES, PODS} from './resources.ts';

const NAME = {namespace: 'a', name: 'one'};

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

function hasReason(code: number, reason: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof KubeError, String(error));
    assert.deepEqual([error.code, error.reason], [code, reason]);
    return true;
  };
}

test('an object is created, read, patched, replaced and deleted', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  const made = await client.create<ConfigMap>(CONFIG_MAPS, {namespace: 'a'}, {metadata: {name: 'one'}, data: {x: '1'}});
  assert.equal(made.apiVersion, 'v1');
  assert.equal(made.kind, 'ConfigMap');
  const patched = await client.patch<ConfigMap>(CONFIG_MAPS, NAME, {merge: {data: {y: '2'}}});
  assert.deepEqual(patched.data, {x: '1', y: '2'});
  await assert.rejects(client.replace<ConfigMap>(CONFIG_MAPS, NAME, {...made, data: {}}), isConflict);
  const replaced = await client.replace<ConfigMap>(CONFIG_MAPS, NAME, {...patched, data: {z: '3'}});
  assert.deepEqual((await client.get<ConfigMap>(CONFIG_MAPS, NAME)).data, replaced.data);
  await client.delete(CONFIG_MAPS, NAME);
  assert.equal(await client.find(CONFIG_MAPS, NAME), undefined);
  await assert.rejects(client.get(CONFIG_MAPS, NAME), isNotFound);
});

test('a write says its field manager and dry run, a list its selectors and page', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  await client.patch(CONFIG_MAPS, NAME, {apply: {data: {}}, fieldManager: 'noost', force: true}, {dryRun: true});
  await client.list(PODS, {namespace: 'a', labelSelector: 'a=b,c', limit: 2});
  assert.deepEqual(fake.requests, [
    'PATCH /api/v1/namespaces/a/configmaps/one?dryRun=All&fieldManager=noost&force=true',
    'GET /api/v1/namespaces/a/pods?labelSelector=a%3Db%2Cc&limit=2',
  ]);
});

for (const [what, place] of [
  ['a slash', {namespace: 'a', name: 'b/../../secrets'}],
  ['a query', {namespace: 'a', name: 'b?force=true'}],
] as const) {
  test(`a name with ${what} stays a name`, () => {
    assert.equal(pathOf(PODS, place).split('/').length, 7);
    assert.ok(!pathOf(PODS, place).includes('?'));
  });
}

for (const name of ['', '.', '..']) {
  test(`'${name}' is no name`, () => {
    assert.throws(() => pathOf(NAMESPACES, {name}), TypeError);
  });
}

test('a name without its namespace is refused: it would be a collection of all namespaces', () => {
  assert.throws(() => pathOf(PODS, {name: 'a'}), TypeError);
});

test('an answer that does not come ends with the deadline', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.failNext('hang');
  await assert.rejects(client.get(PODS, NAME, {deadlineMs: 100}), hasReason(0, 'Timeout'));
});

test('an answer that does not come ends when its asker leaves, with the reason', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.failNext('hang');
  const left = new Error('left');
  await assert.rejects(client.get(PODS, NAME, {signal: AbortSignal.abort(left)}), left);
  const leaving = new AbortController();
  const asked = client.get(PODS, NAME, {signal: leaving.signal});
  setTimeout(() => leaving.abort(left), 50);
  await assert.rejects(asked, left);
});

test('an answer that is too large is not kept', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(CONFIG_MAPS, {metadata: NAME, data: {x: 'x'.repeat(10_000)}});
  await assert.rejects(client.get(CONFIG_MAPS, NAME, {maxBytes: 5000}), hasReason(0, 'TooLarge'));
});

test('an answer that is no JSON says so, and shows nothing of it', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.failNext('html');
  await assert.rejects(client.get(PODS, NAME), hasReason(0, 'Malformed'));
});

test('a server that is not there is unreachable', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  await fake.down(async () => {
    await assert.rejects(client.get(PODS, NAME), hasReason(0, 'Unreachable'));
  });
  await assert.rejects(client.get(PODS, NAME), isNotFound);
});

test('a connection that was closed while idle costs a GET nothing', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(CONFIG_MAPS, {metadata: NAME});
  await client.get(CONFIG_MAPS, NAME);
  fake.failNext('reset');
  await client.get(CONFIG_MAPS, NAME);
});

test('a server that is too busy is asked again when it says, also for a write: it has done nothing', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.failNext('busy');
  fake.failNext('busy');
  await client.create(CONFIG_MAPS, {namespace: 'a'}, {metadata: {name: 'one'}});
  assert.equal(fake.requests.length, 3);
  // Without a Retry-After nobody says that nothing was done.
  fake.failNext(429);
  await assert.rejects(
    client.create(CONFIG_MAPS, {namespace: 'a'}, {metadata: {name: 'two'}}),
    hasReason(429, 'Fault'),
  );
  assert.equal(fake.requests.length, 4);
});

test('a token that is refused is read anew once, and not again and again', async () => {
  await using fake = await FakeKube.start();
  let token = 'old';
  let refused = 0;
  const access = () => Promise.resolve({headers: {authorization: `Bearer ${token}`}, tls: {}, stamp: ''});
  const cluster: Cluster = {
    ...fake.cluster,
    access,
    refused: () => {
      refused++;
      token = 'new';
    },
  };
  using client = new KubeClient(cluster, {env: {}});
  fake.authorization = 'Bearer new';
  await assert.rejects(client.get(CONFIG_MAPS, NAME), isNotFound);
  assert.equal(refused, 1);
  fake.authorization = 'Bearer other';
  await assert.rejects(client.get(CONFIG_MAPS, NAME), hasReason(401, 'Unauthorized'));
  assert.equal(fake.requests.length, 4);
});
