import type {KubeClient} from '../../kube/client.ts';
import {isConflict} from '../../kube/error.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubeObject, OwnerReference} from '../../kube/object.ts';
import {NAMESPACES} from '../../kube/resources.ts';
import type {Labels} from '../admission/context.ts';
import {SWITCH, switchOf, type Switch} from './arming.ts';

export interface NamespacesOptions {
  readonly client: KubeClient;
  /** Our own, whose annotation is the switch. */
  readonly own: string;
  readonly log: KubeLog;
  readonly onChange: () => void;
}

const ASK_MS = 2_000;

/** The cluster's namespaces and their labels. */
export class Namespaces implements AsyncDisposable {
  readonly #options: NamespacesOptions;
  readonly #list: ListWatch<KubeObject>;

  constructor(options: NamespacesOptions) {
    const {client, own, log, onChange} = options;
    this.#options = options;
    this.#list = new ListWatch<KubeObject>({
      client,
      type: NAMESPACES,
      log,
      onSynced: onChange,
      onChange: ({object}) => {
        if (object.metadata.name === own) onChange();
      },
      maxSilenceMs: 30_000,
      maxBackoffMs: 3_000,
      keep: ({metadata: {name, uid, labels, annotations, resourceVersion}}) => ({
        metadata: {
          ...(name !== undefined && {name}),
          ...(uid !== undefined && {uid}),
          ...(resourceVersion !== undefined && {resourceVersion}),
          labels: labels ?? {},
          ...(name === own && annotations?.[SWITCH] !== undefined
            ? {annotations: {[SWITCH]: annotations[SWITCH]}}
            : {}),
        },
      }),
    });
  }

  start(): void {
    this.#list.start();
  }

  get synced(): boolean {
    return this.#list.synced;
  }

  get failure(): Error | undefined {
    return this.#list.failure;
  }

  /** One that is newer than the watch has told is asked for. @throws {Error} if it cannot be learnt. */
  async labelsOf(name: string, signal: AbortSignal): Promise<Labels> {
    const known = this.#list.get(name);
    if (known !== undefined) return known.metadata.labels ?? {};
    const found = await this.#options.client.find<KubeObject>(NAMESPACES, {name}, {signal, deadlineMs: ASK_MS});
    if (found === undefined) throw new Error('there is no such namespace');
    return found.metadata.labels ?? {};
  }

  /** How an administrator set the switch. */
  get switch(): Switch {
    return switchOf(this.#list.get(this.#options.own)?.metadata.annotations);
  }

  /** Our namespace, with which what we make goes. */
  get owner(): OwnerReference | undefined {
    const {name, uid} = this.#list.get(this.#options.own)?.metadata ?? {};
    return name === undefined || uid === undefined ? undefined : {apiVersion: 'v1', kind: 'Namespace', name, uid};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#list.stop();
  }
}

/** Makes a namespace that is not there: outside a cluster nobody has applied manifests. */
export async function ensureNamespace(client: KubeClient, name: string, log: KubeLog): Promise<void> {
  try {
    if ((await client.find(NAMESPACES, {name}, {deadlineMs: 5_000})) !== undefined) return;
    await client.create(NAMESPACES, {}, {metadata: {name}}, {deadlineMs: 5_000});
    log.info('the namespace is made', {namespace: name});
  } catch (error) {
    if (!isConflict(error))
      // another replica was first
      log.warn('the namespace cannot be made', {namespace: name, reason: (error as Error).message});
  }
}
