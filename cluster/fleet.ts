import type {KubeClient} from '../kube/client.ts';
import {humanSize} from '../agent/commands/human.ts';
import {KubeError} from '../kube/error.ts';
import {
  DAEMON_SETS,
  DEPLOYMENTS,
  MUTATING_WEBHOOKS,
  NAMESPACES,
  NODES,
  PODS,
  VALIDATING_WEBHOOKS,
} from '../kube/resources.ts';
import {switchOf, type Switch} from '../webhook/controller/arming.ts';
import {MetricsPage} from './metrics-page.ts';
import {holds, type DaemonSet, type Deployment, type Node, type Pod, type WebhookConfiguration} from './objects.ts';

export const AGENT = 'noost-agent';
export const WEBHOOK = 'noost-webhook';
const AGENTS = 'app.kubernetes.io/name=noost,app.kubernetes.io/component=agent';
const METRICS_PORT = 5057;
/** Agents that are asked at the same time. */
const AT_ONCE = 16;
const ANSWER_MS = 5000;
const MAX_PAGE = 4 * 1024 * 1024;
/** A cache that may hold less keeps few images whole; only the disk's being full makes it so small, unless it is set. */
const SMALL_BYTES = 1024 ** 3;

/** What is known of one node. */
export interface NodeStatus {
  readonly node: string;
  /** The agent's pod. `undefined`: there is none. */
  readonly pod: string | undefined;
  readonly ready: boolean;
  readonly version: string | undefined;
  readonly cacheBytes: number | undefined;
  /** What it may hold: its limit, or less where others fill the disk. */
  readonly cacheMaxBytes: number | undefined;
  /** Bytes given to this node since its agent began, and how many of them no upstream had to send again. */
  readonly servedBytes: number | undefined;
  readonly savedBytes: number | undefined;
  /** Folders of hosts.toml files in which the agent stands. */
  readonly folders: number | undefined;
  /** What is wrong, in words. */
  readonly problems: readonly string[];
}

export interface Fleet {
  readonly nodes: readonly NodeStatus[];
  /** `undefined`: not installed. */
  readonly webhook:
    | {
        readonly ready: number;
        readonly wanted: number;
        /** `undefined`: it is not armed; `hidden`: the caller may not see that. */
        readonly failurePolicy: string | undefined;
        /** What an administrator's annotation on its namespace says, if there is one and the caller may see it. */
        readonly switch: Switch;
      }
    | undefined;
  readonly problems: readonly string[];
  /** What the caller may not see, in words. */
  readonly hidden: readonly string[];
}

/**
 * All agents and the webhook of a cluster, asked through the API server with the caller's own rights.
 * @throws {KubeError} if even the pods may not be listed.
 */
export async function readFleet(client: KubeClient, namespace: string): Promise<Fleet> {
  const hidden = new Set<string>();
  /** What one may not see is not known; anything else is a failure. */
  const ifAllowed = async <T>(what: string, asked: Promise<T>): Promise<T | undefined> =>
    await asked.catch((error: unknown) => {
      if (!isForbidden(error)) throw error;
      hidden.add(what);
      return undefined;
    });
  const [daemonSets, pods, nodes, webhook] = await Promise.all([
    ifAllowed(
      `the DaemonSet ${namespace}/${AGENT}`,
      client.find<DaemonSet>(DAEMON_SETS, {namespace, name: AGENT}).then((found) => [found]),
    ),
    client.list<Pod>(PODS, {namespace, labelSelector: AGENTS}),
    ifAllowed('nodes: one without an agent is not shown', client.list<Node>(NODES)),
    readWebhook(client, namespace, ifAllowed),
  ]);
  const isMissing = daemonSets !== undefined && daemonSets[0] === undefined;
  const problems = isMissing ? [`there is no DaemonSet ${namespace}/${AGENT}: is Noost installed?`] : [];
  const asked = await inTurn(current(pods.items), async (pod) => await readAgent(client, namespace, pod, ifAllowed));
  const all = withNodes(asked, nodes?.items ?? [], isMissing);
  return {nodes: all.toSorted((a, b) => a.node.localeCompare(b.node)), webhook, problems, hidden: [...hidden]};
}

type IfAllowed = <T>(what: string, asked: Promise<T>) => Promise<T | undefined>;

function isForbidden(error: unknown): boolean {
  return error instanceof KubeError && error.code === 403;
}

/** While a node's agent is replaced it has two pods: the one that ends is not shown. */
function current(pods: readonly Pod[]): readonly Pod[] {
  const stays = (pod: Pod): boolean => pod.metadata.deletionTimestamp === undefined;
  const replaced = new Set(pods.filter(stays).map(({spec}) => spec?.nodeName));
  return pods.filter((pod) => stays(pod) || !replaced.has(pod.spec?.nodeName));
}

function withNodes(asked: readonly NodeStatus[], nodes: readonly Node[], isMissing: boolean): readonly NodeStatus[] {
  const covered = new Set(asked.map(({node}) => node));
  const without = nodes
    .filter(({status}) => (status?.nodeInfo?.operatingSystem ?? 'linux') === 'linux')
    .filter(({metadata}) => !covered.has(metadata.name ?? ''))
    .map(({metadata}) => unknown({node: metadata.name ?? '', pod: undefined, ready: false, problems: ['no agent']}));
  const down = new Set(
    nodes.filter(({status}) => !holds(status?.conditions, 'Ready')).map(({metadata}) => metadata.name),
  );
  return [...asked, ...(isMissing ? [] : without)].map((one) =>
    down.has(one.node) ? {...one, ready: false, problems: ['the node is not ready', ...one.problems]} : one,
  );
}

