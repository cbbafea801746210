import assert from 'node:assert/strict';
import {X509Certificate} from 'node:crypto';
import {test} from 'node:test';
import {connect as connectTls} from 'node:tls';
import {connect} from '../../kube/connect.ts';
import type {KubeClient} from '../../kube/client.ts';
import type {KubeObject, ResourceType} from '../../kube/object.ts';
import {MUTATING_WEBHOOKS, NAMESPACES, PODS, SECRETS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import {newAuthority, newLeaf} from '../../webhook/controller/issue-certificate.ts';
import {dataOf, type Certificates} from '../../webhook/controller/tls-secret.ts';
import type {WebhookConfiguration} from '../../webhook/controller/webhook-configurations.ts';
import {startReplica, type Replica} from '../controller-rig.ts';
import {Kubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';

const cluster = sharedPeer(async () => {
  const kubernetes = await Kubernetes.start();
  await kubernetes.apply('manifests/crds');
  return kubernetes;
});

type Entry = Record<string, unknown> & {name: string};

async function entriesOf(client: KubeClient, type: ResourceType, name: string): Promise<string | undefined> {
  const found = await client.find<WebhookConfiguration>(type, {name});
  return found && JSON.stringify(found.webhooks);
}

/** What a person, or another program, may do to a configuration. */
const EDITS: readonly (readonly [string, (entry: Entry) => unknown])[] = [
  ['fails open', (entry) => ({...entry, failurePolicy: 'Ignore'})],
  ['trusts another CA', (entry) => ({...entry, clientConfig: {...(entry['clientConfig'] as object), caBundle: ''}})],
  [
    'spares namespaces',
    (entry) => ({
      ...entry,
      namespaceSelector: {matchExpressions: [{key: 'spare', operator: 'DoesNotExist'}]},
    }),
  ],
  ['spares pods', (entry) => ({...entry, objectSelector: {matchLabels: {judged: 'yes'}}})],
  ['never matches', (entry) => ({...entry, matchConditions: [{name: 'never', expression: 'false'}]})],
  ['is for nothing', (entry) => ({...entry, rules: []})],
  ['calls another', (entry) => ({...entry, clientConfig: {url: 'https://127.0.0.1:9/x'}})],
];

test('webhook configurations that somebody edits, empties, adds to or deletes are put right', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  await using replica = await startReplica({client, namespace: await kubernetes.namespace('repaired')});
  await replica.untilReady();
  const {name} = replica;
  const types = [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS];
  const all = (): Promise<(string | undefined)[]> => Promise.all(types.map((type) => entriesOf(client, type, name)));
  const before = await all();
  /** Does it to both, and waits until nothing is to be seen of it. */
  const undone = async (
    what: string,
    change: (type: ResourceType, entries: Entry[]) => Promise<unknown>,
  ): Promise<void> => {
    await Promise.all(types.map((type, i) => change(type, JSON.parse(before[i] ?? '[]') as Entry[])));
    await poll(what, async () => (await all()).every((entries, i) => entries === before[i]), 30_000);
  };
  const put = (type: ResourceType, webhooks: readonly unknown[]): Promise<unknown> =>
    client.patch(type, {name}, {merge: {webhooks}}, {fieldManager: 'kubectl-edit'});
  for (const [what, edit] of EDITS) await undone(what, (type, entries) => put(type, entries.map(edit)));
  await undone('is emptied', (type) => put(type, []));
  await undone('has more', (type, entries) => put(type, [...entries, {...entries[0], name: 'another.noost.dev'}]));
  await undone('is deleted', (type) => client.delete(type, {name}));
  const labels = {'app.kubernetes.io/managed-by': 'me', mine: 'x'};
  await client.patch(VALIDATING_WEBHOOKS, {name}, {merge: {metadata: {labels}}});
  await poll('our label is put right, and what others label stays', async () => {
    const {metadata} = await client.get(VALIDATING_WEBHOOKS, {name});
    return metadata.labels?.['app.kubernetes.io/managed-by'] === 'noost' && metadata.labels['mine'] === 'x';
  });
  await replica.untilReady();
  // Nothing is left to be put right: no more writes.
  const versions = (): Promise<unknown> =>
    Promise.all(
      [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS].map(async (type) => (await client.get(type, {name})).metadata),
    );
  const settled = JSON.stringify(await versions());
  await client.patch(NAMESPACES, {name: 'repaired'}, {merge: {metadata: {annotations: {x: 'y'}}}});
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  assert.equal(JSON.stringify(await versions()), settled);
});

/** What a server at the replica's address answers with. */
function served(replica: Replica): Promise<X509Certificate> {
  const {hostname, port} = new URL(replica.url);
  return new Promise((resolve, reject) => {
    const socket = connectTls({host: hostname, port: Number(port), rejectUnauthorized: false}, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate) resolve(certificate);
      else reject(new Error('no certificate'));
    }).once('error', reject);
  });
}

