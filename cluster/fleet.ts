import type {KubeClient} from '../kube/client.ts';
import {KubeError} from '../kube/error.ts';
import {DAEMON_SETS, DEPLOYMENTS, NODES, PODS, VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS} from '../kube/resources.ts';
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

/** What is known of one node. */
export interface NodeStatus {
  readonly node: string;
  /** The agent's pod. `undefined`: there is none. */
  readonly pod: string | undefined;
  readonly ready: boolean;
  readonly version: string | undefined;
  readonly cacheBytes: number | undefined;
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
    | {readonly ready: number; readonly wanted: number; readonly failurePolicy: string | undefined}
    | undefined;
  readonly problems: readonly string[];
}

/**
 * All agents and the webhook of a cluster, asked through the API server with the caller's own rights.
 * @throws {KubeError} if even the pods may not be listed.
 */
export async function readFleet(client: KubeClient, namespace: string): Promise<Fleet> {
  const [daemonSet, pods, nodes, webhook] = await Promise.all([
    client.find<DaemonSet>(DAEMON_SETS, {namespace, name: AGENT}),
    client.list<Pod>(PODS, {namespace, labelSelector: AGENTS}),
    client.list<Node>(NODES).then(
      ({items}) => items,
      (error: unknown) => refused(error), // a user of one namespace sees the agents all the same
    ),
    readWebhook(client, namespace),
  ]);
  const problems = daemonSet === undefined ? [`there is no DaemonSet ${namespace}/${AGENT}: is Noost installed?`] : [];
  const asked = await inTurn(pods.items, async (pod) => await readAgent(client, namespace, pod));
  const covered = new Set(asked.map(({node}) => node));
  const without = (nodes ?? [])
    .filter(({status}) => (status?.nodeInfo?.operatingSystem ?? 'linux') === 'linux')
    .filter(({metadata}) => !covered.has(metadata.name ?? ''))
    .map(({metadata}) => unknown(metadata.name ?? '', undefined, ['no agent']));
  const down = new Set(
    (nodes ?? []).filter(({status}) => !holds(status?.conditions, 'Ready')).map(({metadata}) => metadata.name),
  );
  const all = [...asked, ...(daemonSet === undefined ? [] : without)].map((one) =>
    down.has(one.node) ? {...one, ready: false, problems: ['the node is not ready', ...one.problems]} : one,
  );
  return {nodes: all.toSorted((a, b) => a.node.localeCompare(b.node)), webhook, problems};
}

async function readAgent(client: KubeClient, namespace: string, pod: Pod): Promise<NodeStatus> {
  const name = pod.metadata.name ?? '';
  const node = pod.spec?.nodeName ?? '(not scheduled)';
  const ready = holds(pod.status?.conditions, 'Ready');
  const problems = ready ? [] : [whyNotReady(pod)];
  if (pod.status?.phase !== 'Running') return unknown(node, name, problems);
  try {
    const path = `/api/v1/namespaces/${namespace}/pods/${name}:${String(METRICS_PORT)}/proxy/metrics`;
    const page = new MetricsPage(await client.raw(path, {deadlineMs: ANSWER_MS, maxBytes: MAX_PAGE}));
    const failed = page.sum('noost_node_folders', ['outcome', 'failed']) ?? 0;
    if (failed > 0) problems.push(`${String(failed)} of the node's hosts.toml files could not be written: see its log`);
    return {
      node,
      pod: name,
      ready,
      version: page.label('noost_build_info', 'version'),
      cacheBytes: page.sum('noost_cache_bytes'),
      cacheMaxBytes: page.sum('noost_cache_max_bytes'),
      servedBytes: page.sum('noost_response_bytes_total'),
      savedBytes: page.sum('noost_upstream_saved_bytes_total'),
      folders: page.sum('noost_node_folders', ['outcome', 'written']),
      problems,
    };
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    return unknown(node, name, [...problems, `its agent could not be asked: ${error.message}`]);
  }
}

function whyNotReady({status}: Pod): string {
  const [container] = status?.containerStatuses ?? [];
  const waiting = container?.state?.waiting;
  if (waiting?.reason !== undefined) return `its agent waits: ${waiting.reason} ${waiting.message ?? ''}`.trim();
  return `its agent is not ready${(container?.restartCount ?? 0) > 0 ? `, restarted ${String(container?.restartCount)} times` : ''}`;
}

function unknown(node: string, pod: string | undefined, problems: readonly string[]): NodeStatus {
  const none = {cacheBytes: undefined, cacheMaxBytes: undefined, servedBytes: undefined, savedBytes: undefined};
  return {node, pod, ready: false, version: undefined, folders: undefined, ...none, problems};
}

async function readWebhook(client: KubeClient, namespace: string): Promise<Fleet['webhook']> {
  const deployment = await client.find<Deployment>(DEPLOYMENTS, {namespace, name: WEBHOOK});
  if (deployment === undefined) return undefined;
  const armed = await Promise.all(
    [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS].map((type) =>
      client.find<WebhookConfiguration>(type, {name: WEBHOOK}).catch((error: unknown) => refused(error)),
    ),
  );
  const policies = armed.flatMap((one) => one?.webhooks?.map(({failurePolicy}) => failurePolicy) ?? []);
  return {
    ready: deployment.status?.readyReplicas ?? 0,
    wanted: deployment.spec?.replicas ?? 0,
    failurePolicy: policies.includes('Fail') ? 'Fail' : policies[0],
  };
}

/** What one may not see is not known; anything else is a failure. */
function refused(error: unknown): undefined {
  if (error instanceof KubeError && error.code === 403) return undefined;
  throw error;
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
