import assert from 'node:assert/strict';
import {test} from 'node:test';
import {KubeError} from '../../kube/error.ts';
import {CLUSTER_IMAGE_POLICIES, NAMESPACES, PODS} from '../../kube/resources.ts';
import {pod} from '../admission-rig.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';
import {refused, WebhookCluster} from '../webhook-cluster.ts';

/** What people and tools do to pods at a real API server, beside creating them. */
const cluster = sharedPeer(() => WebhookCluster.start());

const OURS = {default: 'Deny', rules: [{name: 'ours', match: [{registry: 'reg.test'}], action: 'Allow'}]};
const REFUSED = /denied the request[\s\S]*evil\/x/;

test('kubectl run, create, replace and apply, on the client and on the server, are pinned and judged alike', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('verbs');
  await on.policy(namespace, OURS);
  const {digest} = on.registry.content.addImage('acme/app', 'v1');
  const pinned = `reg.test/acme/app:v1@${digest}`;
  const kubectl = (args: readonly string[], image?: string): Promise<string> => {
    const object = image === undefined ? undefined : pod([image], {metadata: {namespace}});
    return on.kubernetes.kubectl(['-n', namespace, ...args], object && JSON.stringify(object));
  };
  await assert.rejects(kubectl(['run', 'app', '--image=evil/x']), REFUSED);
  await kubectl(['run', 'app', '--image=reg.test/acme/app:v1']);
  assert.equal((await on.get(namespace, 'app')).spec.containers[0]?.image, pinned);
  await kubectl(['delete', 'pod', 'app', '--now']);
  const ways = [['create'], ['apply'], ['apply', '--server-side'], ['replace', '--force']] as const;
  for (const way of ways) {
    await assert.rejects(kubectl([...way, '-f', '-'], 'evil/x'), REFUSED, way.join(' '));
    await kubectl([...way, '-f', '-'], 'reg.test/acme/app:v1');
    assert.equal((await on.get(namespace, 'app')).spec.containers[0]?.image, pinned, way.join(' '));
    if (way[0] === 'apply') {
      // Again, as GitOps does every few minutes: no conflict, and nothing changes.
      const {metadata} = await on.get(namespace, 'app');
      await kubectl([...way, '-f', '-'], 'reg.test/acme/app:v1');
      assert.equal((await on.get(namespace, 'app')).metadata.generation, metadata.generation);
      await assert.rejects(kubectl([...way, '-f', '-'], 'evil/x'), REFUSED, way.join(' '));
      assert.equal((await on.get(namespace, 'app')).spec.containers[0]?.image, pinned);
    }
    await kubectl(['delete', 'pod', 'app', '--now']);
  }
});

test('a pod in a namespace that was made a moment ago is judged by its labels', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  await on.client.create(
    CLUSTER_IMAGE_POLICIES,
    {},
    {metadata: {name: 'young'}, spec: {mode: 'Enforce', namespaceSelector: {matchLabels: {age: 'young'}}, ...OURS}},
  );
  await on.untilInEffect(CLUSTER_IMAGE_POLICIES, 'young');
  for (let i = 0; i < 10; i++) {
    const name = `young-${String(i)}`;
    await on.client.create(NAMESPACES, {}, {metadata: {name, labels: {age: 'young'}}});
    const made = on.create(name, pod(['evil/x'], {spec: {serviceAccountName: undefined}}), {dryRun: true});
    await made
      .catch((error: unknown) => {
        // Its default service account may not be there yet: then nobody has asked us, and the pod is not there either.
        if (!(error instanceof KubeError) || !/serviceaccount "default" not found/.test(error.message)) throw error;
      })
      .then(
        () => poll('refused', () => refused(on.create(name, pod(['evil/x']), {dryRun: true})).then(Boolean), 30_000),
        (error: unknown) => refused(Promise.reject(error as Error)),
      );
  }
});

test('labels of a namespace that change: its new pods are judged by what applies now, also after a policy went and came', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('moving');
  const spec = {mode: 'Enforce', namespaceSelector: {matchLabels: {env: 'moved'}}, ...OURS};
  const name = 'moved';
  const attempt = (): Promise<unknown> => on.create(namespace, pod(['evil/x']), {dryRun: true});
  const label = (env: string | null): Promise<unknown> =>
    on.client.patch(NAMESPACES, {name: namespace}, {merge: {metadata: {labels: {env}}}});
  const isRefused = (): Promise<boolean> =>
    attempt().then(
      () => false,
      (error: unknown) => refused(Promise.reject(error as Error)).then(Boolean),
    );
  await on.client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: {name}, spec});
  await on.untilInEffect(CLUSTER_IMAGE_POLICIES, name);
  await attempt();
  for (let round = 0; round < 2; round++) {
    await label('moved');
    await poll('refused', isRefused);
    await label(null);
    await poll('admitted', async () => !(await isRefused()));
  }
  await label('moved');
  await on.client.delete(CLUSTER_IMAGE_POLICIES, {name});
  await poll('the policy went', async () => !(await isRefused()));
  await on.client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: {name}, spec});
  await poll('the policy came', isRefused);
});

