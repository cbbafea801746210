/** `metadata.ownerReferences[]`: who goes, takes what it owns along. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** What every object of the API has, as JSON has it: times are text (client-node's types say Date, which JSON is not). */
export interface ObjectMeta {
  readonly name?: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface KubeList<T> {
  readonly metadata: {
    readonly resourceVersion?: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly T[];
}

/** A kind of object and where the API keeps it. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Which object of a kind, or which collection. */
export interface Place {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/** `v1`, `apps/v1`, … */
export function apiVersionOf({group, version}: ResourceType): string {
  return group === '' ? version : `${group}/${version}`;
}

/**
 * The path below the API server's address. Every part is encoded: a name cannot leave its place.
 * @throws {TypeError} for a namespaced object without a namespace, or a name that could not be one.
 */
export function pathOf(type: ResourceType, {namespace, name, subresource}: Place): string {
  if (name !== undefined && type.namespaced && namespace === undefined)
    throw new TypeError(`A namespace is needed to name one of ${type.plural}`);
  const parts = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version];
  if (namespace !== undefined && type.namespaced) parts.push('namespaces', namespace);
  parts.push(type.plural);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(...subresource.split('/'));
  for (const part of parts)
    if (part === '' || part === '.' || part === '..') throw new TypeError(`Not a name in ${type.plural}: '${part}'`);
  return `/${parts.map(encodeURIComponent).join('/')}`;
}

/** `namespace/name`, or the name alone: unique among the objects of one kind, for neither holds a slash. */
export function keyOf({metadata}: KubeObject): string {
  return key(metadata.name ?? '', metadata.namespace);
}

export function key(name: string, namespace?: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