test('certificates: a Secret that is damaged comes back, one that is deleted comes back with another CA; both are served', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const namespace = await kubernetes.namespace('certified');
  await using replica = await startReplica({client, namespace});
  await replica.untilReady();
  const place = {namespace, name: `${replica.name}-tls`};
  type Secret = KubeObject & {readonly data: Record<string, string>};
  const data = async (): Promise<Record<string, string>> => (await client.find<Secret>(SECRETS, place))?.data ?? {};
  const text = async (key: string): Promise<string> => Buffer.from((await data())[key] ?? '', 'base64').toString();
  const first = await data();
  const ca = new X509Certificate(await text('ca.crt'));
  assert.ok((await served(replica)).verify(ca.publicKey));
  for (const key of Object.keys(first)) {
    await client.patch(SECRETS, place, {merge: {data: {[key]: null}}}).catch(() => {
      // The API server itself keeps tls.crt and tls.key in a Secret of this type.
    });
    await poll(`${key} is back`, async () => (await text(key)) !== '');
  }
  await client.patch(SECRETS, place, {merge: {data: {'tls.key': Buffer.from('nonsense').toString('base64')}}});
  await poll('nonsense is replaced', async () => (await text('tls.key')).includes('PRIVATE KEY'));
  assert.equal((await data())['ca.crt'], first['ca.crt'], 'the CA stays');
  await client.delete(SECRETS, place);
  await poll('there is another CA', async () => {
    const now = await text('ca.crt');
    return now !== '' && now !== ca.toString();
  });
  const next = new X509Certificate(await text('ca.crt'));
  assert.equal((await text('previous-ca.crt')).trim(), ca.toString().trim(), 'who made what is still served');
  await poll('it is served', async () => (await served(replica)).verify(next.publicKey));
  await replica.untilReady();
  const bundle = await client.get<WebhookConfiguration>(VALIDATING_WEBHOOKS, {name: replica.name});
  const trusted = Buffer.from(bundle.webhooks?.[0]?.clientConfig.caBundle ?? '', 'base64').toString();
  assert.equal(trusted.match(/BEGIN CERTIFICATE/g)?.length, 2);
});

/** Secrets that a replica may find when it starts, after a long time or after somebody's hand. */
const FOUND: Readonly<Record<string, () => Promise<object>>> = {
  'whose CA has ended': async () => ({data: dataOf(await issued(11 * 365)), type: 'kubernetes.io/tls'}),
  'whose leaf has ended': async () => ({data: dataOf(await issued(200)), type: 'kubernetes.io/tls'}),
  'that is immutable, and empty': () => Promise.resolve({immutable: true}),
  'of another type, with nonsense': () => Promise.resolve({type: 'Opaque', data: {'tls.crt': 'bm9uc2Vuc2U='}}),
};

