import assert from 'node:assert/strict';
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {parse, stringify} from 'yaml';
import {connect} from '../../kube/connect.ts';
import type {KubeClient} from '../../kube/client.ts';
import type {KubeObject, ResourceType} from '../../kube/object.ts';
import {CLUSTER_IMAGE_POLICIES, CLUSTER_ROLES, NAMESPACES, SECRETS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import {startReplica, type Replica} from '../controller-rig.ts';
import {Kubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';

const NAMESPACE = 'noost-system';
const USER = `system:serviceaccount:${NAMESPACE}:noost-webhook`;
const ROLES: ResourceType = {...CLUSTER_ROLES, plural: 'roles', kind: 'Role', namespaced: true};

const shared = sharedPeer(async () => {
  const kubernetes = await Kubernetes.start();
  await kubernetes.apply('manifests/crds');
  await kubernetes.namespace(NAMESPACE);
  return kubernetes;
});
/** With our kinds, our namespace, and the rights of the manifests. */
async function cluster(t: TestContext): Promise<Kubernetes | undefined> {
  const kubernetes = await shared(t);
  const file = join(import.meta.dirname, '../../manifests/base/webhook/rbac.yaml');
  await kubernetes?.kubectl(['apply', '--server-side', '--force-conflicts', '-n', NAMESPACE, '-f', file]);
  return kubernetes;
}

/** As the webhook's service account: with what the manifests give it, and nothing else. */
async function clientOf(kubernetes: Kubernetes): Promise<KubeClient> {
  const config = parse(await readFile(kubernetes.kubeconfig, 'utf8')) as {users: {user: Record<string, unknown>}[]};
  for (const {user} of config.users) user['as'] = USER;
  const file = join(kubernetes.folder, 'webhook.kubeconfig');
  await writeFile(file, stringify(config));
  return connect({kubeconfig: file, env: {}});
}

async function start(kubernetes: Kubernetes, client: KubeClient, behindService = false): Promise<Replica> {
  // The test before has switched it off.
  const merge = {metadata: {annotations: {'noost.dev/webhook': null}}};
  await kubernetes.client.patch(NAMESPACES, {name: NAMESPACE}, {merge});
  const settings = {service: 'noost-webhook'};
  return startReplica({client, namespace: NAMESPACE, settings, behindService, admin: kubernetes.client});
}

interface Rules extends KubeObject {
  readonly rules: readonly {readonly resources: readonly string[]; readonly verbs: readonly string[]}[];
}

/** Takes verbs on a resource away, wherever they are given. */
async function without(kubernetes: Kubernetes, resource: string, verbs: readonly string[]): Promise<void> {
  for (const [type, namespace] of [
    [CLUSTER_ROLES, undefined],
    [ROLES, NAMESPACE],
  ] as const) {
    const place = {name: 'noost-webhook', ...(namespace !== undefined && {namespace})};
    const {rules} = await kubernetes.client.get<Rules>(type, place);
    const left = rules.flatMap((rule) => {
      if (!rule.resources.includes(resource)) return [rule];
      const kept = rule.verbs.filter((verb) => !verbs.includes(verb));
      return kept.length > 0 ? [{...rule, verbs: kept}] : [];
    });
    await kubernetes.client.patch(type, place, {merge: {rules: left}});
  }
}

for (const behindService of [false, true]) {
  test(`the rights of the manifests are enough ${behindService ? 'behind a Service' : 'by URL'}`, async (t) => {
    const kubernetes = await cluster(t);
    if (!kubernetes) return;
    const client = await clientOf(kubernetes);
    await using replica = await start(kubernetes, client, behindService);
    await replica.untilReady();
    await replica.untilLeading();
    await kubernetes.client.delete(VALIDATING_WEBHOOKS, {name: 'noost-webhook'});
    await poll('it is repaired', () => kubernetes.client.find(VALIDATING_WEBHOOKS, {name: 'noost-webhook'}));
    await poll('it is seen', () => replica.controller.notReady === undefined);
    const written = (): number => replica.lines.filter((line) => line.includes('certificates are written')).length;
    const before = written();
    await kubernetes.client.delete(SECRETS, {namespace: NAMESPACE, name: 'noost-webhook-tls'});
    await poll('another CA is there', () => written() > before);
    await replica.stop();
    const refused = replica.lines.filter((line) => /forbidden|cannot (list|watch|get|create|update|patch)/i.test(line));
    assert.deepEqual(refused, []);
  });
}

/** What is missing → what is said to whoever asks why it is not ready. */
const MISSING: readonly (readonly [resource: string, verbs: readonly string[], said: RegExp])[] = [
  ['imagepolicies', ['list'], /^policies are not read yet: .*cannot list resource "clusterimagepolicies"/],
  ['namespaces', ['list'], /^namespaces are not read yet: .*cannot list resource "namespaces"/],
  ['secrets', ['list'], /cannot list resource "secrets"/],
  [
    'secrets',
    ['create'],
    /the Secret noost-system\/noost-webhook-tls cannot be written: .*cannot create resource "secrets"/,
  ],
  [
    'validatingwebhookconfigurations',
    ['list'],
    /^the webhook configurations are not in place yet: .*cannot list resource "(validating|mutating)webhookconfigurations"/,
  ],
  [
    'validatingwebhookconfigurations',
    ['create', 'patch'],
    /^the webhook configurations are not in place yet: .*cannot (patch|create) resource "(validating|mutating)webhookconfigurations"/,
  ],
  ['leases', ['get'], /^the webhook configurations are not in place yet: .*cannot get resource "leases"/],
];

for (const [resource, verbs, said] of MISSING) {
  test(`a right that is missing is named: ${verbs.join(' and ')} ${resource}`, async (t) => {
    const kubernetes = await cluster(t);
    if (!kubernetes) return;
    await kubernetes.kubectl(['delete', 'secret,lease', '--all', '-n', NAMESPACE]);
    await without(kubernetes, resource, verbs);
    await using replica = await start(kubernetes, await clientOf(kubernetes));
    await poll('it says what is missing', () => said.test(replica.controller.notReady ?? '')).catch(
      (error: unknown) => {
        throw new Error(replica.controller.notReady, {cause: error});
      },
    );
  });
}

test('rights that are taken away meanwhile: it goes on with what it knows, and says so', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const spec = {default: 'Deny', rules: [{name: 'ours', match: [{registry: 'ghcr.io'}], action: 'Allow'}]};
  await kubernetes.client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: {name: 'kept'}, spec});
  await using replica = await start(kubernetes, await clientOf(kubernetes));
  await replica.untilReady();
  for (const resource of ['clusterimagepolicies', 'namespaces', 'validatingwebhookconfigurations', 'secrets'])
    await without(kubernetes, resource, ['get', 'list', 'watch', 'create', 'update', 'patch']);
  // A watch that was allowed goes on until the server ends it.
  await poll(
    'it is noticed',
    () => replica.lines.some((line) => /warn clusterimagepolicies cannot be followed/.test(line)),
    90_000,
  );
  assert.equal(replica.verdict('docker.io/library/alpine'), 'deny');
  assert.equal(replica.verdict('ghcr.io/a/b'), 'accept');
  assert.equal(replica.controller.cannotJudge, undefined);
  await kubernetes.client.delete(CLUSTER_IMAGE_POLICIES, {name: 'kept'});
  await cluster(t);
  await poll('it follows again', () => replica.verdict('docker.io/library/alpine') === 'accept', 60_000);
});
