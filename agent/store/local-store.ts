import {type Digest, digestOf, splitDigest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import {fault} from '../../proc/fault.ts';
import type {BlobRecord, ImageRecord, Limits, Link, OpenBlob, Store, TagRecord, Usage} from './contract.ts';
import {StoreFullError} from './contract.ts';
import {DiskBlob} from './disk-blob.ts';
import {DiskIngest, firstRoom, GROW_BYTES, resumableBytes} from './disk-ingest.ts';
import {type Disk, openDisk} from './disk.ts';
import type {StoreEvents} from './events.ts';
import {Names} from './names.ts';
import {readFully} from './read-fully.ts';
import type {Sums} from './sums.ts';
import {Upkeep} from './upkeep.ts';

export interface LocalStoreOptions {
  readonly limits: Limits;
  readonly events: StoreEvents;
  /** The wall clock, in ms since the epoch: last uses. */
  readonly now?: () => number;
  /** A clock that does not jump, in ms. Default: `now` where that was given, so that a test has one clock. */
  readonly monotonic?: () => number;
  /** Threads that hash, at most; default: the cores, at most 4. */
  readonly hashers?: number;
  /** How often a data folder that cannot be used is tried again, in ms; default: 5 s. */
  readonly retryMs?: number;
}

/** A store on a disk that works. What it does when that does not, is the business of `openStore`. */
export class LocalStore implements Store {
  readonly #disk: Disk;
  readonly #names: Names;
  /** What it does by itself; tests do not wait for the timer. */
  readonly upkeep: Upkeep;
  /** Digests whose ingest is being opened. */
  readonly #starting = new Set<Digest>();
  #closed = false;

  private constructor(disk: Disk) {
    this.#disk = disk;
    this.#names = new Names(disk);
    this.upkeep = new Upkeep(disk);
  }

  /** @throws {DataFolderError} if a person has to choose; any other error may heal by itself. */
  static async open(root: string, options: LocalStoreOptions): Promise<LocalStore> {
    return new LocalStore(await openDisk(root, options));
  }

  /** Its parts, for what is hosted on the same disk. */
  get disk(): Disk {
    return this.#disk;
  }

  /** Whether it can go on: without its index's thread it has to be opened again. */
  get isAlive(): boolean {
    return this.#disk.index.isOpen;
  }

  /** Bytes of committed blobs and of files that no row knows yet. */
  get usedBytes(): number {
    return this.#disk.room.usedBytes;
  }

  async stat(digest: Digest): Promise<BlobRecord | undefined> {
    return await this.#disk.shelf.find(digest);
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    return await this.#disk.shelf.open(digest);
  }

  async verify(blob: OpenBlob, signal?: AbortSignal): Promise<Sums | undefined> {
    if (!(blob instanceof DiskBlob)) throw new TypeError('Not a blob of this store');
    signal?.throwIfAborted();
    const check = this.#disk.shelf.check(blob.digest, blob.file);
    return signal === undefined ? await check : await Promise.race([check, rejectsOn(signal)]);
  }

  async read(
    digest: Digest,
    maxBytes: number,
  ): Promise<{readonly record: BlobRecord; readonly bytes: Buffer} | undefined> {
    const blob = await this.#disk.shelf.open(digest);
    if (blob === undefined) return undefined;
    try {
      if (blob.sizeBytes > maxBytes) return undefined;
      const bytes = await readFully(blob.fd, blob.sizeBytes);
      if (digestOf(bytes, splitDigest(digest).algorithm) === digest) return {record: blob, bytes};
      await this.#disk.shelf.check(digest, blob.file); // says so, and puts it aside
      return undefined;
    } catch (error) {
      this.#disk.shelf.failed('read', error);
      return undefined;
    } finally {
      blob.close();
    }
  }

  async leftover(digest: Digest, owner?: string): Promise<number> {
    if (this.#disk.shelf.ingests.has(digest)) return 0;
    this.#disk.room.lookAhead();
    return resumableBytes(this.#disk.leftovers.sizeOf(this.#disk.folder.part(digest, owner)));
  }

  async ingest(digest: Digest, sizeBytes: number | undefined, owner?: string): Promise<DiskIngest> {
    const {ingests} = this.#disk.shelf;
    if (this.#closed) throw new StoreFullError('The store is closed');
    if (ingests.has(digest) || this.#starting.has(digest))
      throw new StoreFullError(`${digest} is being written already`);
    this.#starting.add(digest);
    try {
      const ingest = await this.#newIngest(digest, sizeBytes, this.#disk.folder.part(digest, owner));
      ingests.set(digest, ingest);
      return ingest;
    } catch (error) {
      if (error instanceof StoreFullError) throw error;
      throw new StoreFullError('The data folder cannot be written', {cause: error});
    } finally {
      this.#starting.delete(digest);
    }
  }

  touch(digest: Digest): void {
    this.upkeep.touch(digest);
  }

  peekRecord(digest: Digest): BlobRecord | undefined {
    return this.#disk.memory.row(digest);
  }
  peekLinks(digest: Digest, name: RepositoryName): readonly Link[] | undefined {
    return this.#disk.memory.links(digest, name);
  }
  peekTag(name: RepositoryName, tag: string, authority: Authority): TagRecord | undefined {
    return this.#disk.memory.tag(name, tag, authority)?.record;
  }

  async links(digest: Digest, name?: RepositoryName): Promise<readonly Link[]> {
    return await this.#names.links(digest, name);
  }
  async addLink(link: Link): Promise<void> {
    await this.#names.addLink(link);
  }
  async tag(name: RepositoryName, tag: string, authority: Authority): Promise<TagRecord | undefined> {
    return await this.#names.tag(name, tag, authority);
  }
  async putTag(record: TagRecord): Promise<void> {
    await this.#names.putTag(record);
  }
  async removeTag(name: RepositoryName, tag: string, authority: Authority): Promise<void> {
    await this.#names.removeTag(name, tag, authority);
  }

  async usage(): Promise<Usage> {
    const {index, room, shelf} = this.#disk;
    const nothing = {blobs: 0, manifests: 0, tags: 0};
    const {blobs, manifests, tags} = await index.ask('stats').catch((error: unknown) => {
      shelf.failed('index', error);
      return nothing;
    });
    return {
      blobs,
      manifests,
      tags,
      sizeBytes: room.usedBytes,
      reservedBytes: room.reservedBytes,
      maxBytes: room.limits.maxBytes,
      capacityBytes: await room.capacityBytes(),
      diskFreeBytes: await room.freeBytes(),
    };
  }

  async protect(digests: readonly Digest[]): Promise<void> {
    await this.#disk.index.ask('protect', digests);
  }

  async images(ask: {
    readonly after?: string;
    readonly limit: number;
    readonly match?: string;
  }): Promise<readonly ImageRecord[]> {
    await this.upkeep.flush();
    return await this.#disk.index.ask('images', {after: ask.after ?? '', limit: ask.limit, match: ask.match ?? ''});
  }

  async removeImage(name: RepositoryName, reference: string): Promise<number> {
    const {index, memory, shelf} = this.#disk;
    const digests = await index.ask('release', name, reference);
    memory.forgetNames();
    return await shelf.drop(digests, 'removed');
  }

  setLimits(limits: Limits): void {
    this.#disk.room.setLimits(limits);
    this.upkeep.settle();
  }

  /** Hashes all blobs again, slowly; see `Upkeep`, which does it by itself now and then. */
  async scrub(bytesPerSecond?: number): Promise<void> {
    await this.upkeep.scrub(bytesPerSecond);
  }

  /** Resolves when files and index have been compared for the first time since the start. */
  async swept(): Promise<void> {
    await this.upkeep.swept;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.upkeep.close();
    await Promise.all([...this.#disk.shelf.ingests.values()].map(async (ingest) => await ingest.abandon(true)));
    this.#disk.room.close();
    await this.#disk.pool.close();
    await this.#disk.index.close();
    this.#disk.lock.release();
  }

  async #newIngest(digest: Digest, sizeBytes: number | undefined, path: string): Promise<DiskIngest> {
    const {folder, pool, room, shelf, leftovers, now} = this.#disk;
    const leftBytes = leftovers.take(path); // so that making room does not take it away
    const {maxBytes} = room.limits;
    const firstBytes =
      sizeBytes === undefined ? leftBytes + firstRoom(maxBytes) : Math.min(sizeBytes, leftBytes + GROW_BYTES);
    let reservation;
    try {
      reservation = await room.reserve(firstBytes, sizeBytes);
      fault('store.ingest.create');
      const ingest = new DiskIngest(digest, sizeBytes, {
        path,
        folder,
        pool,
        reservation,
        maxBytes,
        relieve: async (bytes) => await room.relieve(bytes),
        vacant: async () => await shelf.vacant(digest),
        indexed: async (...row) => await shelf.index(...row),
        ended: (keptBytes) => {
          shelf.ingests.delete(digest);
          if (keptBytes > 0) leftovers.add(path, keptBytes, now());
        },
      });
      fault('store.ingest.created');
      return ingest;
    } catch (error) {
      reservation?.release();
      if (leftBytes > 0) leftovers.add(path, leftBytes, now());
      throw error;
    }
  }
}

function rejectsOn(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), {once: true}); // an Error by default
  });
}
