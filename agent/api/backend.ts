import type {Digest} from '../../oci/digest.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {Store} from '../store/contract.ts';
import type {HostedBackend} from './hosted.ts';

/** What the API needs of a running agent. */
export interface ApiBackend {
  readonly store: Pick<Store, 'images' | 'usage' | 'removeImage' | 'tag' | 'links'>;
  /** `undefined`: nothing is pushed here. */
  readonly hosted: HostedBackend | undefined;
  /** Asks the upstream now, whatever freshness says. @throws {UpstreamError} */
  refresh(name: RepositoryName, tag: string, signal: AbortSignal): Promise<Refreshed>;
  /**
   * Brings an image into the cache: manifests, configs and layers, each digest checked. What arrived before it
   * failed or was stopped stays.
   * @throws {UpstreamError | IntegrityError | StoreFullError | NoSuchPlatformError}
   */
  pull(request: PullRequest, onEvent: (event: PullEvent) => void, signal: AbortSignal): Promise<Pulled>;
}

export interface Refreshed {
  /** What the tag was before; `undefined` if it was not in the cache. */
  readonly before: Digest | undefined;
  readonly after: Digest;
  readonly mediaType: string;
}

export interface PullRequest {
  readonly name: RepositoryName;
  /** A tag or a digest. */
  readonly reference: string;
  /** As `os/architecture[/variant]`, e.g. `linux/arm64/v8`. An image without an index is taken whatever it is for. */
  readonly platforms: readonly string[] | 'all';
}

/** What can be told while an image arrives, in this order: one `resolved`, then the others, mixed. */
export type PullEvent =
  | {
      readonly event: 'resolved';
      readonly digest: Digest;
      readonly platforms: readonly string[];
      /** Configs and layers, each digest once. */
      readonly blobs: number;
      readonly totalBytes: number;
    }
  /** Often; may be left out where the listener is slow. */
  | {readonly event: 'progress'; readonly doneBlobs: number; readonly doneBytes: number}
  | {
      readonly event: 'blob';
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly source: 'cache' | 'upstream';
    };

export interface Pulled {
  readonly digest: Digest;
  /** Those that were taken; empty where the image has no index. */
  readonly platforms: readonly string[];
  readonly manifests: number;
  readonly blobs: number;
  /** Of all blobs; `fetchedBytes` of those that were not there before. */
  readonly totalBytes: number;
  readonly fetchedBytes: number;
}

/** The image's index has nothing for a platform that was asked for. The message says what it has. */
export class NoSuchPlatformError extends Error {
  override readonly name = 'NoSuchPlatformError';
}