/** As it was made so many days ago. */
async function issued(daysAgo: number): Promise<Certificates> {
  const nowMs = Date.now() - daysAgo * 86_400_000;
  const authority = await newAuthority(nowMs);
  const leaf = await newLeaf(authority, ['127.0.0.1'], {nowMs, lifetimeMs: 90 * 86_400_000});
  return {authority, leaf, previous: [], problems: []};
}

for (const [i, [what, newSecret]] of Object.entries(FOUND).entries()) {
  test(`certificates: a Secret ${what} is put right at the start`, async (t) => {
    const kubernetes = await cluster(t);
    if (!kubernetes) return;
    const {client} = kubernetes;
    const namespace = await kubernetes.namespace(`found-${String(i)}`);
    await client.create(SECRETS, {namespace}, {metadata: {name: `hook-${namespace}-tls`}, ...(await newSecret())});
    await using replica = await startReplica({client, namespace});
    await replica.untilReady();
    const {validToDate} = await served(replica);
    assert.ok(validToDate.getTime() > Date.now());
    const pod = {metadata: {name: 'p'}, spec: {containers: [{name: 'c', image: 'ghcr.io/a/b'}]}};
    await client.create(PODS, {namespace: 'default'}, pod, {dryRun: true});
    assert.ok(replica.reviews.includes('/validate'));
  });
}

test('a replica whose clock is wrong makes certificates and ends exceptions by the clock of the API server', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  for (const [namespace, years] of [
    ['clock-behind', -20],
    ['clock-ahead', 20],
  ] as const) {
    await kubernetes.namespace(namespace);
    const nowMs = (): number => Date.now() + years * 365 * 86_400_000;
    const client = await connect({kubeconfig: kubernetes.kubeconfig, env: {}, nowMs});
    await using replica = await startReplica({client, namespace});
    await replica.untilReady();
    assert.ok(Math.abs(client.nowMs() - Date.now()) < 5_000);
    const {validFromDate, validToDate} = await served(replica);
    assert.ok(validFromDate.getTime() < Date.now() && validToDate.getTime() > Date.now() + 80 * 86_400_000);
    // The API server calls it, and has no doubt about the certificate.
    const pod = {metadata: {name: namespace}, spec: {containers: [{name: 'c', image: 'ghcr.io/a/b'}]}};
    await kubernetes.client.create(PODS, {namespace: 'default'}, pod, {dryRun: true});
    assert.ok(replica.reviews.includes('/validate'), replica.reviews.join());
  }
});

test('our kinds are not installed: it says how, and goes on when they are', async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  const names = ['clusterimagepolicies', 'imagepolicies', 'imagepolicyexceptions'];
  const remove = (): Promise<string> =>
    kubernetes.kubectl(['delete', '--ignore-not-found', 'crd', ...names.map((name) => `${name}.noost.dev`)]);
  await remove();
  await using replica = await startReplica({client, namespace: await kubernetes.namespace('kindless')});
  const said = 'policies are not read yet: their kinds are not installed: kubectl apply -f manifests/crds';
  await poll('it says so', () => replica.controller.notReady === said);
  await kubernetes.apply('manifests/crds');
  await replica.untilReady();
});

test('outside a cluster our namespace is made, and made again', {timeout: 120_000}, async (t) => {
  const kubernetes = await cluster(t);
  if (!kubernetes) return;
  const {client} = kubernetes;
  await using replica = await startReplica({client, namespace: 'made'});
  await replica.untilReady(60_000);
  await client.delete(NAMESPACES, {name: 'made'});
  const certificate = await served(replica);
  await poll(
    'it is there again',
    async () => {
      const found = await client.find(NAMESPACES, {name: 'made'});
      return found !== undefined && found.metadata.deletionTimestamp === undefined;
    },
    60_000,
  );
  await poll(
    'with another certificate',
    async () => (await served(replica)).fingerprint256 !== certificate.fingerprint256,
    60_000,
  );
  await replica.untilReady(60_000);
});