async function readAgent(client: KubeClient, namespace: string, pod: Pod, ifAllowed: IfAllowed): Promise<NodeStatus> {
  const name = pod.metadata.name ?? '';
  const node = pod.spec?.nodeName ?? '(not scheduled)';
  const ready = holds(pod.status?.conditions, 'Ready');
  const problems = ready ? [] : [whyNotReady(pod)];
  const seen = {node, pod: name, ready, problems};
  if (pod.status?.phase !== 'Running') return unknown(seen);
  try {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}:${String(METRICS_PORT)}/proxy/metrics`;
    const asked = client.raw(path, {deadlineMs: ANSWER_MS, maxBytes: MAX_PAGE});
    const text = await ifAllowed('pods/proxy: what the agents themselves say is not shown', asked);
    return text === undefined ? unknown(seen) : known(seen, new MetricsPage(text));
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    const why =
      error.reason === 'Timeout' && error.code === 0
        ? `its agent did not answer within ${String(ANSWER_MS / 1000)} s: if it hangs, the kubelet restarts it`
        : `its agent could not be asked: ${error.message}`;
    return unknown({...seen, ready: false, problems: [...problems, why]});
  }
}

/** What is known without asking the agent. */
type Seen = Pick<NodeStatus, 'node' | 'pod' | 'ready' | 'problems'>;

function known(seen: Seen, page: MetricsPage): NodeStatus {
  const [maxBytes, capacityBytes] = [page.sum('noost_cache_max_bytes'), page.sum('noost_cache_capacity_bytes')];
  return {
    ...seen,
    version: page.label('noost_build_info', 'version'),
    cacheBytes: page.sum('noost_cache_bytes'),
    cacheMaxBytes: capacityBytes ?? maxBytes,
    servedBytes: page.sum('noost_response_bytes_total'),
    savedBytes: page.sum('noost_upstream_saved_bytes_total'),
    folders: page.sum('noost_node_folders', ['outcome', 'written']),
    problems: [...seen.problems, ...ofFiles(seen, page), ...ofDisk(capacityBytes, maxBytes)],
  };
}

function ofFiles({pod = '', ready}: Seen, page: MetricsPage): readonly string[] {
  const count = (outcome: string): number | undefined => page.sum('noost_node_folders', ['outcome', outcome]);
  const failed = count('failed') ?? 0;
  if (failed > 0)
    return [`${String(failed)} of the node's hosts.toml files could not be written: see the log of ${pod}`];
  // Where it is not to configure the node there is no such metric; an agent that is not ready takes itself out.
  if (ready && count('written') === 0) return [`its containerd does not ask the agent: the log of ${pod} says why`];
  return [];
}

function ofDisk(capacityBytes: number | undefined, maxBytes: number | undefined): readonly string[] {
  if (capacityBytes === undefined || maxBytes === undefined) return []; // an agent of another version
  if (capacityBytes >= Math.min(maxBytes, SMALL_BYTES)) return [];
  const room = capacityBytes === 0 ? 'no room' : `room for ${humanSize(capacityBytes)} only`;
  return [`the disk leaves its cache ${room} (cache.minFreeDisk): what does not fit passes through without being kept`];
}

function whyNotReady({metadata, status}: Pod): string {
  if (metadata.deletionTimestamp !== undefined) return 'its agent ends';
  const [container] = status?.containerStatuses ?? [];
  const waiting = container?.state?.waiting;
  if (waiting?.reason !== undefined) return `its agent waits: ${waiting.reason} ${waiting.message ?? ''}`.trim();
  const restarts = container?.restartCount ?? 0;
  if (restarts === 0) return 'its agent is not ready';
  return `its agent is not ready, restarted ${restarts === 1 ? 'once' : `${String(restarts)} times`}`;
}

function unknown(seen: Seen): NodeStatus {
  const none = {cacheBytes: undefined, cacheMaxBytes: undefined, servedBytes: undefined, savedBytes: undefined};
  return {...seen, version: undefined, folders: undefined, ...none};
}

async function readWebhook(client: KubeClient, namespace: string, ifAllowed: IfAllowed): Promise<Fleet['webhook']> {
  const deployment = await ifAllowed(
    `the Deployment ${namespace}/${WEBHOOK}`,
    client.find<Deployment>(DEPLOYMENTS, {namespace, name: WEBHOOK}),
  );
  if (deployment === undefined) return undefined;
  const types = [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS];
  const found = await ifAllowed(
    'the webhook configurations: whether it is armed is not shown',
    Promise.all(types.map(async (type) => await client.find<WebhookConfiguration>(type, {name: WEBHOOK}))),
  );
  const policies = found?.flatMap((one) => one?.webhooks?.map(({failurePolicy}) => failurePolicy) ?? []) ?? ['hidden'];
  const failurePolicy = policies.includes('Fail') ? 'Fail' : policies[0];
  return {
    ready: deployment.status?.readyReplicas ?? 0,
    wanted: deployment.spec?.replicas ?? 0,
    failurePolicy,
    switch: failurePolicy === 'Fail' ? undefined : await readSwitch(client, namespace, ifAllowed),
  };
}

async function readSwitch(client: KubeClient, namespace: string, ifAllowed: IfAllowed): Promise<Switch> {
  const what = `the Namespace ${namespace}: whether the webhook was switched off is not shown`;
  const found = await ifAllowed(what, client.find(NAMESPACES, {name: namespace}));
  return switchOf(found?.metadata.annotations);
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all(Array.from({length: AT_ONCE}, worker));
  return results;
}
