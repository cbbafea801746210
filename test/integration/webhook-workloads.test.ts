import assert from 'node:assert/strict';
import {createServer} from 'node:https';
import {once} from 'node:events';
import type {AddressInfo} from 'node:net';
import {json} from 'node:stream/consumers';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import type {KubeList, KubeObject, OwnerReference, ResourceType} from '../../kube/object.ts';
import {
  CRON_JOBS,
  DAEMON_SETS,
  DEPLOYMENTS,
  EVENTS,
  JOBS,
  MUTATING_WEBHOOKS,
  PODS,
  REPLICA_SETS,
  STATEFUL_SETS,
} from '../../kube/resources.ts';
import {pod} from '../admission-rig.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';
import {newSelfSigned} from '../self-signed.ts';
import {refused, WebhookCluster, type Pod} from '../webhook-cluster.ts';

const cluster = sharedPeer(() => WebhookCluster.start());

interface Workload extends KubeObject {
  readonly spec: {readonly replicas?: number; readonly template: {readonly spec: Pod['spec']}};
}

const OURS = {default: 'Deny', rules: [{name: 'ours', match: [{registry: 'reg.test'}], action: 'Allow'}]};

function template(image: string, more: object = {}): object {
  return {metadata: {labels: {app: 'x'}}, spec: {containers: [{name: 'c', image}], ...more}};
}
function deployment(image: string, replicas = 1): object {
  return {metadata: {name: 'app'}, spec: {replicas, selector: {matchLabels: {app: 'x'}}, template: template(image)}};
}
async function podsOf(on: WebhookCluster, namespace: string): Promise<readonly Pod[]> {
  return (await on.client.list<Pod>(PODS, {namespace})).items;
}

test('the real API server: a Deployment of 50 replicas resolves its tag once, and its template stays as it is', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('fifty');
  const {digest} = on.registry.content.addImage('acme/many', 'v1');
  await on.client.create(DEPLOYMENTS, {namespace}, deployment('reg.test/acme/many:v1', 50));
  const pods = await poll(
    '50 pods',
    async () => {
      const all = await podsOf(on, namespace);
      return all.length === 50 && all;
    },
    120_000,
  );
  for (const {spec} of pods) assert.equal(spec.containers[0]?.image, `reg.test/acme/many:v1@${digest}`);
  assert.deepEqual(
    on.registry.lines().filter((line) => line.includes('acme/many')),
    ['HEAD /v2/acme/many/manifests/v1'],
  );
  for (const type of [DEPLOYMENTS, REPLICA_SETS]) {
    const {items}: KubeList<Workload> = await on.client.list<Workload>(type, {namespace});
    assert.deepEqual(
      items.map(({spec}) => spec.template.spec.containers[0]?.image),
      ['reg.test/acme/many:v1'],
      type.kind,
    );
  }
});

test('the real API server: a workload whose image is refused is warned about, not changed; its pods are refused, and say so where one looks', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('warned');
  await on.policy(namespace, OURS);
  const job = {template: template('evil/x:1', {restartPolicy: 'Never'})};
  const selected = {selector: {matchLabels: {app: 'x'}}, template: template('evil/x:1')};
  const workloads: readonly (readonly [ResourceType, object])[] = [
    [DEPLOYMENTS, {replicas: 0, ...selected}],
    [STATEFUL_SETS, {replicas: 0, serviceName: 's', ...selected}],
    [DAEMON_SETS, selected],
    [JOBS, job],
    [CRON_JOBS, {schedule: '0 0 1 1 *', jobTemplate: {spec: job}}],
  ];
  for (const [type, spec] of workloads) {
    const warnings: string[] = [];
    const made: object = await on.client.create(
      type,
      {namespace},
      {metadata: {name: 'app'}, spec},
      {onWarning: (text) => warnings.push(text)},
    );
    assert.match(warnings.join('\n'), /pods of this will be refused: .*evil\/x:1/, type.kind);
    assert.ok(JSON.stringify(made).includes('"evil/x:1"'), type.kind);
  }
  await on.client.patch(DEPLOYMENTS, {namespace, name: 'app'}, {merge: {spec: {replicas: 1}}});
  const events = await poll('the ReplicaSet tells', async () => {
    const {items} = await on.client.list<
      KubeObject & {reason: string; message: string; count?: number; involvedObject: {kind: string}}
    >(EVENTS, {namespace});
    const ours = items.filter(
      ({reason, involvedObject}) => reason === 'ImageDenied' && involvedObject.kind === 'ReplicaSet',
    );
    const tries = items.filter(
      ({reason, involvedObject}) => reason === 'FailedCreate' && involvedObject.kind === 'ReplicaSet',
    );
    return ours.length > 0 && tries.length > 2 && ours;
  });
  assert.equal(events.length, 1); // tried again and again, told once
  assert.match(events[0]?.message ?? '', /evil\/x:1/);
  assert.deepEqual(await podsOf(on, namespace), []);
});

