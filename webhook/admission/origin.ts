import type {AdmissionRequest, JsonObject, User} from './review.ts';

export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** `Kind.group` of those whose pods may differ from their templates: they never compare them again. */
const BUILT_IN: ReadonlySet<string> = new Set([
  'ReplicationController.',
  'ReplicaSet.apps',
  'StatefulSet.apps',
  'DaemonSet.apps',
  'Job.batch',
]);
const MIRROR = 'kubernetes.io/config.mirror';
/** Istio's injection replaces `image: auto`; other marks of the same project (policy-peers §4). */
const INJECTED = /^(?:sidecar\.istio\.io|inject\.istio\.io)\//;

/** Who made the pod and will look after it, if somebody says so. */
export function controllerOf(object: JsonObject | undefined): Owner | undefined {
  const owners = record(object?.['metadata'])['ownerReferences'];
  if (!Array.isArray(owners)) return undefined;
  const owner = owners.map(record).find(({controller}) => controller === true);
  if (owner === undefined) return undefined;
  const {apiVersion, kind, name, uid} = owner;
  return {apiVersion: textOf(apiVersion), kind: textOf(kind), name: textOf(name), uid: textOf(uid)};
}

/** `Rollout.argoproj.io`, `ReplicaSet.apps`, `Pod.` for the core group. */
export function ownerKind({apiVersion, kind}: Owner): string {
  const slash = apiVersion.indexOf('/');
  return `${kind}.${slash === -1 ? '' : apiVersion.slice(0, slash)}`;
}

/** Whether a controller may find that its pod differs from its template, and replace it for ever. */
export function isForeign(owner: Owner | undefined): boolean {
  return owner !== undefined && !BUILT_IN.has(ownerKind(owner));
}

/**
 * The API's copy of a pod that a kubelet runs from a file: it runs already, whatever is said of the copy. Only a kubelet
 * makes one; the mark alone is anybody's.
 */
export function isMirrorPod({object, user}: AdmissionRequest): boolean {
  return isNode(user) && record(record(object?.['metadata'])['annotations'])[MIRROR] !== undefined;
}

function isNode({username, groups}: User): boolean {
  return username.startsWith('system:node:') && groups.includes('system:nodes');
}

/** Whether an injector will write the image of a container that says `auto`. */
export function isInjected(object: JsonObject | undefined): boolean {
  const metadata = record(object?.['metadata']);
  return [metadata['labels'], metadata['annotations']].some((marks) =>
    Object.keys(record(marks)).some((key) => INJECTED.test(key)),
  );
}

/** Names of the pod's pull secrets; the API server has added those of its service account. */
export function pullSecretsOf(spec: JsonObject): readonly string[] {
  const secrets = spec['imagePullSecrets'];
  if (!Array.isArray(secrets)) return [];
  return secrets
    .map((secret) => textOf(record(secret)['name']))
    .filter((name) => /^[a-z0-9][a-z0-9.-]{0,252}$/.test(name));
}

function record(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
