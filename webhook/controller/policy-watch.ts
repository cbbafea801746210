import {ListWatch, type Change} from '../../kube/list-watch.ts';
import type {KubeClient} from '../../kube/client.ts';
import {isNotFound} from '../../kube/error.ts';
import type {KubeLog} from '../../kube/log.ts';
import {apiVersionOf, keyOf, type KubeObject, type ResourceType} from '../../kube/object.ts';
import {CLUSTER_IMAGE_POLICIES, IMAGE_POLICIES, IMAGE_POLICY_EXCEPTIONS} from '../../kube/resources.ts';
import {compilePolicies, type Compiled} from '../policy/compile.ts';

/** A policy or an exception as the API has it. */
export interface PolicyApiObject extends KubeObject {
  readonly spec?: unknown;
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
  };
}

/** @see https://kubernetes.io/docs/reference/using-api/#condition-v1-meta */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

export const POLICY_TYPES: readonly ResourceType[] = [CLUSTER_IMAGE_POLICIES, IMAGE_POLICIES, IMAGE_POLICY_EXCEPTIONS];
/** Changes that come together are compiled together; what is said to take effect within a second does. */
const TOGETHER_MS = 100;
const MAX_OBJECTS = 20_000;

export interface PolicyWatchOptions {
  readonly client: KubeClient;
  readonly ownNamespace: string;
  readonly log: KubeLog;
  /** After policies were compiled, or a status changed. */
  readonly onChange: () => void;
}

/** All policies and exceptions of the cluster, compiled: what reviews are judged by is one object, replaced as a whole. */
export class PolicyWatch implements AsyncDisposable {
  readonly #options: PolicyWatchOptions;
  readonly #lists: readonly ListWatch<PolicyApiObject>[];
  /** Object → its uid and the generation that was compiled: its status alone changes nothing. */
  readonly #generations = new Map<string, string>();
  #compiled: Compiled | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PolicyWatchOptions) {
    this.#options = options;
    const {client, log} = options;
    this.#lists = POLICY_TYPES.map(
      (type) =>
        new ListWatch<PolicyApiObject>({
          client,
          type,
          log,
          maxItems: MAX_OBJECTS,
          maxSilenceMs: 30_000,
          maxBackoffMs: 3_000,
          // Lists leave out what each item is.
          keep: ({metadata, spec, status}) => ({
            apiVersion: apiVersionOf(type),
            kind: type.kind,
            metadata: slim(metadata),
            spec,
            ...(status === undefined ? {} : {status}),
          }),
          onChange: (change) => this.#changed(type, change),
          onSynced: () => this.#schedule(),
        }),
    );
  }

  start(): void {
    for (const list of this.#lists) list.start();
  }

  /** What reviews are judged by; `undefined` as long as not everything was listed once. */
  get compiled(): Compiled | undefined {
    return this.#compiled;
  }

  /** Why policies are not known, or may be old. */
  get failure(): Error | undefined {
    const failure = this.#lists.map((list) => list.failure).find((one) => one !== undefined);
    if (!isNotFound(failure)) return failure;
    return new Error('their kinds are not installed: kubectl apply -f manifests/crds', {cause: failure});
  }

  objects(): PolicyApiObject[] {
    return this.#lists.flatMap((list) => [...list.values()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all(this.#lists.map((list) => list.stop()));
  }

  #changed({kind}: ResourceType, {type, object}: Change<PolicyApiObject>): void {
    const key = `${kind} ${keyOf(object)}`;
    const generation = `${object.metadata.uid ?? ''} ${object.metadata.generation ?? 0}`;
    if (type === 'modified' && this.#generations.get(key) === generation) return this.#options.onChange();
    if (type === 'deleted') this.#generations.delete(key);
    else this.#generations.set(key, generation);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#lists.every(({synced}) => synced)) return;
    this.#timer ??= setTimeout(() => this.#compile(), this.#compiled === undefined ? 0 : TOGETHER_MS);
  }

  #compile(): void {
    this.#timer = undefined;
    const {ownNamespace, onChange, log} = this.#options;
    this.#compiled = compilePolicies(this.objects(), {ownNamespace});
    for (const {kind, name, issues} of this.#compiled.problems)
      log.warn('a policy or exception cannot be used as it is', {
        kind,
        name,
        issue: `${issues[0]?.path ?? ''}: ${issues[0]?.message ?? ''}`,
      });
    onChange();
  }
}

function slim({
  name,
  namespace,
  uid,
  generation,
  resourceVersion,
}: PolicyApiObject['metadata']): PolicyApiObject['metadata'] {
  return {
    ...(name !== undefined && {name}),
    ...(namespace !== undefined && {namespace}),
    ...(uid !== undefined && {uid}),
    ...(generation !== undefined && {generation}),
    ...(resourceVersion !== undefined && {resourceVersion}),
  };
}
