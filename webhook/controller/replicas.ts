import type {KubeClient} from '../../kube/client.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubeObject} from '../../kube/object.ts';
import {DEPLOYMENTS, ENDPOINT_SLICES} from '../../kube/resources.ts';

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: {readonly ready?: boolean | null; readonly terminating?: boolean | null};
  }[];
}

interface Deployment extends KubeObject {
  readonly spec?: {readonly replicas?: number};
}

export interface ReplicasOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Service, and of the Deployment behind it. */
  readonly service: string;
  readonly onChange: () => void;
  readonly log: KubeLog;
}

/** How many replicas the API server can call, by the endpoints of our Service; and how many there should be. */
export class Replicas implements AsyncDisposable {
  readonly #slices: ListWatch<EndpointSlice>;
  readonly #deployments: ListWatch<Deployment>;
  #wasDeployed = false;

  constructor({client, namespace, service, onChange, log}: ReplicasOptions) {
    const common = {client, namespace, onChange, onSynced: onChange, maxSilenceMs: 30_000, maxBackoffMs: 3000, log};
    const labelSelector = `kubernetes.io/service-name=${service}`;
    this.#slices = new ListWatch<EndpointSlice>({...common, type: ENDPOINT_SLICES, labelSelector});
    this.#deployments = new ListWatch<Deployment>({
      ...common,
      type: DEPLOYMENTS,
      fieldSelector: `metadata.name=${service}`,
      onChange: () => {
        this.#wasDeployed = true;
        onChange();
      },
      keep: ({metadata, spec}) => ({metadata, spec: {replicas: spec?.replicas ?? 1}}),
    });
  }

  start(): void {
    this.#slices.start();
    this.#deployments.start();
  }

  /** Addresses, each once: an address of two families or ports stands in several slices. */
  get ready(): number {
    const isReady = (ready: boolean | null | undefined): boolean => ready !== false; // not said means yes
    const all = [...this.#slices.values()].flatMap(({endpoints}) => endpoints ?? []);
    const up = all.filter(({conditions}) => isReady(conditions?.ready) && conditions?.terminating !== true);
    return new Set(up.map(({addresses}) => addresses?.[0])).size;
  }

  /** 0 after the Deployment was deleted; `undefined` if there never was one, or we may not know. */
  get wanted(): number | undefined {
    if (!this.#deployments.synced) return undefined;
    const [deployment] = this.#deployments.values();
    if (deployment === undefined) return this.#wasDeployed ? 0 : undefined;
    return deployment.metadata.deletionTimestamp === undefined ? deployment.spec?.replicas : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#slices.stop(), this.#deployments.stop()]);
  }
}
