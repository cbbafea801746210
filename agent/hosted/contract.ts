import type {Algorithm, Digest} from '../../oci/digest.ts';
import type {OpenBlob} from '../store/contract.ts';
import type {Sums} from '../store/sums.ts';

/** A manifest that a repository has. Its bytes are content like any other, under the digest. */
export interface ManifestRecord {
  readonly digest: Digest;
  /** As it was pushed, without parameters. */
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** What collection must keep for it: config, layers and listed manifests that are in this repository. */
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
  /** Of a referrer, as lists tell it. */
  readonly artifactType: string | undefined;
  /** Milliseconds since the epoch. */
  readonly pushedAt: number;
}

/** What a tag is. */
export interface TagState {
  readonly tag: string;
  readonly digest: Digest;
  /** Milliseconds since the epoch. */
  readonly movedAt: number;
}

/** One move of a tag: who, when, from what, to what. `to` is absent for a deletion, `from` for a creation. */
export interface TagMove {
  readonly at: number;
  /** The name that the pusher proved to have; `undefined`: nobody in particular. */
  readonly by: string | undefined;
  readonly from: Digest | undefined;
  readonly to: Digest | undefined;
}

/** Claims of links that pushes have done with are earlier than this: some time in 1970, another one each time. */
export const SETTLED_BEFORE = 1_000_000_000;

/** A blob that a repository shows. */
export interface LinkState {
  readonly digest: Digest;
  /** When a push last relied on it, in ms since the epoch; below `SETTLED_BEFORE` when the pushes that did have ended. */
  readonly claimedAt: number;
}

/** An upload that has been begun. How far it is, is the content driver's to say. */
export interface UploadRecord {
  /** Cannot be guessed, and is safe in paths. */
  readonly id: string;
  readonly repository: string;
  /** Whose it is: nobody else may go on with it. */
  readonly identity: string | undefined;
  /** What the client announced (end-4c). */
  readonly algorithm: Algorithm | undefined;
  readonly startedAt: number;
}

/** How many moves of one tag are remembered. */
export const MAX_HISTORY = 100;

/**
 * What the registry knows besides bytes. Every write is durable when it resolves, and each is atomic by itself:
 * after a crash it has happened or it has not. Several processes may share one store where the driver says so, which
 * is why nothing here relies on a lock that is held over two calls: tags move by compare-and-set, and links are
 * collected only as they were seen.
 * Repositories, tags and ids are valid by their grammar when they come here.
 */
export interface Metadata {
  /** Repositories that have a manifest or a blob, in ASCII order. */
  repositories(page: {readonly after: string; readonly limit: number}): Promise<readonly string[]>;
  hasRepository(repository: string): Promise<boolean>;

  manifest(repository: string, digest: Digest): Promise<ManifestRecord | undefined>;
  /** Its subject's list shows it from now on. Not an error if it is there. */
  putManifest(repository: string, record: ManifestRecord): Promise<void>;
  /** @param seen only if it was not put again since it was seen so. @returns whether it was there, and so. */
  removeManifest(repository: string, digest: Digest, seen?: ManifestRecord): Promise<boolean>;
  /** All of a repository, in no order. What comes or goes meanwhile may be missing. */
  manifests(repository: string): AsyncIterable<ManifestRecord>;
  /** Manifests whose subject this is, in ASCII order of their digests. */
  referrers(
    repository: string,
    subject: Digest,
    page: {readonly after: string; readonly limit: number},
  ): Promise<readonly ManifestRecord[]>;

  tag(repository: string, tag: string): Promise<TagState | undefined>;
  /** In ASCII order. */
  tags(repository: string, page: {readonly after: string; readonly limit: number}): Promise<readonly string[]>;
  /** @returns whether it was done: `false` if the tag is not at `move.from` any more (compare and set). */
  moveTag(repository: string, tag: string, move: TagMove): Promise<boolean>;
  /** The newest first, `MAX_HISTORY` at most; also of a tag that is gone. */
  history(repository: string, tag: string): Promise<readonly TagMove[]>;
  /** Those of all tags of a repository, also of tags that are gone and remembered. */
  histories(repository: string): AsyncIterable<readonly TagMove[]>;