test('the real API server: status, scale and what changes no image never wait for the webhook', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('untouched');
  on.registry.content.addImage('acme/app', 'v1');
  await on.client.create(DEPLOYMENTS, {namespace}, deployment('reg.test/acme/app:v1', 0));
  await on.create(namespace, pod(['evil/x:1']));
  await on.policy(namespace, OURS); // stricter than what runs
  const app = {namespace, name: 'app'};
  await on.client.patch(PODS, {...app, subresource: 'status'}, {merge: {status: {phase: 'Running'}}});
  await on.client.patch(DEPLOYMENTS, {...app, subresource: 'scale'}, {merge: {spec: {replicas: 0}}});
  await on.client.patch(PODS, app, {merge: {metadata: {annotations: {a: 'b'}, finalizers: ['noost.dev/test']}}});
  await on.client.delete(PODS, app, {gracePeriodSeconds: 0});
  await on.client.patch(PODS, app, {merge: {metadata: {finalizers: []}}});
  assert.equal(await on.client.find(PODS, app), undefined);
  await refused(on.create(namespace, pod(['evil/x:1'], {metadata: {name: 'last'}})));
  const told = await poll('the last one is in the log', () => {
    const lines = on.webhook.audit().filter((one) => one.namespace === namespace);
    return lines.at(-1)?.name === 'last' && lines.at(-1)?.pass === 'validate' && lines;
  });
  assert.deepEqual(
    told.map(({pass, name}) => `${pass} ${name}`),
    ['early app', 'mutate app', 'validate app', 'mutate last', 'validate last'],
  );
});

test('the real API server: a label that brings a pod under a policy that refuses it is refused', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('relabelled');
  await on.policy(namespace, {...OURS, podSelector: {matchLabels: {tier: 'gold'}}});
  await on.create(namespace, pod(['evil/x:1']));
  const label = (labels: object): Promise<unknown> =>
    on.client.patch(PODS, {namespace, name: 'app'}, {merge: {metadata: {labels}}});
  await label({other: 'yes'});
  assert.match(await refused(label({tier: 'gold'}), 'validate-labels.noost.dev'), /evil\/x:1/);
  await refused(on.create(namespace, pod(['evil/x:1'], {metadata: {name: 'gold', labels: {tier: 'gold'}}})));
});

test('the real API server: an operator that compares its pod with its template does not loop', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('operated');
  on.registry.content.addImage('acme/app', 'v1');
  const owner: OwnerReference = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Rollout',
    name: 'r',
    uid: crypto.randomUUID(),
    controller: true,
  };
  const wanted = pod(['reg.test/acme/app:v1'], {metadata: {ownerReferences: [owner]}});
  let made = 0;
  for (let round = 0; round < 5; round++) {
    const found = await on.client.find<Pod>(PODS, {namespace, name: 'app'});
    if (found?.spec.containers[0]?.image === 'reg.test/acme/app:v1') continue;
    if (found) await on.client.delete(PODS, {namespace, name: 'app'}, {gracePeriodSeconds: 0});
    await on.create(namespace, wanted);
    made++;
    await delay(50);
  }
  assert.equal(made, 1);
  assert.equal(
    on.webhook.audit().find((one) => one.namespace === namespace && one.pass === 'mutate')?.images?.[0]?.left,
    'foreign-controller',
  );
});

