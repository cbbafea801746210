import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {EventRecorder} from '../../kube/events.ts';
import {isConflict, KubeError} from '../../kube/error.ts';
import {LeaderElection} from '../../kube/lease.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeObject} from '../../kube/object.ts';
import {CONFIG_MAPS, EVENTS, LEASES, SERVICE_ACCOUNTS} from '../../kube/resources.ts';
import {Reviews} from '../../kube/reviews.ts';
import {Kubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';

const NEVER = AbortSignal.timeout(500_000);

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const cluster = sharedPeer(() => Kubernetes.start());

test('the real API server: objects, patches of three kinds, conflicts, causes, warnings', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('objects');
  const one = {namespace, name: 'one'};
  const made = await client.create<ConfigMap>(CONFIG_MAPS, {namespace}, {metadata: {name: 'one'}, data: {x: '1'}});
  await client.patch(CONFIG_MAPS, one, {merge: {data: {y: '2'}}});
  await client.patch(CONFIG_MAPS, one, {json: [{op: 'add', path: '/data/z', value: '3'}]});
  const applied = await client.patch<ConfigMap>(CONFIG_MAPS, one, {apply: {data: {w: '4'}}, fieldManager: 'noost'});
  assert.deepEqual(applied.data, {x: '1', y: '2', z: '3', w: '4'});
  await assert.rejects(client.replace(CONFIG_MAPS, one, made), isConflict);
  await assert.rejects(
    client.patch(CONFIG_MAPS, one, {apply: {data: {x: 'mine'}}, fieldManager: 'noost'}),
    (error: KubeError) => isConflict(error) && /conflict/.test(error.message),
  );
  await assert.rejects(
    client.create(CONFIG_MAPS, {namespace}, {metadata: {name: 'Not A Name'}}),
    (error: KubeError) => {
      assert.equal(error.reason, 'Invalid');
      return error.causes.some(({field}) => field === 'metadata.name');
    },
  );
  const page = await client.list<ConfigMap>(CONFIG_MAPS, {namespace, limit: 1});
  assert.equal(page.items.length, 1);
  await assert.rejects(client.delete(CONFIG_MAPS, one, {uid: 'another'}), isConflict);
  await client.delete(CONFIG_MAPS, one, {uid: made.metadata.uid});
  assert.equal(await client.find(CONFIG_MAPS, one), undefined);
});

test('the real API server: a watch survives its restart, and a kill of etcd', {timeout: 300_000}, async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('watched');
  await using list = new ListWatch<ConfigMap>({client, type: CONFIG_MAPS, namespace, maxBackoffMs: 1000});
  list.start();
  await list.whenSynced(NEVER);
  const create = (name: string): Promise<unknown> => client.create(CONFIG_MAPS, {namespace}, {metadata: {name}});
  await create('one');
  await poll('one is known', () => list.get('one', namespace));
  await kubernetes.kill('apiserver');
  await poll('the failure is known', () => list.failure);
  assert.ok(list.get('one', namespace));
  await kubernetes.restart('apiserver');
  await create('two');
  await poll('two is known', () => list.get('two', namespace), 60_000);
  await kubernetes.kill('etcd');
  await delay(1000);
  await kubernetes.restart('etcd');
  await poll('three is made', () => create('three').then(() => true), 60_000);
  await poll('three is known', () => list.get('three', namespace), 60_000);
});

test('the real API server: a version that etcd has forgotten is answered by 410', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const ask = {resourceVersion: '1', timeoutSeconds: 10, maxSilenceMs: 20_000, signal: NEVER};
  const events = kubernetes.client.watch(CONFIG_MAPS, ask);
  await assert.rejects(events.next(), (error: KubeError) => error.code === 410 && error.reason === 'Expired');
});

test(
  'the real API server: of two who want to lead one does, and the other when it stops',
  {timeout: 120_000},
  async (t) => {
    const kubernetes = await cluster(t);
    if (!kubernetes) return;
    const {client} = kubernetes;
    const namespace = await kubernetes.namespace('led');
    const terms: string[] = [];
    const candidate = (identity: string): LeaderElection =>
      new LeaderElection({
        client,
        namespace,
        name: 'noost-webhook',
        identity,
        retryMs: 200,
        lead: (signal) => {
          terms.push(identity);
          return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
        },
      });
    await using a = candidate('a');
    a.start();
    await poll('a leads', () => a.leading);
    await using b = candidate('b');
    b.start();
    await delay(1000);
    assert.deepEqual([b.leading, b.holder], [false, 'a']);
    await a.stop();
    await poll('b leads', () => b.leading);
    assert.deepEqual(terms, ['a', 'b']);
    const lease = await client.get<KubeObject & {spec: {leaseTransitions: number}}>(LEASES, {
      namespace,
      name: 'noost-webhook',
    });
    assert.equal(lease.spec.leaseTransitions, 1);
  },
);

test('the real API server: an event is written, and counted when it happens again', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('events');
  await using recorder = new EventRecorder({client, component: 'noost-webhook', recountMs: 200});
  const regarding = {apiVersion: 'v1', kind: 'Pod', namespace, name: 'web'};
  for (let i = 0; i < 5; i++) recorder.record({regarding, type: 'Warning', reason: 'ImageDenied', message: 'no'});
  await poll('written', async () => (await client.list(EVENTS, {namespace})).items.length === 1);
  recorder.record({regarding, type: 'Warning', reason: 'ImageDenied', message: 'no'});
  await poll('counted', async () => {
    const {items} = await client.list<KubeObject & {count: number}>(EVENTS, {namespace});
    return items.length === 1 && items[0]?.count === 6;
  });
  const shown = await kubernetes.kubectl(['get', 'events', '-n', namespace]);
  assert.match(shown, /Warning\s+ImageDenied\s+pod\/web\s+no/);
  assert.equal(recorder.dropped, 0);
});

test('the real API server: whose token it is, for which audience, and what its owner may', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('reviews');
  const place = {namespace, name: 'default', subresource: 'token'};
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {audiences: ['noost'], expirationSeconds: 600},
  };
  const {status} = await client.create<object, {status: {token: string}}>(SERVICE_ACCOUNTS, place, request);
  const reviews = new Reviews({client});
  const who = await reviews.whoHas(status.token, 'noost', NEVER);
  assert.equal(who?.username, `system:serviceaccount:${namespace}:default`);
  assert.equal(await reviews.whoHas(status.token, 'another', NEVER), undefined);
  assert.equal(await reviews.whoHas(status.token, undefined, NEVER), undefined);
  assert.equal(await reviews.whoHas('nonsense', 'noost', NEVER), undefined);
  const pull = {verb: 'pull', group: 'noost.dev', resource: 'images', namespace};
  assert.equal((await reviews.may(who, pull, NEVER)).allowed, false);
  await kubernetes.kubectl(['create', 'role', '-n', namespace, 'puller', '--verb=pull', '--resource=pods']);
  await client.patch(
    {group: 'rbac.authorization.k8s.io', version: 'v1', plural: 'roles', kind: 'Role', namespaced: true},
    {namespace, name: 'puller'},
    {merge: {rules: [{verbs: ['pull'], apiGroups: ['noost.dev'], resources: ['images']}]}},
  );
  await kubernetes.kubectl([
    'create',
    'rolebinding',
    '-n',
    namespace,
    'puller',
    '--role=puller',
    `--serviceaccount=${namespace}:default`,
  ]);
  await poll('the right is there', async () => (await new Reviews({client}).may(who, pull, NEVER)).allowed);
});