  hasLink(repository: string, digest: Digest): Promise<boolean>;
  /** Shows a blob in a repository, as claimed by a push of this user. The caller holds the bytes. */
  addLink(repository: string, digest: Digest, by: string | undefined): Promise<void>;
  /** A user's push relies on the link: not collected before `settle`, or as long as a push may take. `false`: no link. */
  claim(repository: string, digest: Digest, by: string | undefined): Promise<boolean>;
  /** A manifest that is being put names the link: it is not collected before it is let go of. `undefined`: no link. */
  rely(repository: string, digest: Digest): Promise<LetGo | undefined>;
  /**
   * A manifest of this user was put and keeps these now: its push has ended, and with it what it had claimed, once of each.
   * What others have claimed stays, and so does what another push of the same user may have.
   * @param put.isNew whether the manifest was not there before.
   */
  settle(
    repository: string,
    by: string | undefined,
    put: {readonly digests: readonly Digest[]; readonly isNew: boolean},
  ): Promise<void>;
  /** A person removes it. @returns whether it was there. */
  removeLink(repository: string, digest: Digest): Promise<boolean>;
  /** Collection removes it, unless anybody has claimed it since it was seen so. @returns whether it was removed. */
  collectLink(repository: string, seen: LinkState): Promise<boolean>;
  links(repository: string): AsyncIterable<LinkState>;
  /** Repositories in which a blob is linked; `limit` of them at most. */
  holders(digest: Digest, limit: number): Promise<readonly string[]>;

  putUpload(upload: UploadRecord): Promise<void>;
  upload(id: string): Promise<UploadRecord | undefined>;
  removeUpload(id: string): Promise<void>;
  uploads(): AsyncIterable<UploadRecord>;

  /** Removes what crashes and deletions leave behind. Safe at any time. */
  tidy(): Promise<void>;
}

export interface UploadState {
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly changedAt: number;
}

/** Lets go of what was held; more calls do nothing. */
export type LetGo = () => void;

/** The bytes of what is hosted. Never evicted: only `release` removes them. */
export interface Content {
  /** Size of a blob that is there. */
  stat(digest: Digest): Promise<number | undefined>;
  /** A driver that has no files opens a copy in the node's cache. */
  open(digest: Digest): Promise<OpenBlob | undefined>;
  /** Re-hashes an open blob. @returns the sums of its blocks; `undefined`: it is wrong, and gone. */
  verify(blob: OpenBlob): Promise<Sums | undefined>;
  /** All of a small blob; its bytes have been hashed. */
  read(digest: Digest, maxBytes: number): Promise<Buffer | undefined>;
  /** Keeps a blob from being released while a link to it is made. `undefined` if it is not there. */
  hold(digest: Digest): Promise<LetGo | undefined>;
  /** All of a small blob in one go, durable and held when it resolves. @param bytes have this digest: the caller knows. */
  put(digest: Digest, bytes: Buffer): Promise<LetGo>;
  /** Opens the bytes of an upload where they end. One at a time for an upload. */
  upload(id: string, algorithm: Algorithm | undefined): Promise<UploadBytes>;
  /** Of an upload that has got bytes; `undefined` if it never had any. */
  uploadState(id: string): Promise<UploadState | undefined>;
  /** Uploads that have bytes. */
  uploadIds(): Promise<readonly string[]>;
  /** @returns bytes freed. */
  dropUpload(id: string): Promise<number>;
  /** Nothing of what is hosted needs it as far as the caller knows: the driver looks again. @returns bytes freed. */
  release(digest: Digest): Promise<number>;
}

/** The bytes of one upload, open for one request. */
export interface UploadBytes {
  readonly offset: number;
  /** Writes at the end, held back by the disk alone. @throws {StoreFullError} the bytes before it stay. */
  append(chunks: readonly Uint8Array[]): Promise<void>;
  /** Forgets what was appended after `offset`. */
  rewind(offset: number): Promise<void>;
  /**
   * Makes them the blob of this digest, durable and held when it resolves.
   * @param mayTell whether the caller may find out by the time it takes that the blob was there already (D-027).
   * @throws {IntegrityError} if they are not; then they are as they were.
   */
  commit(digest: Digest, mayTell: boolean): Promise<LetGo>;
  /** Every opener calls it. */
  close(): Promise<void>;
}

/** Where hosted images are: what is known of them, and their bytes. */
export interface Driver {
  readonly metadata: Metadata;
  readonly content: Content;
  /** Lets go of what is open. */
  close(): void;
}