test('the real API server: imagePullPolicy Never keeps the very name that the node has', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('local');
  await on.policy(namespace, {default: 'Allow', rules: [{name: 'no', match: [{registry: 'quay.io'}], action: 'Deny'}]});
  const never = (image: string): object =>
    pod([], {metadata: {name: 'never'}, spec: {containers: [{name: 'c', image, imagePullPolicy: 'Never'}]}});
  const {pod: made} = await on.create(namespace, never('loaded-by-hand:dev'));
  assert.equal(made.spec.containers[0]?.image, 'loaded-by-hand:dev');
  assert.ok(on.registry.lines().every((line) => !line.includes('loaded-by-hand')));
  await refused(on.create(namespace, never('quay.io/x/y:dev')));
});

test("the real API server: a node's mirror of a static pod is admitted; the same mark by anybody else is not (§7 75)", async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('static');
  await on.policy(namespace, OURS);
  await on.kubernetes.kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({apiVersion: 'v1', kind: 'Node', metadata: {name: 'n1'}}),
  );
  const node = JSON.parse(await on.kubernetes.kubectl(['get', 'node', 'n1', '-o', 'json'])) as KubeObject;
  const ownerReferences = [{apiVersion: 'v1', kind: 'Node', name: 'n1', uid: node.metadata.uid, controller: true}];
  const annotations = {
    'kubernetes.io/config.mirror': 'x',
    'kubernetes.io/config.source': 'file',
    'kubernetes.io/config.hash': 'x',
  };
  const mirror = (name: string): object =>
    pod([], {
      metadata: {name, namespace, annotations, ownerReferences},
      spec: {
        nodeName: 'n1',
        serviceAccountName: undefined,
        automountServiceAccountToken: false,
        containers: [{name: 'c', image: 'evil/x:1'}],
      },
    });
  const as = ['--as', 'system:node:n1', '--as-group', 'system:nodes', '--as-group', 'system:authenticated'];
  await on.kubernetes.kubectl(['create', '--validate=false', ...as, '-f', '-'], JSON.stringify(mirror('mirror')));
  assert.equal((await on.get(namespace, 'mirror')).spec.containers[0]?.image, 'evil/x:1');
  await refused(on.create(namespace, mirror('forged')));
});

test('the real API server: a sidecar that another webhook injects after ours is pinned by the second round, or refused (§7 31)', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('injected');
  await on.policy(namespace, OURS);
  const {digest} = on.registry.content.addImage('acme/side', 'v1');
  on.registry.content.addImage('acme/app', 'v1');
  let sidecar = 'reg.test/acme/side:v1';
  await using tls = await newSelfSigned();
  const server = createServer({cert: tls.cert, key: tls.key}, (req, res) => {
    void json(req).then((review) => {
      const {request} = review as {request: {uid: string; object: Pod}};
      const isThere = request.object.spec.containers.some(({name}) => name === 'sidecar');
      const patch = [{op: 'add', path: '/spec/containers/-', value: {name: 'sidecar', image: sidecar}}];
      const response = {
        uid: request.uid,
        allowed: true,
        ...(!isThere && {patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64')}),
      };
      res
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response}));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://127.0.0.1:${String((server.address() as AddressInfo).port)}/`;
  const entry = {
    name: 'inject.example.com',
    admissionReviewVersions: ['v1'],
    clientConfig: {url, caBundle: Buffer.from(tls.cert).toString('base64')},
    rules: [{apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods']}],
    namespaceSelector: {matchLabels: {'kubernetes.io/metadata.name': namespace}},
    sideEffects: 'None',
  };
  await on.client.create(MUTATING_WEBHOOKS, {}, {metadata: {name: 'zz-after-noost'}, webhooks: [entry]});
  try {
    const first = await poll('the injector is called', async () => {
      const {pod: made} = await on.create(
        namespace,
        pod(['reg.test/acme/app:v1'], {metadata: {name: undefined, generateName: 'p-'}}),
      );
      return made.spec.containers.length === 2 && made;
    });
    assert.equal(first.spec.containers[1]?.image, `reg.test/acme/side:v1@${digest}`);
    sidecar = 'evil/miner:1';
    assert.match(
      await refused(on.create(namespace, pod(['reg.test/acme/app:v1']))),
      /container sidecar .*evil\/miner:1/,
    );
  } finally {
    await on.client.delete(MUTATING_WEBHOOKS, {name: 'zz-after-noost'});
    server.closeAllConnections();
    server.close();
  }
});
