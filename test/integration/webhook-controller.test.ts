import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import type {KubeClient} from '../../kube/client.ts';
import type {ResourceType} from '../../kube/object.ts';
import {
  CLUSTER_IMAGE_POLICIES,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  IMAGE_POLICIES,
  IMAGE_POLICY_EXCEPTIONS,
  MUTATING_WEBHOOKS,
  NAMESPACES,
  VALIDATING_WEBHOOKS,
} from '../../kube/resources.ts';
import type {PolicyApiObject} from '../../webhook/controller/policy-watch.ts';
import type {WebhookConfiguration} from '../../webhook/controller/webhook-configurations.ts';
import {startReplica} from '../controller-rig.ts';
import {Kubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';

const cluster = sharedPeer(async () => {
  const kubernetes = await Kubernetes.start();
  await kubernetes.apply('manifests/crds');
  return kubernetes;
});

const DENY = {default: 'Deny', rules: [{name: 'ours', match: [{registry: 'ghcr.io'}], action: 'Allow'}]};
const TYPES = [MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS];

function configurationsOf(client: KubeClient, name: string): Promise<(WebhookConfiguration | undefined)[]> {
  return Promise.all(TYPES.map((type) => client.find<WebhookConfiguration>(type, {name})));
}

/** What happens if no webhook answers; `undefined` if none is called. */
async function failurePolicyOf(client: KubeClient, name: string): Promise<string | undefined> {
  const [, validating] = await configurationsOf(client, name);
  return validating?.webhooks?.find((one) => one.name === 'validate.noost.dev')?.failurePolicy;
}

async function conditionOf(client: KubeClient, type: ResourceType, name: string, namespace?: string): Promise<string> {
  const {status} = await client.get<PolicyApiObject>(type, {name, namespace});
  const [first] = status?.conditions ?? [];
  return first === undefined ? 'none' : `${first.type} ${first.status} ${first.reason}: ${first.message}`;
}

test('policies: judged by as soon as they change, and their status says so', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  await using replica = await startReplica({client, namespace: await kubernetes.namespace('policies')});
  await replica.untilReady();
  const is = (verdict: string) => (): boolean => replica.verdict('docker.io/library/alpine') === verdict;
  const one = {name: 'production'};
  await client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: one, spec: DENY});
  await poll('it is judged by', is('deny'));
  assert.equal(replica.verdict('ghcr.io/a/b'), 'accept');
  assert.equal(replica.verdict('docker.io/library/alpine', 'kube-system'), 'accept');
  assert.equal(replica.verdict('docker.io/library/alpine', 'policies'), 'accept');
  const condition = (): Promise<string> => conditionOf(client, CLUSTER_IMAGE_POLICIES, 'production');
  await poll('it says so', async () => (await condition()) === 'Ready True InEffect: Pods are judged by this policy');
  const since = performance.now();
  await client.patch(CLUSTER_IMAGE_POLICIES, one, {merge: {spec: {default: 'Allow'}}});
  await poll('the change is judged by', is('accept'));
  t.diagnostic(`a change took ${Math.round(performance.now() - since)} ms`); // below 1000 on a machine with nothing else to do
  await client.patch(CLUSTER_IMAGE_POLICIES, one, {merge: {spec: {default: 'Deny'}}});
  await poll('and the next', is('deny'));
  await client.delete(CLUSTER_IMAGE_POLICIES, one);
  await poll('it is lifted', is('accept'));
});

test('policies: one that cannot be used accepts no image where it applies, and says so', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const team = await kubernetes.namespace('team-broken');
  // Written while no webhook is there to refuse it; the CRD's schema cannot read patterns.
  const rules = [{name: 'bad', match: [{tag: {regex: '('}}], action: 'Allow'}];
  await client.create(IMAGE_POLICIES, {namespace: team}, {metadata: {name: 'broken'}, spec: {rules}});
  await using replica = await startReplica({client, namespace: await kubernetes.namespace('broken')});
  await replica.untilReady();
  assert.equal(replica.verdict('ghcr.io/a/b', team), 'deny');
  assert.equal(replica.verdict('ghcr.io/a/b', 'team-a'), 'accept');
  const condition = (): Promise<string> => conditionOf(client, IMAGE_POLICIES, 'broken', team);
  await poll('it says so', async () => (await condition()).startsWith('Ready False Invalid: No image is accepted: '));
  assert.match(await condition(), /spec\.rules\[0\]\.match\[0\]\.tag/);
  await client.delete(IMAGE_POLICIES, {namespace: team, name: 'broken'});
  await poll('it is lifted', () => replica.verdict('ghcr.io/a/b', team) === 'accept');
});

