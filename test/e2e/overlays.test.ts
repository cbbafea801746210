import assert from 'node:assert/strict';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, suite, test, type TestContext} from 'node:test';
import {describeTree} from '../node-tree.ts';
import {needs} from '../needs.ts';
import {applyCrds} from '../peers/cert-manager.ts';
import {goModule} from '../peers/go-program.ts';
import {needsKubernetes} from '../peers/kubernetes.ts';
import {makeNoostImage, type NoostImage} from '../peers/noost-image.ts';
import {poll} from '../poll.ts';
import {pidOf} from './chaos.ts';
import {withEvidence} from './evidence.ts';
import {ClusterRig, isReady, NAMESPACE, NODES, POD_MS, type OverlaySettings, type Pod} from './rig.ts';
import {deployment, pod} from './workloads.ts';

const WEBHOOK = 'app.kubernetes.io/component=webhook';
/** A pod that has to wait for a namespace that ends, on a machine that does much else. */
const DELETE = '--timeout=180s';
/** Kinds of which an installation has some outside of its namespace. */
const KINDS = [
  'namespaces',
  'customresourcedefinitions',
  'clusterroles',
  'clusterrolebindings',
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'priorityclasses',
].join();

const OPERATOR = {
  module: 'github.com/prometheus-operator/prometheus-operator',
  version: 'v0.85.0',
  crds: 'example/prometheus-operator-crd',
} as const;

interface Overlay {
  readonly name: string;
  /** Replicas of the webhook. */
  readonly replicas: number;
  /** What else is to be seen while it stands. */
  readonly more?: (rig: ClusterRig) => Promise<void>;
}

async function webhooks(rig: ClusterRig, count: number): Promise<readonly Pod[]> {
  return await poll(
    `${String(count)} replicas of the webhook are ready`,
    async () => {
      const all = await rig.pods(NAMESPACE, WEBHOOK);
      return all.length === count && all.every(isReady) && all;
    },
    POD_MS,
  );
}

async function asFound(rig: ClusterRig): Promise<readonly unknown[]> {
  const objects = (await rig.kubernetes.kubectl(['get', KINDS, '-o', 'name'])).trim().split('\n').toSorted();
  return [objects, ...(await Promise.all(NODES.map(async (node) => await describeTree(rig.etcOf(node)))))];
}

function settingsFor(rig: ClusterRig, {replicas}: Overlay): OverlaySettings {
  const upstreams = [{host: 'docker.io', url: rig.hub.url}];
  // The machine that tests may have a fuller disk than a node.
  const agent = {upstreams, cache: {minFreeDisk: '1%'}};
  return replicas === 0 ? {agent} : {agent, webhook: {upstreams}};
}

