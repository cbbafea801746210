import type {KubeClient} from '../../kube/client.ts';
import {connect} from '../../kube/connect.ts';
import type {KubeObject, ResourceType} from '../../kube/object.ts';
import * as resources from '../../kube/resources.ts';
import {apiVersionOf} from '../../kube/object.ts';
import {newNameMap} from '../../oci/name-map.ts';
import {VERSION} from '../../proc/version.ts';
import {Identities} from '../admission/identity.ts';
import {loadWebhookConfig} from '../config/load.ts';
import {compilePolicies, type Compiled} from '../policy/compile.ts';
import {isJson} from '../policy/read-object.ts';
import {GROUP} from '../policy/shape.ts';
import {validatePolicyObject} from '../policy/validate.ts';
import {nameOf, ObjectsError, readObjects, type Found} from './read-objects.ts';

/** Where policies and what they are judged beside come from. */
export interface Sources {
  /** Files and folders; none: the cluster's. */
  readonly policyFiles: readonly string[];
  readonly kubeconfig: string | undefined;
  /** Of the webhook: how it renames and whether it pins. */
  readonly config: string | undefined;
  readonly namespaceLabels: Readonly<Record<string, string>>;
}

/** Everything but the objects that are judged. */
export interface Opened {
  readonly policies: Compiled;
  readonly identities: Identities;
  readonly pins: boolean;
  /** `undefined` where no cluster is needed. */
  readonly client: KubeClient | undefined;
  labelsOf(namespace: string): Readonly<Record<string, string>>;
}

const PAGE = 500;
const LIVE_TYPES: readonly ResourceType[] = [
  resources.PODS,
  resources.DEPLOYMENTS,
  resources.STATEFUL_SETS,
  resources.DAEMON_SETS,
  resources.REPLICA_SETS,
  resources.JOBS,
  resources.CRON_JOBS,
];

/**
 * Reads policies and what is known of namespaces.
 * @param objects may hold Namespaces, whose labels count.
 * @param live whether a cluster is needed for the objects as well.
 * @throws {ObjectsError | ConfigError | KubeError}
 */
export async function openSources(sources: Sources, objects: readonly Found[], live: boolean): Promise<Opened> {
  const config = await loadWebhookConfig(sources.config === undefined ? {} : {config: sources.config}, {});
  const isLocal = sources.policyFiles.length > 0;
  const client =
    isLocal && !live ? undefined : await connect({kubeconfig: sources.kubeconfig, userAgent: `noost-check/${VERSION}`});
  const files = isLocal ? await readObjects(sources.policyFiles) : [];
  const policies = isLocal ? policiesIn(files, sources.policyFiles) : await livePolicies(client);
  const namespaces = [...files, ...objects].filter(({object}) => object['kind'] === 'Namespace');
  const labels = new Map(client === undefined ? [] : await liveNamespaces(client));
  for (const {object} of namespaces) {
    const metadata = isJson(object['metadata']) ? object['metadata'] : {};
    const own = isJson(metadata['labels']) ? metadata['labels'] : {};
    labels.set(String(metadata['name']), own as Readonly<Record<string, string>>);
  }
  return {
    policies: compilePolicies(policies, {ownNamespace: config.namespace}),
    identities: new Identities(newNameMap(config.rewrite)),
    pins: config.pin.enabled,
    client,
    labelsOf: (namespace) => ({...labels.get(namespace), ...sources.namespaceLabels}),
  };
}

function policiesIn(files: readonly Found[], paths: readonly string[]): unknown[] {
  // By group alone: a kind with a typing error is told, not passed over.
  const policies = files.filter(({object}) => String(object['apiVersion']).startsWith(`${GROUP}/`));
  if (policies.length === 0) throw new ObjectsError(`${paths.join(', ')}: no image policy is there`);
  const wrong = policies.flatMap(({where, object}) =>
    validatePolicyObject(object).map(
      ({path, message}) => `  ${where}: ${String(object['kind'])} ${nameOf(object) || '?'}: ${path}: ${message}`,
    ),
  );
  if (wrong.length > 0) throw new ObjectsError(['Policies have errors', ...wrong].join('\n'));
  return policies.map(({object}) => object);
}

async function livePolicies(client: KubeClient | undefined): Promise<unknown[]> {
  if (client === undefined) return [];
  const types = [resources.CLUSTER_IMAGE_POLICIES, resources.IMAGE_POLICIES, resources.IMAGE_POLICY_EXCEPTIONS];
  return (await Promise.all(types.map((type) => listAll(client, type)))).flat();
}

async function liveNamespaces(client: KubeClient): Promise<[string, Readonly<Record<string, string>>][]> {
  const found = await listAll(client, resources.NAMESPACES);
  return found.map(({metadata}) => [metadata.name ?? '', metadata.labels ?? {}]);
}

/** Pods and workloads of a namespace as they are; what a controller looks after is told once, by its pods. */
export async function readLive(client: KubeClient, namespace: string): Promise<Found[]> {
  const found = await Promise.all(LIVE_TYPES.map((type) => listAll(client, type, namespace)));
  return found
    .flat()
    .filter(({kind, metadata}) => kind === 'Pod' || !metadata.ownerReferences?.some(({controller}) => controller))
    .map((object) => ({where: 'cluster', object: object as unknown as Found['object']}));
}

async function listAll(client: KubeClient, type: ResourceType, namespace?: string): Promise<KubeObject[]> {
  const all: KubeObject[] = [];
  for (let from: string | undefined; ;) {
    const page = await client.list<KubeObject>(type, {namespace, limit: PAGE, continue: from, deadlineMs: 30_000});
    for (const item of page.items) all.push({...item, apiVersion: apiVersionOf(type), kind: type.kind});
    from = page.metadata.continue;
    if (from === undefined || from === '') return all;
  }
}