test('a pod that a newer policy would refuse can be bound, resized, tolerated, told of and deleted', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('older');
  await on.kubernetes.kubectl(
    ['apply', '-f', '-'],
    JSON.stringify({apiVersion: 'v1', kind: 'Node', metadata: {name: 'older'}}),
  );
  await on.create(namespace, pod(['evil/x:1']));
  await on.policy(namespace, OURS);
  const at = `/api/v1/namespaces/${namespace}/pods/app`;
  const binding = {apiVersion: 'v1', kind: 'Binding', metadata: {name: 'app'}, target: {kind: 'Node', name: 'older'}};
  await on.kubernetes.kubectl(['create', '--raw', `${at}/binding`, '-f', '-'], JSON.stringify(binding));
  const patch = (body: object, ...more: string[]): Promise<string> =>
    on.kubernetes.kubectl(['-n', namespace, 'patch', 'pod', 'app', '-p', JSON.stringify(body), ...more]);
  await patch({spec: {tolerations: [{key: 'a', operator: 'Exists'}]}});
  await patch({spec: {activeDeadlineSeconds: 100}});
  await patch({metadata: {labels: {a: 'b'}, annotations: {c: 'd'}, finalizers: ['noost.dev/test']}});
  await patch({status: {phase: 'Running', reason: 'x'}}, '--subresource=status');
  const resources = {limits: {cpu: '100m'}, requests: {cpu: '100m'}};
  await patch({spec: {containers: [{name: 'c0', resources}]}}, '--subresource=resize').catch(
    (error: unknown) => assert.doesNotMatch(String(error), /noost\.dev|denied the request/), // the API server may have its own reasons
  );
  // No image comes in by these ways either.
  await assert.rejects(patch({spec: {containers: [{name: 'c0', image: 'evil/x:2'}]}}), REFUSED);
  await patch({spec: {containers: [{name: 'c0', image: 'evil/x:2', resources}]}}, '--subresource=resize').catch(
    () => '',
  );
  await patch({spec: {containers: [{name: 'c0', image: 'evil/x:2'}]}}, '--subresource=status').catch(() => '');
  assert.match((await on.get(namespace, 'app')).spec.containers[0]?.image ?? '', /^evil\/x:1/);
  await on.kubernetes.kubectl(['-n', namespace, 'delete', 'pod', 'app', '--grace-period=0', '--force', '--wait=false']);
  await patch({metadata: {finalizers: null}});
  assert.equal(await on.client.find(PODS, {namespace, name: 'app'}), undefined);
});

test('pods of Windows, of a huge size, and with what the API server writes large in JSON are judged', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('sizes');
  await on.policy(namespace, {...OURS, podSelector: {}});
  const {digest} = on.registry.content.addImage('acme/app', 'v1');
  const windows = {os: {name: 'windows'}, securityContext: {windowsOptions: {runAsUserName: 'x'}}};
  await refused(on.create(namespace, pod(['evil/x'], {spec: windows})));
  const {pod: made} = await on.create(namespace, pod(['reg.test/acme/app:v1'], {spec: windows}), {dryRun: true});
  assert.equal(made.spec.containers[0]?.image, `reg.test/acme/app:v1@${digest}`);
  for (const character of ['x', '<', '\u2028']) {
    const value = character.repeat(Math.floor(1_200_000 / Buffer.byteLength(character)));
    const huge = (image: string): object => {
      const containers = [{name: 'c', image, env: [{name: 'A', value}]}];
      return pod([], {metadata: {name: 'huge'}, spec: {containers}});
    };
    await refused(on.create(namespace, huge('evil/x')));
    await on.create(namespace, huge('reg.test/acme/app:v1'));
    const patch = {merge: {spec: {containers: [{name: 'c', image: 'evil/x', env: [{name: 'A', value}]}]}}};
    await assert.rejects(on.client.patch(PODS, {namespace, name: 'huge'}, patch), KubeError, character);
    await on.client.patch(PODS, {namespace, name: 'huge'}, {merge: {metadata: {annotations: {a: 'b'}}}});
    await on.client.delete(PODS, {namespace, name: 'huge'}, {gracePeriodSeconds: 0});
  }
});

test('a label that leads a pod of a huge size into a policy is refused like any other', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('padded');
  await on.policy(namespace, {...OURS, podSelector: {matchLabels: {tier: 'gold'}}});
  for (const character of ['x', '<']) {
    const env = [{name: 'A', value: character.repeat(1_200_000)}];
    const name = character === 'x' ? 'plain' : 'escaped';
    await on.create(namespace, pod([], {metadata: {name}, spec: {containers: [{name: 'c', image: 'evil/x', env}]}}));
    await refused(
      on.client.patch(PODS, {namespace, name}, {merge: {metadata: {labels: {tier: 'gold'}}}}),
      'validate-labels.noost.dev',
    );
  }
});

test('a tenant with all rights in his namespace can make no exception and no policy of the cluster', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('tenant');
  const admin = {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin'};
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: {name: 'all', namespace},
    roleRef: admin,
    subjects: [{kind: 'User', name: 'tenant', apiGroup: 'rbac.authorization.k8s.io'}],
  };
  await on.kubernetes.kubectl(['apply', '-f', '-'], JSON.stringify(binding));
  await on.policy(namespace, OURS);
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  const all = {match: [{registry: '*'}]};
  const objects = [
    {kind: 'ImagePolicyException', spec: {policies: [namespace], ...all, expires, reason: 'r', owner: 'o'}},
    {kind: 'ClusterImagePolicy', spec: {default: 'Allow'}},
  ];
  const apply = (object: object): Promise<string> =>
    on.kubernetes.kubectl(
      ['-n', namespace, 'create', '--as', 'tenant', '--as-group', 'system:authenticated', '-f', '-'],
      JSON.stringify({apiVersion: 'noost.dev/v1alpha1', metadata: {name: 'mine'}, ...object}),
    );
  for (const object of objects) await assert.rejects(apply(object), /forbidden/i, object.kind);
  const rules = [{name: 'all', ...all, action: 'Allow'}];
  await apply({kind: 'ImagePolicy', metadata: {name: 'mine', namespace}, spec: {default: 'Allow', rules}});
  await refused(on.create(namespace, pod(['evil/x'])));
});
