import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import {
  type BlobRecord,
  type ImageRecord,
  type Ingest,
  type Limits,
  type Link,
  type OpenBlob,
  type Store,
} from './contract.ts';
import {StoreFullError, type TagRecord, type Usage} from './contract.ts';
import {DataFolderError} from './folder.ts';
import {LocalStore, type LocalStoreOptions} from './local-store.ts';
import type {Sums} from './sums.ts';

/** How often a data folder that cannot be used is tried again. */
const RETRY_MS = 5000;

/**
 * Opens the store in a folder, which is made if need be. Where the disk does not let us (read-only, broken, full),
 * the store opens all the same: everything is absent and nothing is kept, until the disk has healed.
 * @throws {DataFolderError} where only a person can help: another agent's folder, a network file system, a layout
 *   of another version.
 */
export async function openStore(root: string, options: LocalStoreOptions): Promise<DiskStore> {
  const store = new DiskStore(root, options);
  await store.begin();
  return store;
}

/** A store that outlives its disk's troubles. */
export class DiskStore implements Store {
  readonly #root: string;
  #options: LocalStoreOptions;
  #local: LocalStore | undefined;
  #cause: unknown;
  #timer: NodeJS.Timeout | undefined;
  #healing: Promise<void> | undefined;
  #closed = false;
  constructor(root: string, options: LocalStoreOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** @throws {DataFolderError} */
  async begin(): Promise<void> {
    try {
      this.#local = await LocalStore.open(this.#root, this.#options);
    } catch (error) {
      if (error instanceof DataFolderError) throw error;
      this.#degrade(error);
    }
    this.#timer = setInterval(() => {
      this.#healing ??= this.#heal().finally(() => (this.#healing = undefined));
    }, this.#options.retryMs ?? RETRY_MS);
    this.#timer.unref();
  }

  /** The store on disk while there is one; for tests and maintenance. */
  get local(): LocalStore | undefined {
    return this.#local;
  }

  async stat(digest: Digest): Promise<BlobRecord | undefined> {
    return await this.#local?.stat(digest);
  }
  async open(digest: Digest): Promise<OpenBlob | undefined> {
    return await this.#local?.open(digest);
  }
  async verify(blob: OpenBlob, signal?: AbortSignal): Promise<Sums | undefined> {
    return await this.#local?.verify(blob, signal);
  }
  async read(
    digest: Digest,
    maxBytes: number,
  ): Promise<{readonly record: BlobRecord; readonly bytes: Buffer} | undefined> {
    return await this.#local?.read(digest, maxBytes);
  }
  async leftover(digest: Digest, owner?: string): Promise<number> {
    return (await this.#local?.leftover(digest, owner)) ?? 0;
  }
  async ingest(digest: Digest, sizeBytes: number | undefined, owner?: string): Promise<Ingest> {
    return await this.#writable().ingest(digest, sizeBytes, owner);
  }
  touch(digest: Digest): void {
    this.#local?.touch(digest);
  }

  peekRecord(digest: Digest): BlobRecord | undefined {
    return this.#local?.peekRecord(digest);
  }
  peekLinks(digest: Digest, name: RepositoryName): readonly Link[] | undefined {
    return this.#local?.peekLinks(digest, name);
  }
  peekTag(name: RepositoryName, tag: string, authority: Authority): TagRecord | undefined {
    return this.#local?.peekTag(name, tag, authority);
  }
  async links(digest: Digest, name?: RepositoryName): Promise<readonly Link[]> {
    return (await this.#local?.links(digest, name)) ?? [];
  }
  async addLink(link: Link): Promise<void> {
    await this.#writable().addLink(link);
  }
  async tag(name: RepositoryName, tag: string, authority: Authority): Promise<TagRecord | undefined> {
    return await this.#local?.tag(name, tag, authority);
  }
  async putTag(record: TagRecord): Promise<void> {
    await this.#writable().putTag(record);
  }
  async removeTag(name: RepositoryName, tag: string, authority: Authority): Promise<void> {
    await this.#local?.removeTag(name, tag, authority);
  }

  async protect(digests: readonly Digest[]): Promise<void> {
    await this.#local?.protect(digests);
  }

  async usage(): Promise<Usage> {
    const {maxBytes} = this.#options.limits;
    const counts = {blobs: 0, manifests: 0, tags: 0};
    const nothing = {...counts, sizeBytes: 0, reservedBytes: 0, maxBytes, capacityBytes: 0, diskFreeBytes: 0};
    return (await this.#local?.usage()) ?? nothing;
  }
  /** What is hosted: blobs and manifests, and their bytes. */
  async hostedUsage(): Promise<{readonly blobs: number; readonly sizeBytes: number}> {
    return (await this.#local?.disk.index.ask('hostedStats')) ?? {blobs: 0, sizeBytes: 0};
  }
  async images(ask: {
    readonly after?: string;
    readonly limit: number;
    readonly match?: string;
  }): Promise<readonly ImageRecord[]> {
    return (await this.#local?.images(ask)) ?? [];
  }
  async removeImage(name: RepositoryName, reference: string): Promise<number> {
    return await this.#writable().removeImage(name, reference);
  }
  setLimits(limits: Limits): void {
    this.#options = {...this.#options, limits};
    this.#local?.setLimits(limits);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#healing;
    await this.#local?.close();
    this.#local = undefined;
  }

  #writable(): LocalStore {
    if (this.#local !== undefined) return this.#local;
    throw new StoreFullError('The data folder cannot be used', {cause: this.#cause});
  }

  async #heal(): Promise<void> {
    if (this.#local?.isAlive === true || this.#closed) return;
    const dead = this.#local;
    this.#local = undefined;
    if (dead !== undefined) this.#degrade(new Error('The index has stopped'));
    try {
      await dead?.close();
      this.#local = await LocalStore.open(this.#root, this.#options);
      this.#cause = undefined;
      this.#options.events.degraded?.(undefined);
    } catch (error) {
      this.#cause = error; // the same trouble mostly, which has been told
    }
  }

  #degrade(cause: unknown): void {
    this.#cause = cause;
    this.#options.events.degraded?.(cause);
  }
}
