import assert from 'node:assert/strict';
import {test} from 'node:test';
import {DAEMON_SETS, DEPLOYMENTS, NODES, PODS} from '../kube/resources.ts';
import {FakeKube} from '../test/fake-kube.ts';
import {problemsOf, renderFleet} from './commands/status.ts';
import {readFleet} from './fleet.ts';

const NAMESPACE = 'noost-system';

function agent(name: string, nodeName: string, status: object) {
  return {metadata: {name, namespace: NAMESPACE}, spec: {nodeName, containers: [{name: 'agent'}]}, status};
}

function node(name: string, status: string) {
  return {metadata: {name}, status: {conditions: [{type: 'Ready', status}], nodeInfo: {operatingSystem: 'linux'}}};
}

test('readFleet tells what is wrong with which node, and goes on', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  for (const [name, ready] of [
    ['a', 'True'],
    ['b', 'True'],
    ['c', 'Unknown'],
    ['d', 'True'],
  ] as const)
    fake.put(NODES, node(name, ready));
  const waiting = {reason: 'ImagePullBackOff', message: 'no such image'};
  fake.put(PODS, agent('agent-a', 'a', {phase: 'Pending', containerStatuses: [{state: {waiting}}]}));
  fake.put(PODS, agent('agent-b', 'b', {phase: 'Running', conditions: [{type: 'Ready', status: 'True'}]}));
  fake.put(PODS, agent('agent-c', 'c', {phase: 'Pending'}));
  const fleet = await readFleet(client, NAMESPACE);
  assert.deepEqual(
    fleet.nodes.map((one) => [one.node, one.ready]),
    [
      ['a', false],
      ['b', false],
      ['c', false],
      ['d', false],
    ],
  );
  const text = problemsOf(fleet).join('\n');
  assert.match(text, /^a: its agent waits: ImagePullBackOff no such image$/m);
  assert.match(text, /^b: its agent could not be asked: /m);
  assert.match(text, /^c: the node is not ready$/m);
  assert.match(text, /^d: no agent$/m);
  assert.equal(fleet.webhook, undefined);
});

test('a namespace without Noost is told', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  const fleet = await readFleet(client, 'elsewhere');
  assert.match(renderFleet(fleet), /there is no DaemonSet elsewhere\/noost-agent: is Noost installed\?/);
});

test('a webhook with fewer replicas than wanted is a problem', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  const deployment = {spec: {replicas: 3}, status: {readyReplicas: 2}};
  fake.put(DEPLOYMENTS, {metadata: {name: 'noost-webhook', namespace: NAMESPACE}, ...deployment});
  const fleet = await readFleet(client, NAMESPACE);
  assert.match(renderFleet(fleet), /Webhook: 2 of 3 replicas ready, not armed/);
  assert.deepEqual(problemsOf(fleet), ['webhook: 2 of 3 replicas are ready']);
});

test('what a user may not see is left out, and the rest is shown', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  fake.put(PODS, agent('agent-a', 'a', {phase: 'Pending'}));
  fake.failNext(403, '/api/v1/nodes');
  const {nodes} = await readFleet(client, NAMESPACE);
  assert.deepEqual(
    nodes.map((one) => one.node),
    ['a'],
  );
});
