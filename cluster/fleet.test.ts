import assert from 'node:assert/strict';
import {mkdtempDisposable, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {DAEMON_SETS, DEPLOYMENTS, NAMESPACES, NODES, PODS, VALIDATING_WEBHOOKS} from '../kube/resources.ts';
import {FakeKube} from '../test/fake-kube.ts';
import {problemsOf, renderFleet} from './commands/status.ts';
import {onCluster} from './flags.ts';
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

test('what a user may not see is named, and the rest is shown', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  fake.put(PODS, agent('agent-a', 'a', {phase: 'Running', conditions: [{type: 'Ready', status: 'True'}]}));
  for (const path of ['/api/v1/nodes', '/daemonsets', '/deployments', '/proxy/metrics']) fake.failNext(403, path);
  const fleet = await readFleet(client, NAMESPACE);
  assert.deepEqual(problemsOf(fleet), []);
  assert.equal(
    renderFleet(fleet),
    [
      'NODE  AGENT  VERSION  CACHE  SERVED  SAVED  CONTAINERD',
      'a     ready  –            –       –      –  –',
      '',
      'You may not see:',
      '  the DaemonSet noost-system/noost-agent',
      '  nodes: one without an agent is not shown',
      '  the Deployment noost-system/noost-webhook',
      '  pods/proxy: what the agents themselves say is not shown',
      '',
    ].join('\n'),
  );
});

test('whether a webhook is armed is not guessed', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  const status = {readyReplicas: 3};
  fake.put(DEPLOYMENTS, {metadata: {name: 'noost-webhook', namespace: NAMESPACE}, spec: {replicas: 3}, status});
  fake.failNext(403, '/validatingwebhookconfigurations');
  const text = renderFleet(await readFleet(client, NAMESPACE));
  assert.match(text, /^Webhook: 3 of 3 replicas ready$/m);
  assert.match(text, /^ {2}the webhook configurations: whether it is armed is not shown$/m);
});

for (const {position, live, says} of [
  {
    position: 'off',
    live: undefined,
    says: ', switched off (noost.dev/webhook=off on its namespace; "noost.dev/webhook-" puts it back)',
  },
  {
    position: 'ignore',
    live: 'Ignore',
    says: ', armed, failurePolicy Ignore (noost.dev/webhook=ignore on its namespace)',
  },
  {position: 'on', live: undefined, says: ', not armed'},
  {position: 'on', live: 'Fail', says: ', armed, failurePolicy Fail'},
])
  test(`a webhook that is armed with ${live ?? 'nothing'} while the switch of its namespace says ${position}`, async () => {
    await using fake = await FakeKube.start();
    using client = fake.client();
    const status = {readyReplicas: 3};
    fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
    fake.put(DEPLOYMENTS, {metadata: {name: 'noost-webhook', namespace: NAMESPACE}, spec: {replicas: 3}, status});
    fake.put(NAMESPACES, {metadata: {name: NAMESPACE, annotations: {'noost.dev/webhook': position}}});
    if (live !== undefined)
      fake.put(VALIDATING_WEBHOOKS, {
        metadata: {name: 'noost-webhook'},
        webhooks: [{name: 'validate.noost.dev', failurePolicy: live}],
      });
    const fleet = await readFleet(client, NAMESPACE);
    assert.equal(renderFleet(fleet), `Webhook: 3 of 3 replicas ready${says}\n`);
    assert.deepEqual(problemsOf(fleet), []);
  });

test('an agent that hangs is told as one, beside what Kubernetes says of it', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  fake.put(PODS, agent('agent-a', 'a', {phase: 'Running', containerStatuses: [{restartCount: 1}]}));
  fake.failNext('hang', '/proxy/metrics');
  assert.deepEqual(problemsOf(await readFleet(client, NAMESPACE)), [
    'a: its agent is not ready, restarted once',
    'a: its agent did not answer within 5 s: if it hangs, the kubelet restarts it',
  ]);
});

test('credentials that the API server does not take are told as such, without them', async () => {
  await using fake = await FakeKube.start();
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-status-'));
  fake.authorization = 'Bearer right';
  const kubeconfig = join(folder.path, 'config');
  const cluster = {name: 'c', cluster: {server: fake.cluster.server.origin}};
  const user = {name: 'u', user: {token: 'wrong-one'}};
  const context = {name: 'x', context: {cluster: 'c', user: 'u'}};
  const text = JSON.stringify({clusters: [cluster], users: [user], contexts: [context], 'current-context': 'x'});
  await writeFile(kubeconfig, text, {mode: 0o600});
  const asked = onCluster({flags: {kubeconfig}, positionals: {}}, async (client, {namespace}) => {
    await readFleet(client, namespace);
    return 0;
  });
  await assert.rejects(asked, (error: Error) => {
    assert.match(error.message, /does not take these credentials \(401 .*\): they are wrong or have expired/);
    assert.doesNotMatch(error.message, /wrong-one/);
    return true;
  });
});

test('an agent that is being replaced is shown once', async () => {
  await using fake = await FakeKube.start();
  using client = fake.client();
  fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
  const ending = agent('old', 'a', {phase: 'Pending'});
  fake.put(PODS, {...ending, metadata: {...ending.metadata, deletionTimestamp: '2026-01-01T00:00:00Z'}});
  assert.deepEqual(problemsOf(await readFleet(client, NAMESPACE)), ['a: its agent ends']);
  fake.put(PODS, agent('new', 'a', {phase: 'Pending'}));
  assert.deepEqual(problemsOf(await readFleet(client, NAMESPACE)), ['a: its agent is not ready']);
});

for (const {name, maxBytes, capacityBytes, says} of [
  {name: 'all that was set', maxBytes: 50 * 2 ** 30, capacityBytes: 50 * 2 ** 30, says: undefined},
  {name: 'less, and much', maxBytes: 50 * 2 ** 30, capacityBytes: 8 * 2 ** 30, says: undefined},
  {name: 'little, as was set', maxBytes: 2 ** 20, capacityBytes: 2 ** 20, says: undefined},
  {
    name: 'little',
    maxBytes: 50 * 2 ** 30,
    capacityBytes: 2 ** 29,
    says: /^a: .* room for 512 MiB only \(cache\.minFreeDisk\)/,
  },
  {name: 'nothing', maxBytes: 50 * 2 ** 30, capacityBytes: 0, says: /^a: the disk leaves its cache no room/},
])
  test(`a disk that leaves the cache ${name}`, async () => {
    await using fake = await FakeKube.start();
    using client = fake.client();
    fake.put(DAEMON_SETS, {metadata: {name: 'noost-agent', namespace: NAMESPACE}});
    fake.put(PODS, agent('agent-a', 'a', {phase: 'Running', conditions: [{type: 'Ready', status: 'True'}]}));
    const page = `noost_cache_max_bytes ${String(maxBytes)}\nnoost_cache_capacity_bytes ${String(capacityBytes)}\n`;
    fake.answers.set(`/api/v1/namespaces/${NAMESPACE}/pods/agent-a:5057/proxy/metrics`, () => page);
    const fleet = await readFleet(client, NAMESPACE);
    if (says === undefined) assert.deepEqual(problemsOf(fleet), []);
    else assert.match(problemsOf(fleet).join('\n'), says);
    assert.equal(fleet.nodes[0]?.cacheMaxBytes, capacityBytes);
  });
