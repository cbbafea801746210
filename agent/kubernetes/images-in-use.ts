import {isDigest, type Digest} from '../../oci/digest.ts';
import type {KubeClient} from '../../kube/client.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubeObject} from '../../kube/object.ts';
import {PODS} from '../../kube/resources.ts';

interface ContainerStatus {
  readonly imageID?: string;
}
interface Container {
  readonly image?: string;
}
interface Pod extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
    readonly ephemeralContainers?: readonly Container[];
    readonly volumes?: readonly {readonly image?: {readonly reference?: string}}[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly ephemeralContainerStatuses?: readonly ContainerStatus[];
  };
}
/** What is kept of a pod. */
interface Kept extends KubeObject {
  readonly digests: readonly Digest[];
}

export interface ImagesInUseOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly node: string;
  /** Takes all digests that are in use now, in place of those before. */
  readonly protect: (digests: readonly Digest[]) => Promise<void>;
  readonly log: KubeLog;
  /** @default 1000 */
  readonly settleMs?: number;
}

/** The kubelet's own limit is 110 by default; 500 are seen. */
const MAX_PODS = 2_000;
const MAX_DIGESTS = 20_000;
/** The set is told again this often: an index that was made anew has forgotten it. */
const AGAIN_MS = 60_000;

/** Keeps what the node's pods use from being evicted (design §5): it would be fetched again at the next restart. */
export class ImagesInUse implements AsyncDisposable {
  readonly #options: ImagesInUseOptions;
  readonly #pods: ListWatch<Kept>;
  readonly #again: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;

  constructor(options: ImagesInUseOptions) {
    this.#options = options;
    const changed = (): void => {
      // A rolling update changes many pods in a second, and each many times.
      this.#soon ??= setTimeout(() => void this.#tell(), options.settleMs ?? 1000).unref();
    };
    this.#pods = new ListWatch<Kept>({
      client: options.client,
      type: PODS,
      fieldSelector: `spec.nodeName=${options.node}`,
      keep: (pod) => keep(pod as KubeObject as Pod),
      onChange: changed,
      onSynced: changed,
      log: options.log,
      maxItems: MAX_PODS,
    });
    this.#again = setInterval(changed, AGAIN_MS).unref();
    this.#pods.start();
  }

  async #tell(): Promise<void> {
    this.#soon = undefined;
    if (!this.#pods.synced) return; // half a list would leave the other half unprotected
    const digests = new Set<Digest>();
    for (const pod of this.#pods.values()) for (const digest of pod.digests) digests.add(digest);
    await this.#options.protect([...digests].slice(0, MAX_DIGESTS)).catch((error: unknown) => {
      this.#options.log.debug('images in use could not be noted', {reason: (error as Error).message});
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#again);
    clearTimeout(this.#soon);
    await this.#pods.stop();
  }
}

function keep({metadata, spec, status}: Pod): Kept {
  const {name = '', namespace = '', resourceVersion = ''} = metadata;
  const isOver = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  const references = isOver
    ? []
    : [
        ...[spec?.containers, spec?.initContainers, spec?.ephemeralContainers].flatMap(
          (list) => list?.map(({image}) => image) ?? [],
        ),
        ...(spec?.volumes?.map(({image}) => image?.reference) ?? []),
        ...[status?.containerStatuses, status?.initContainerStatuses, status?.ephemeralContainerStatuses].flatMap(
          (list) => list?.map(({imageID}) => imageID) ?? [],
        ),
      ];
  return {metadata: {name, namespace, resourceVersion}, digests: [...new Set(references.flatMap(digestOf))]};
}

/** Of `name:tag@sha256:…`, of the runtime's `docker.io/library/x@sha256:…`, and of its old `docker-pullable://…@sha256:…`. */
function digestOf(reference: string | undefined): Digest[] {
  const digest = reference?.slice(reference.lastIndexOf('@') + 1) ?? '';
  return reference?.includes('@') === true && isDigest(digest) ? [digest] : [];
}
