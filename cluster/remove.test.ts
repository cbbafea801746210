import assert from 'node:assert/strict';
import {test} from 'node:test';
import {DAEMON_SETS, NODES, PODS} from '../kube/resources.ts';
import {FakeKube} from '../test/fake-kube.ts';
import {poll} from '../test/poll.ts';
import {conclusion} from './commands/uninstall.ts';
import {removeFromNodes, type NodeRemoval} from './remove.ts';

const NAMESPACE = 'noost-system';
const READY = [{type: 'Ready', status: 'True'}];
const CLEANING = ['agent', '--node-configure', 'remove'];

function pod(name: string, nodeName: string, args: readonly string[], conditions: object[] = []) {
  return {
    metadata: {name, namespace: NAMESPACE},
    spec: {nodeName, containers: [{name: 'agent', args}]},
    status: {conditions},
  };
}

async function cluster(args: readonly string[]): Promise<FakeKube> {
  const fake = await FakeKube.start();
  const template = {spec: {containers: [{name: 'agent', args}]}};
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}, spec: {template}});
  fake.put(NODES, {metadata: {name: 'a'}, status: {conditions: READY}});
  return fake;
}

test('a node is clean when the agent that cleans is ready, and not while the old one is', async () => {
  await using fake = await cluster(CLEANING);
  using client = fake.client();
  fake.put(PODS, pod('old', 'a', ['agent'], READY));
  const told: NodeRemoval[] = [];
  const done = removeFromNodes(client, NAMESPACE, {timeoutMs: 20_000, told: (one) => told.push(one)});
  await poll('the old agent is seen', () => told.at(-1)?.why === 'its agent ends');
  fake.remove(PODS, 'old', NAMESPACE);
  await poll('none is seen', () => told.at(-1)?.why === 'there is no agent on it now');
  fake.put(PODS, pod('new', 'a', CLEANING));
  await poll('the new one is seen', () => told.at(-1)?.why?.startsWith('its agent cleans'));
  fake.put(PODS, pod('new', 'a', CLEANING, READY));
  assert.deepEqual(await done, [{node: 'a', clean: true, why: undefined}]);
});

test('what is not clean when the time is over is named, and nothing was deleted', async () => {
  await using fake = await cluster(CLEANING);
  using client = fake.client();
  fake.put(PODS, pod('new', 'a', CLEANING));
  const nodes = await removeFromNodes(client, NAMESPACE, {timeoutMs: 1, told: () => undefined});
  assert.match(conclusion(nodes ?? []), /1 of 1 nodes are not clean; nothing was deleted:\n {2}a: its agent cleans/);
  assert.ok(fake.requests.every((one) => !one.startsWith('DELETE')));
});

for (const {name, said, why} of [
  {
    name: 'and what stands in its way is told',
    said: '/etc/containerd/certs.d: _default: ENOSPC: no space left on device, write\n',
    why: 'its agent cannot clean it: /etc/containerd/certs.d: _default: ENOSPC: no space left on device, write',
  },
  {
    name: 'for its file system is read-only, and that its pod has to be made anew',
    said: 'certs.d: _default: the file system is read-only',
    why: `its agent cannot clean it: certs.d: _default: the file system is read-only; when it can be written: kubectl -n ${NAMESPACE} delete pod new`,
  },
])
  test(`a node cannot be cleaned, ${name}`, async () => {
    await using fake = await cluster(CLEANING);
    using client = fake.client();
    fake.put(PODS, pod('new', 'a', CLEANING));
    fake.refusals.set(`/api/v1/namespaces/${NAMESPACE}/pods/new:5057/proxy/readyz`, said);
    const nodes = await removeFromNodes(client, NAMESPACE, {timeoutMs: 1, told: () => undefined});
    assert.deepEqual(nodes, [{node: 'a', clean: false, why}]);
  });

test('a cluster without agents is told apart', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  assert.equal(await removeFromNodes(client, NAMESPACE, {timeoutMs: 1, told: () => undefined}), undefined);
});