test('exceptions: in effect until the second that they name, which their status says; and nothing is written in between', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  await using replica = await startReplica({client, namespace: await kubernetes.namespace('excepted')});
  await replica.untilReady();
  const verdict = (): string => replica.verdict('quay.io/acme/debug');
  await client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: {name: 'strict'}, spec: DENY});
  await poll('the policy is judged by', () => verdict() === 'deny');
  const endsMs = Math.ceil(Date.now() / 1000) * 1000 + 6_000;
  const match = [{registry: 'quay.io', repository: 'acme/debug'}];
  const expires = new Date(endsMs).toISOString();
  const spec = {policies: ['strict', 'absent'], match, expires, reason: 'incident 42', owner: 'platform'};
  await client.create(IMAGE_POLICY_EXCEPTIONS, {}, {metadata: {name: 'incident-42'}, spec});
  const condition = (): Promise<string> => conditionOf(client, IMAGE_POLICY_EXCEPTIONS, 'incident-42');
  await poll('it is active', async () => (await condition()).endsWith('but there is no policy absent'));
  let sawEffect = false;
  await poll('it ends', () => {
    const now = Date.now();
    const said = verdict();
    if (said === 'accept') sawEffect = true;
    if (said === 'accept') assert.ok(now < endsMs, 'it had an effect after its end');
    return said === 'deny' && Date.now() >= endsMs;
  });
  assert.ok(sawEffect);
  await poll('it says so', async () => (await condition()).startsWith('Active False Expired'), 5_000);
  // Something else changes, and the leader looks at everything again.
  await client.delete(CLUSTER_IMAGE_POLICIES, {name: 'strict'});
  await poll('the policy is gone', () => verdict() === 'accept');
  await client.delete(IMAGE_POLICY_EXCEPTIONS, {name: 'incident-42'});
  const audited = async (): Promise<string[]> =>
    (await readFile(join(kubernetes.folder, 'log', 'audit.log'), 'utf8')).split('\n');
  const of = (line: string): boolean => line.includes('"ResponseComplete"') && line.includes('incident-42');
  await poll('all is in the audit log', async () => (await audited()).some((l) => of(l) && l.includes('"delete"')));
  const writes = (await audited()).filter((line) => of(line) && line.includes('"verb":"patch"'));
  assert.equal(writes.length, 2, 'its status is written once when it begins and once when it ends');
});

test('arming: open until two replicas are ready, then closed for good; lifted by the switch, and with the Deployment', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('armed');
  await using replica = await startReplica({client, namespace, behindService: true});
  const {name} = replica;
  const untilPolicy = (what: string, wanted: string | undefined): Promise<unknown> =>
    poll(what, async () => (await failurePolicyOf(client, name)) === wanted);
  await untilPolicy('the configurations are made', 'Ignore');
  await client.create(CLUSTER_IMAGE_POLICIES, {}, {metadata: {name: 'switched'}, spec: DENY});
  const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
  const slice = (ready: number): object => ({
    metadata: {name, labels: {'kubernetes.io/service-name': name}},
    addressType: 'IPv4',
    ports: [{port: 10250}],
    endpoints: addresses.map((address, i) => ({addresses: [address], conditions: {ready: i < ready}})),
  });
  const put = (ready: number): Promise<unknown> =>
    client.patch(ENDPOINT_SLICES, {namespace, name}, {apply: slice(ready), fieldManager: 'test', force: true});
  await put(1);
  await poll('one is seen', () => replica.lines.some((line) => line.includes('"readyReplicas":0')));
  assert.equal(await failurePolicyOf(client, name), 'Ignore');
  await put(2);
  await untilPolicy('two arm it', 'Fail');
  await replica.untilReady();
  await put(0);
  const annotate = (value: string | null): Promise<unknown> =>
    client.patch(NAMESPACES, {name: namespace}, {merge: {metadata: {annotations: {'noost.dev/webhook': value}}}});
  await annotate('ignore');
  await untilPolicy('the switch opens it', 'Ignore');
  await put(2);
  await annotate(null);
  await untilPolicy('it is armed again', 'Fail');
  const said = (): Promise<string> => conditionOf(client, CLUSTER_IMAGE_POLICIES, 'switched');
  await poll('it is in effect', async () => (await said()).startsWith('Ready True'));
  await annotate('off');
  await untilPolicy('the switch removes it', undefined);
  assert.deepEqual(await configurationsOf(client, name), [undefined, undefined]);
  assert.equal(replica.controller.notReady, undefined);
  await poll('policies say so', async () => (await said()).startsWith('Ready False SwitchedOff'));
  await annotate(null);
  await poll('and that they are in effect', async () => (await said()).startsWith('Ready True'));
  await untilPolicy('it comes back', 'Fail');
  await put(0);
  const template = {metadata: {labels: {app: name}}, spec: {containers: [{name: 'c', image: 'ghcr.io/a/b'}]}};
  const spec = {replicas: 3, selector: {matchLabels: {app: name}}, template};
  await client.create(DEPLOYMENTS, {namespace}, {metadata: {name}, spec});
  await client.patch(DEPLOYMENTS, {namespace, name}, {merge: {spec: {replicas: 0}}});
  await untilPolicy('none are wanted: nobody is waited for', 'Ignore');
  await client.patch(DEPLOYMENTS, {namespace, name}, {merge: {spec: {replicas: 1}}});
  await put(1);
  await untilPolicy('of one, one is enough', 'Fail');
  await client.delete(DEPLOYMENTS, {namespace, name});
  await untilPolicy('the Deployment is deleted', 'Ignore');
});
