import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import type {Sums} from './sums.ts';

export type ContentKind = 'manifest' | 'blob';

/** What the index knows of a blob that is whole. */
export interface BlobRecord {
  readonly digest: Digest;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  /** Of a manifest: its media type. */
  readonly mediaType: string | undefined;
}

/** An open blob. Eviction may unlink it meanwhile; the descriptor still reads all of it. */
export interface OpenBlob extends BlobRecord {
  /** For sendfile(2) and reads at a position. */
  readonly fd: number;
  /** Idempotent. Every opener calls it exactly when nothing reads from `fd` any more. */
  close(): void;
}

/** Which repository was proven to show which digest, and by whose credentials (design §3). */
export interface Link extends RepositoryName {
  readonly digest: Digest;
  readonly authority: Authority;
  readonly kind: ContentKind;
  readonly mediaType: string | undefined;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly provenAt: number;
}

/** What a tag was last known to be. */
export interface TagRecord extends RepositoryName {
  readonly tag: string;
  /** With whose rights it was resolved: what one may see, the other may not. */
  readonly authority: Authority;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch, of the upstream's last answer. */
  readonly resolvedAt: number;
}

export interface Usage {
  readonly blobs: number;
  readonly manifests: number;
  readonly tags: number;
  /** Bytes of committed blobs. */
  readonly sizeBytes: number;
  /** Bytes reserved by ingests under way. */
  readonly reservedBytes: number;
  readonly maxBytes: number;
  /** What it may hold as the disk is now: `maxBytes`, or less where others fill the disk; 0 if it cannot be used. */
  readonly capacityBytes: number;
  readonly diskFreeBytes: number;
}

/** The cache has no room for this blob even after evicting, or cannot be written: serve it through without keeping it. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError';
}

/**
 * The node's blobs, by digest. A blob is absent or whole: one being written cannot be seen here.
 * A store that cannot be read answers "absent" and counts it; only `ingest` and its parts may throw.
 */
export interface Store {
  /** `undefined` if absent. From memory where possible. */
  stat(digest: Digest): Promise<BlobRecord | undefined>;
  /**
   * Opens a whole blob. Compares the file's size, mtime and ctime with the index and re-hashes it when they
   * differ; what is wrong is quarantined and `undefined` is answered (design §1.3, §5).
   */
  open(digest: Digest): Promise<OpenBlob | undefined>;
  /**
   * Re-hashes an open blob off the event loop. Calls for one digest at one time are one.
   * @returns the sums of its blocks; `undefined` if it is wrong, and then it has been quarantined.
   */
  verify(blob: OpenBlob, signal?: AbortSignal): Promise<Sums | undefined>;
  /** All of a small blob (manifests) in memory, or `undefined`. Its bytes have been hashed. */
  read(digest: Digest, maxBytes: number): Promise<{readonly record: BlobRecord; readonly bytes: Buffer} | undefined>;
  /**
   * Bytes that an interrupted ingest of this digest left, so that the upstream can be asked for the rest only. 0 mostly;
   * never all of the blob: the last byte that is there does not count, so that there is always something to ask for.
   * @param owner as given to `ingest`: what one left, another is not shown before it was proven to be the blob.
   */
  leftover(digest: Digest, owner?: string): Promise<number>;
  /**
   * Reserves room (evicting if need be) and opens the ingest file of a digest, continuing what an earlier one
   * left behind. At most one ingest a digest at a time: the flight sees to it.
   * @param sizeBytes `undefined` where the source did not say: room is then reserved as it grows.
   * @param owner whose bytes they are until they are whole, if not anyone's: any text.
   * @throws {StoreFullError} also for a read-only or broken disk, with the cause.
   */
  ingest(digest: Digest, sizeBytes: number | undefined, owner?: string): Promise<Ingest>;
  /** Counts a use, for eviction: batched, never waits. */
  touch(digest: Digest): void;

  /** From memory only, for the warm path; `undefined` if that would need the index. */
  peekRecord(digest: Digest): BlobRecord | undefined;
  peekLinks(digest: Digest, name: RepositoryName): readonly Link[] | undefined;
  peekTag(name: RepositoryName, tag: string, authority: Authority): TagRecord | undefined;
  /** All links of a digest in one repository or, without `name`, everywhere. Bounded to 100. */
  links(digest: Digest, name?: RepositoryName): Promise<readonly Link[]>;
  addLink(link: Link): Promise<void>;
  tag(name: RepositoryName, tag: string, authority: Authority): Promise<TagRecord | undefined>;
  putTag(record: TagRecord): Promise<void>;
  removeTag(name: RepositoryName, tag: string, authority: Authority): Promise<void>;

  /**
   * Replaces the set of what is never evicted, with all below it: what running pods use. It is forgotten at a restart.
   * @throws {Error} if the index cannot take it now.
   */
  protect(digests: readonly Digest[]): Promise<void>;

  usage(): Promise<Usage>;
  /** For `noost ls`: tags with what is on disk below them, a page at a time in name order. */
  images(options: {
    readonly after?: string;
    readonly limit: number;
    readonly match?: string;
  }): Promise<readonly ImageRecord[]>;
  /** Forgets a tag (all authorities), or a digest and what only it needs. @returns bytes freed. */
  removeImage(name: RepositoryName, reference: string): Promise<number>;
  /** Limits from a reloaded configuration; evicts in the background if they shrank. */
  setLimits(limits: Limits): void;
  close(): Promise<void>;
}

export interface Limits {
  readonly maxBytes: number;
  /** Of the file system: bytes, or a share of it in 0…1. */
  readonly minFree: {readonly bytes: number} | {readonly share: number};
  readonly maxIdleMs: number;
}

export interface ImageRecord extends RepositoryName {
  /** A tag, or a digest for what is only known by digest. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the manifest and all below it that is on disk. */
  readonly sizeBytes: number;
  /** Whether everything below it (of at least one platform) is on disk. */
  readonly complete: boolean;
  readonly usedAt: number;
  readonly resolvedAt: number | undefined;
}

/** A blob on its way in. Disposed of before `commit`, it is not visible; `keep` says whether its bytes stay for a resume. */
export interface Ingest {
  readonly digest: Digest;
  /** Readers follow the file through this, up to what `append` has resolved for. Shared: see `retain`. */
  readonly fd: number;
  /** Bytes that an earlier, interrupted ingest left, already counted in `writtenBytes`. 0 mostly. */
  readonly resumedBytes: number;
  readonly writtenBytes: number;
  /**
   * Writes at the end, held back by the disk alone; the bytes are hashed off the event loop by another thread.
   * @throws {StoreFullError} after which what was written so far still can be read through `fd`.
   */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Starts over from byte 0, for a source that cannot resume. */
  restart(): Promise<void>;
  /**
   * Waits until everything written is hashed and compares.
   * @throws {IntegrityError} if size (where known) or digest differ.
   */
  verify(sizeBytes: number | undefined): Promise<void>;
  /**
   * After `verify`: sync, rename, sync folder, index (design §5). Not an error if another was first.
   * @param children what a manifest refers to, for eviction by image.
   * @throws {StoreFullError} or any fs error: the cache could not help; the bytes are right all the same.
   */
  commit(what: {
    readonly kind: ContentKind;
    readonly mediaType: string | undefined;
    readonly children: readonly Digest[];
    readonly link: Link | undefined;
  }): Promise<void>;
  /** Gives up. `keep`: the bytes stay for a later resume (a broken upstream); otherwise they go (wrong bytes). */
  abandon(keep: boolean): Promise<void>;
  /** The descriptor stays open while it is retained; each call is matched by one call of what it returns. */
  retain(): () => void;
}