/** Applied, ready, armed, applied again, pulled through on each node, deleted: and nothing is left. */
async function comesAndGoes(rig: ClusterRig, overlay: Overlay): Promise<void> {
  const {name, replicas, more} = overlay;
  const before = await asFound(rig);
  const folder = await rig.overlay(`overlays/${name}`, settingsFor(rig, overlay));
  await rig.kubernetes.kubectl(['apply', '-k', folder]);
  await rig.agents();
  await webhooks(rig, replicas);
  const isWhole = async (): Promise<boolean> => {
    const status = await rig.noost('status');
    return replicas === 0 ? !status.includes('Webhook') : status.includes('armed, failurePolicy Fail');
  };
  await poll('noost status finds nothing wrong', isWhole, POD_MS);
  await rig.kubernetes.kubectl(['apply', '-k', folder]);
  await rig.kubernetes.kubectl(['diff', '-k', folder]); // exits with 1 if there is any

  // What every page of ours tells people to look at.
  assert.match(await rig.kubernetes.kubectl(['-n', NAMESPACE, 'logs', 'ds/noost-agent']), /ready on 127\.0\.0\.1:5055/);

  const image = await rig.push(rig.hub, `library/${name}`);
  await rig.hub.takeEntries();
  const servedBefore = await rig.served();
  for (const node of NODES) await rig.timed(`${name}-${node}`, `${name}:1`, node);
  const blobs = (await rig.hub.takeEntries()).filter(({request}) => request.includes('/blobs/'));
  assert.ok(blobs.length > 0);
  for (const {request, userAgent} of blobs) assert.match(userAgent, /^noost\//, request);
  assert.ok((await rig.served()) - servedBefore > NODES.length * 500_000, 'each node had it from its agent');
  const [first] = await rig.pods('default', `app=${name}-n1`);
  assert.equal(first?.spec.containers[0]?.image, `${name}:1${replicas === 0 ? '' : `@${image.root.digest}`}`);
  await more?.(rig);

  await rig.kubernetes.kubectl(['delete', 'deployment,pod', '--all', '--now', DELETE]);
  await rig.kubernetes.kubectl(['delete', '-k', folder, DELETE]);
  const isGone = async (): Promise<boolean> => JSON.stringify(await asFound(rig)) === JSON.stringify(before);
  await poll('what the webhook made has gone, too', isGone, POD_MS).catch(async () => {
    assert.deepEqual(await asFound(rig), before);
  });
}

/** By the door that `kubectl drain` uses. @returns the status that the API server answers. */
async function evict(rig: ClusterRig, {metadata}: Pod): Promise<number> {
  const name = metadata.name ?? '';
  const eviction = {apiVersion: 'policy/v1', kind: 'Eviction', metadata: {name, namespace: NAMESPACE}};
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`;
  return await rig.kubernetes.kubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction)).then(
    () => 201,
    (error: unknown) => (/disruption budget/.test((error as Error).message) ? 429 : Promise.reject(error as Error)),
  );
}

/** Replicas stand on both nodes, the budget holds two of them, and pods are made while one is evicted and while one is killed. */
async function staysUp(rig: ClusterRig): Promise<void> {
  const all = await webhooks(rig, 3);
  assert.deepEqual(
    new Set(NODES.map((node) => all.filter(({spec}) => spec.nodeName === node).length)),
    new Set([1, 2]),
    'as evenly as two nodes allow',
  );
  const budget = ['-n', NAMESPACE, 'get', 'pdb', 'noost-webhook', '-o', 'jsonpath={.status.disruptionsAllowed}'];
  await poll('one may go', async () => (await rig.kubernetes.kubectl(budget)) === '1', POD_MS);
  const [first, second] = all as readonly [Pod, Pod, Pod];
  assert.equal(await evict(rig, first), 201);
  assert.equal(await evict(rig, second), 429);
  for (let i = 0; i < 8; i++) await rig.apply(pod(`during-${String(i)}`, 'ha:1'));
  for (let i = 0; i < 8; i++) await rig.running(`app=during-${String(i)}`, 1);

  const [killed] = (await webhooks(rig, 3)) as readonly [Pod, Pod, Pod];
  await rig.apply(deployment('steady', 'ha:1', 1));
  process.kill(await pidOf(rig, killed), 'SIGKILL');
  await rig.apply(deployment('steady', 'ha:1', 8));
  // Until its address is taken out some of them are refused, or not pinned; who makes pods for a controller tries again.
  await rig.running('app=steady', 8);
}

/** The operator itself is not there: its kinds hold what it would read, and nothing asks for the pods to be scraped twice. */
async function isWatched(rig: ClusterRig): Promise<void> {
  const kinds = ['podmonitors', 'prometheusrules', 'configmaps'].join();
  const found = await rig.kubernetes.kubectl(['-n', NAMESPACE, 'get', kinds, '-o', 'name']);
  for (const one of ['podmonitor.monitoring.coreos.com/noost-agent', 'podmonitor.monitoring.coreos.com/noost-webhook'])
    assert.match(found, new RegExp(`^${one}$`, 'm'));
  assert.match(found, /^prometheusrule\.monitoring\.coreos\.com\/noost$/m);
  assert.match(found, /^configmap\/noost-dashboard$/m);
  for (const {metadata} of await rig.pods(NAMESPACE))
    assert.equal(metadata.annotations?.['prometheus.io/scrape'], undefined, metadata.name ?? '');
}

function isPossible(t: TestContext): boolean {
  return needsKubernetes(t, {nodes: 2}) && needs(t, 'buildah', 'mmdebstrap', 'docker-registry');
}

suite('overlays', {timeout: 1_500_000}, () => {
  let rig: ClusterRig | undefined;
  let folder: string | undefined;
  let image: NoostImage | undefined;
  /** The cluster that stands, or a new one of which the nodes have containerd's configuration in `etc`. */
  const clusterOf = async (etc?: string): Promise<ClusterRig> => {
    if (rig !== undefined && etc === undefined) return rig;
    await rig?.[Symbol.asyncDispose]();
    rig = undefined;
    folder ??= await mkdtemp(join(tmpdir(), 'noost-overlays-'));
    image ??= await makeNoostImage(folder);
    return (rig = await ClusterRig.start({image, ...(etc !== undefined && {env: {CONTAINERD_ETC: etc}})}));
  };
  after(async () => {
    await rig?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, {recursive: true, force: true});
  });

  const overlays: readonly Overlay[] = [
    {name: 'agent-only', replicas: 0},
    {name: 'minimal', replicas: 1},
    {name: 'ha', replicas: 3, more: staysUp},
    {name: 'prometheus-operator', replicas: 3, more: isWatched},
  ];
  for (const overlay of overlays)
    test(`overlays/${overlay.name}: applied, pulled through, deleted, and nothing is left`, async (t) => {
      if (!isPossible(t)) return;
      if (overlay.name === 'prometheus-operator' && !needs(t, 'go')) return;
      const standing = await clusterOf();
      const {kubernetes} = standing;
      if (overlay.name === 'prometheus-operator') {
        const operator = await goModule(t, OPERATOR.module, OPERATOR.version);
        if (operator === undefined) return;
        await applyCrds(kubernetes, join(operator, OPERATOR.crds), /_(?:podmonitors|prometheusrules)\.yaml$/);
      }
      await withEvidence(kubernetes, async () => await comesAndGoes(standing, overlay));
    });

  // Not the programs k3s and RKE2: nodes whose containerd has its configuration where theirs has it.
  for (const name of ['k3s', 'rke2'])
    test(`overlays/${name}: a containerd that is configured in ${name}'s folder asks the agent`, async (t) => {
      if (!isPossible(t)) return;
      const standing = await clusterOf(`/var/lib/rancher/${name}/agent/etc/containerd`);
      await withEvidence(standing.kubernetes, async () => await comesAndGoes(standing, {name, replicas: 3}));
    });
});
