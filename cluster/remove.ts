import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from '../kube/client.ts';
import {KubeError} from '../kube/error.ts';
import {DAEMON_SETS, NODES, PODS} from '../kube/resources.ts';
import {AGENT} from './fleet.ts';
import {holds, type DaemonSet, type Node, type Pod} from './objects.ts';

const AGENTS = 'app.kubernetes.io/name=noost,app.kubernetes.io/component=agent';
/** What tells an agent to take all agents out of its node's files, and to be ready when none is left (docs/node.md). */
export const REMOVE = ['--node-configure', 'remove'] as const;
const EVERY_MS = 1000;
/** A node that is not ready may be about to be. */
const PATIENCE_MS = 10_000;

/** How far a node is. */
export interface NodeRemoval {
  readonly node: string;
  readonly clean: boolean;
  readonly why: string | undefined;
}

/**
 * Has every agent give its node's files back, and waits until each has proved that no file names an agent any more. Applying
 * the manifests again takes it back.
 * @param told called whenever a node's state changes.
 * @returns all nodes that have an agent, as they were when all were clean, none could become so, or the time was over;
 *   `undefined` if there is no DaemonSet.
 */
export async function removeFromNodes(
  client: KubeClient,
  namespace: string,
  {timeoutMs, told}: {readonly timeoutMs: number; readonly told: (removal: NodeRemoval) => void},
): Promise<readonly NodeRemoval[] | undefined> {
  const found = await client.find<DaemonSet>(DAEMON_SETS, {namespace, name: AGENT});
  if (found === undefined) return undefined;
  await order(client, namespace, found);
  const known = new Map<string, string>();
  const end = performance.now() + timeoutMs;
  let hopelessSince: number | undefined;
  for (;;) {
    const removals = await look(client, namespace);
    for (const one of removals) {
      const text = JSON.stringify(one);
      if (known.get(one.node) !== text) told(one);
      known.set(one.node, text);
    }
    const now = performance.now();
    const rest = removals.filter(({clean}) => !clean);
    if (rest.length > 0 && rest.every(({why}) => why === NOT_READY)) hopelessSince ??= now;
    else hopelessSince = undefined;
    const isHopeless = hopelessSince !== undefined && now - hopelessSince > PATIENCE_MS;
    if ((rest.length === 0 && removals.length > 0) || isHopeless || now > end) return removals;
    await delay(EVERY_MS);
  }
}

/** As agents say it. A container that began on such a file system keeps seeing it so. */
const READ_ONLY = 'read-only';
const NOT_READY = 'the node is not ready, so that nothing can be done there';

/** Changes only what `kubectl apply` of the manifests changes back. */
async function order(client: KubeClient, namespace: string, {metadata, spec}: DaemonSet): Promise<void> {
  const containers = spec?.template?.spec?.containers ?? [];
  const at = containers.findIndex(({name}) => name === 'agent');
  const args = containers[at]?.args ?? ['agent'];
  if (at < 0) throw new Error(`The DaemonSet ${AGENT} has no container "agent"`);
  if (isToRemove(args)) return;
  const json = [
    {op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion},
    {op: 'add', path: `/spec/template/spec/containers/${String(at)}/args`, value: [...args, ...REMOVE]},
    {op: 'add', path: '/spec/updateStrategy', value: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '100%'}}},
  ];
  await client.patch(DAEMON_SETS, {namespace, name: AGENT}, {json}, {fieldManager: 'noost-uninstall'});
}

function isToRemove(args: readonly string[] | undefined): boolean {
  const at = args?.lastIndexOf(REMOVE[0]) ?? -1;
  return at >= 0 && args?.[at + 1] === REMOVE[1];
}

async function look(client: KubeClient, namespace: string): Promise<readonly NodeRemoval[]> {
  const [pods, nodes] = await Promise.all([
    client.list<Pod>(PODS, {namespace, labelSelector: AGENTS}),
    client.list<Node>(NODES),
  ]);
  const removals = new Map<string, NodeRemoval>();
  for (const pod of pods.items) {
    const node = pod.spec?.nodeName;
    if (node === undefined || removals.get(node)?.clean === true) continue;
    removals.set(node, stateOf(node, pod, nodes.items));
  }
  // Between the old pod and the new one there is none.
  for (const {metadata, status} of nodes.items) {
    const node = metadata.name ?? '';
    if (removals.has(node) || (status?.nodeInfo?.operatingSystem ?? 'linux') !== 'linux') continue;
    removals.set(node, {node, clean: false, why: 'there is no agent on it now'});
  }
  const sorted = [...removals.values()].toSorted((a, b) => a.node.localeCompare(b.node));
  const asked = new Set(sorted.filter(({why}) => why === CLEANS).slice(0, MAX_ASKED));
  return await Promise.all(
    sorted.map(async (one) => {
      if (one.why !== CLEANS) return one;
      const pod = pods.items.find((other) => other.spec?.nodeName === one.node && isCleaning(other));
      return {...one, why: await whyItCleans(client, namespace, pod?.metadata.name ?? '', asked.has(one))};
    }),
  );
}

const CLEANS = 'its agent cleans';
/** Agents that are asked at each look why they are not done: of many the first say what is wrong. */
const MAX_ASKED = 16;
const ANSWER_MS = 2000;

/** In the agent's own words, if it and the caller's rights let us have them. */
async function whyItCleans(client: KubeClient, namespace: string, name: string, isAsked: boolean): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}:5057/proxy/readyz`;
  const said = isAsked
    ? await client.raw(path, {deadlineMs: ANSWER_MS}).then(
        () => undefined, // it has just become ready
        (error: unknown) => (error instanceof KubeError && error.code === 503 ? error.text : undefined),
      )
    : undefined;
  if (said === undefined) return `${CLEANS}: kubectl -n ${namespace} logs ${name}`;
  const again = said.includes(READ_ONLY) ? `; when it can be written: kubectl -n ${namespace} delete pod ${name}` : '';
  return `its agent cannot clean it: ${said}${again}`;
}

function isCleaning({metadata, spec}: Pod): boolean {
  const args = spec?.containers?.find(({name}) => name === 'agent')?.args;
  return isToRemove(args) && metadata.deletionTimestamp === undefined;
}

function stateOf(node: string, pod: Pod, nodes: readonly Node[]): NodeRemoval {
  const isNodeReady = holds(nodes.find(({metadata}) => metadata.name === node)?.status?.conditions, 'Ready');
  if (!isNodeReady) return {node, clean: false, why: NOT_READY};
  if (!isCleaning(pod)) return {node, clean: false, why: 'its agent ends'};
  if (holds(pod.status?.conditions, 'Ready')) return {node, clean: true, why: undefined};
  return {node, clean: false, why: CLEANS};
}
