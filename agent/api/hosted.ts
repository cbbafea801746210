import type {Digest} from '../../oci/digest.ts';
import {isDigest} from '../../oci/digest.ts';
import {isRepository, isTag} from '../../oci/reference.ts';
import type {TagMove} from '../hosted/contract.ts';
import {ApiError} from './error.ts';

/** What the API needs of what is hosted here. */
export interface HostedBackend {
  /** How clients name this registry; `undefined`: only by its address. */
  host(): string | undefined;
  /** Tags in the order of `repository:tag`, those after `after`. */
  images(page: {
    readonly after?: string;
    readonly limit: number;
    readonly match?: string;
  }): Promise<readonly HostedImage[]>;
  usage(): Promise<HostedUsage>;
  /** The newest first; also of a tag that is gone. */
  history(repository: string, tag: string): Promise<readonly TagMove[]>;
  /**
   * Removes a tag, or a manifest with the tags that are it. Its room is freed by the next collection.
   * @returns what is there no more. @throws {OciError} also DENIED for a tag that may not go.
   */
  remove(repository: string, reference: string): Promise<HostedRemoved>;
  /** Removes manifests that nothing but their digest names, or tells which. Their room is freed by collection. */
  removeUntagged(ask: UntaggedAsk): Promise<readonly UntaggedManifest[]>;
  /** Frees what nothing needs any more; if it is doing so already, that run's result. */
  collect(): Promise<Collected>;
}

export interface HostedImage {
  readonly repository: string;
  readonly tag: string;
  readonly digest: Digest;
  /** Of its manifests and blobs, each once. */
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly movedAt: number;
  /** Who pushed it last; absent: nobody in particular. */
  readonly by?: string | undefined;
}

export interface HostedUsage {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Of blobs and manifests, each once. */
  readonly sizeBytes: number;
  readonly uploads: number;
  readonly uploadBytes: number;
}

export interface HostedRemoved {
  readonly tags: readonly string[];
  readonly manifests: readonly Digest[];
}

export interface UntaggedAsk {
  /** Only what nobody has pushed, and no tag has been at, for so long. */
  readonly olderThanMs: number;
  readonly dryRun: boolean;
}

export interface UntaggedManifest {
  readonly repository: string;
  readonly digest: Digest;
}

/** What a collection did. */
export interface CollectAnswer extends Collected {
  /** What was removed before, or would be; absent: nobody asked. */
  readonly untagged?: readonly UntaggedManifest[];
}

export interface Collected {
  readonly blobs: number;
  readonly uploads: number;
  readonly freedBytes: number;
}

/** An image that is hosted here, as a person names it. */
export interface HostedName {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

/** `[host/]repository[:tag][@digest]`. @throws {ApiError} 400 */
export function toHostedName(text: string, host: string | undefined): HostedName {
  const [name = '', digest, ...rest] = text.split('@');
  const colon = name.lastIndexOf(':');
  const isTagged = colon > name.lastIndexOf('/');
  const path = isTagged ? name.slice(0, colon) : name;
  const tag = isTagged ? name.slice(colon + 1) : undefined;
  const repository = host !== undefined && path.startsWith(`${host}/`) ? path.slice(host.length + 1) : path;
  const isRight =
    rest.length === 0 &&
    isRepository(repository) &&
    (tag === undefined || isTag(tag)) &&
    (digest === undefined || isDigest(digest));
  const example = `${host === undefined ? '' : `${host}/`}team/app:v1`;
  if (!isRight)
    throw new ApiError(
      400,
      `Not the name of a hosted image: ${JSON.stringify(text.slice(0, 512))}; expected e.g. ${example}`,
    );
  return {repository, tag, digest: digest as Digest | undefined}; // checked above
}

/** @throws {ApiError} 404 */
export function needHosted(hosted: HostedBackend | undefined): HostedBackend {
  if (hosted !== undefined) return hosted;
  throw new ApiError(404, 'This agent hosts no images: that needs a listener with door: direct');
}
