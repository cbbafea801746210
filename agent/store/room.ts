import {statfs} from 'node:fs/promises';
import {type Limits, StoreFullError} from './contract.ts';
import type {EvictionReason} from './events.ts';
import type {SideFiles} from './side-files.ts';

/** Evicting goes on to this share of the limit, so that not each blob that comes has to wait for one that goes. */
const LOW_WATER = 0.95;
/** How long a look at the file system's free space is good for; what we reserve meanwhile is added up. */
const STATFS_MS = 1000;

export interface RoomParts {
  readonly root: string;
  readonly limits: Limits;
  readonly usedBytes: number;
  /** What may go before any blob does. */
  readonly side: readonly SideFiles[];
  /** Drops about so many bytes of the coldest. @returns bytes that are free now; 0 if nothing is left to drop. */
  evict(bytes: number, reason: EvictionReason): Promise<number>;
  failed(error: unknown): void;
  /** Any clock that does not jump, in ms. */
  monotonic(): number;
}

/** Room for one ingest. */
export interface Reservation {
  /** Makes it at least `bytes` large. @throws {StoreFullError} */
  grow(bytes: number): Promise<void>;
  bytes(): number;
  /** So much of it is on disk. */
  wrote(bytes: number): void;
  /** Idempotent. */
  release(): void;
}

/** Adds up what is on disk and what will be, and keeps both below the limits. One asks at a time. */
export class Room {
  readonly #parts: RoomParts;
  #limits: Limits;
  #usedBytes: number;
  #reservedBytes = 0;
  #unwrittenBytes = 0;
  /** Free space as it will be when all that is reserved is written. */
  #freeBytes = 0;
  #totalBytes = 0;
  #lookedAt = -Infinity;
  /** One at a time: a disk that hangs must not take a thread for each who asks. */
  #ahead: Promise<void> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #draining = false;
  #closed = false;
  constructor(parts: RoomParts) {
    this.#parts = parts;
    this.#limits = parts.limits;
    this.#usedBytes = parts.usedBytes;
  }

  get limits(): Limits {
    return this.#limits;
  }
  get usedBytes(): number {
    return this.#usedBytes;
  }
  get reservedBytes(): number {
    return this.#reservedBytes;
  }
  /** Everything of ours that is on disk or has been promised. */
  get takenBytes(): number {
    return this.#reservedBytes + this.#droppableBytes;
  }
  get #droppableBytes(): number {
    return this.#usedBytes + this.#parts.side.reduce((sum, {bytes}) => sum + bytes, 0);
  }

  /** Blobs came or went. */
  use(bytes: number): void {
    this.#usedBytes = Math.max(0, this.#usedBytes + bytes);
    if (bytes < 0) this.#lookedAt = -Infinity;
  }
  /** The index was lost: what is on disk is counted as it is found again. */
  resetUsed(): void {
    this.#usedBytes = 0;
  }

  /**
   * @param wholeBytes what it will grow to, as somebody says. It has to fit, but nothing is dropped for it before it
   *   comes: an upstream that only announces a large blob must not empty the cache.
   * @throws {StoreFullError} if there is not enough even after evicting.
   */
  async reserve(bytes: number, wholeBytes = bytes): Promise<Reservation> {
    const {maxBytes} = this.#limits;
    if (wholeBytes > maxBytes) throw new StoreFullError(`Blob of ${wholeBytes} bytes is larger than the cache`);
    await this.#alone(async () => {
      const shortage = await this.#shortage(wholeBytes, maxBytes);
      if (shortage.bytes > this.#droppableBytes)
        throw new StoreFullError(`No room for ${wholeBytes} bytes (${shortage.reason})`);
      await this.#claim(bytes);
    });
    return this.#reservation(bytes);
  }

  setLimits(limits: Limits): void {
    this.#limits = limits;
    this.#lookedAt = -Infinity;
  }

  /** Evicts down to the limits, as when they shrank or somebody else filled the disk. */
  async settle(): Promise<void> {
    for (;;) {
      const freed = await this.#alone(async () => {
        const {bytes, reason} = await this.#shortage(0, this.#limits.maxBytes);
        return bytes > 0 ? await this.#drop(bytes, reason) : 0;
      });
      if (freed === 0 || this.#closed) return;
    }
  }

  /** The disk said it is full although we thought it was not. @returns whether anything could be dropped. */
  async relieve(bytes: number): Promise<boolean> {
    return (await this.#alone(async () => await this.#drop(bytes, 'free'))) > 0;
  }

  /** Looks at the disk while the caller asks elsewhere how much room it needs: then nobody waits for it. */
  lookAhead(): void {
    if (this.#ahead !== undefined) return;
    this.#ahead = this.#look()
      .catch(() => undefined) // who reserves looks again, and is told
      .finally(() => (this.#ahead = undefined));
  }

  async freeBytes(): Promise<number> {
    await this.#look();
    return this.#freeBytes + this.#unwrittenBytes;
  }

  /** How much may be held as the disk is now: the limit, or less where others fill the disk. */
  async capacityBytes(): Promise<number> {
    await this.#look();
    const byDisk = this.takenBytes + this.#freeBytes - this.#minFreeBytes;
    return Math.max(0, Math.min(this.#limits.maxBytes, Math.floor(byDisk)));
  }

  close(): void {
    this.#closed = true;
  }

  async #claim(bytes: number): Promise<void> {
    let evicted = false;
    for (;;) {
      const shortage = await this.#shortage(bytes, this.#limits.maxBytes);
      if (shortage.bytes <= 0) break;
      // What would not fit into an empty cache empties none.
      if (
        this.#closed ||
        shortage.bytes > this.#droppableBytes ||
        (await this.#drop(shortage.bytes, shortage.reason)) === 0
      )
        throw new StoreFullError(`No room for ${bytes} bytes (${shortage.reason})`);
      evicted = true;
    }
    this.#reservedBytes += bytes;
    this.#unwrittenBytes += bytes;
    this.#freeBytes -= bytes;
    if (evicted) void this.#drain();
  }

  /** How much too little there is for `bytes` more. */
  async #shortage(
    bytes: number,
    maxBytes: number,
  ): Promise<{readonly bytes: number; readonly reason: 'size' | 'free'}> {
    const size = this.takenBytes + bytes - maxBytes;
    if (size > 0) return {bytes: size, reason: 'size'};
    await this.#look();
    return {bytes: Math.ceil(this.#minFreeBytes - (this.#freeBytes - bytes)), reason: 'free'};
  }

  get #minFreeBytes(): number {
    const {minFree} = this.#limits;
    return 'bytes' in minFree ? minFree.bytes : minFree.share * this.#totalBytes;
  }

  async #look(): Promise<void> {
    const now = this.#parts.monotonic();
    if (now - this.#lookedAt < STATFS_MS) return;
    const {bavail, blocks, bsize} = await statfs(this.#parts.root);
    this.#freeBytes = bavail * bsize - this.#unwrittenBytes;
    this.#totalBytes = blocks * bsize;
    this.#lookedAt = now;
  }

  async #drop(bytes: number, reason: EvictionReason): Promise<number> {
    this.#lookedAt = -Infinity;
    for (const side of this.#parts.side) {
      const freed = side.dropOldest();
      if (freed !== undefined) return Math.max(1, freed);
    }
    return await this.#parts.evict(bytes, reason);
  }

  /** In the background, a batch at a time, so that who asks for room is let in between. */
  async #drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let freed = 1; freed > 0 && !this.#closed;) {
        freed = await this.#alone(async () => {
          const excess = this.takenBytes - this.#limits.maxBytes * LOW_WATER;
          return excess > 0 ? await this.#parts.evict(Math.min(excess, this.#limits.maxBytes / 50), 'size') : 0;
        });
      }
    } catch (error) {
      this.#parts.failed(error);
    } finally {
      this.#draining = false;
    }
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#queue;
    const {promise, resolve} = Promise.withResolvers<void>();
    this.#queue = promise;
    try {
      await before;
      return await work();
    } finally {
      resolve();
    }
  }

  #reservation(initialBytes: number): Reservation {
    let [bytes, written] = [initialBytes, 0];
    return {
      bytes: () => bytes,
      grow: async (to) => {
        if (to <= bytes) return;
        if (to > this.#limits.maxBytes) throw new StoreFullError('Blob is larger than the cache');
        await this.#alone(async () => await this.#claim(to - bytes));
        bytes = to;
      },
      wrote: (to) => {
        const more = Math.min(to, bytes) - written;
        written += more;
        this.#unwrittenBytes -= more;
      },
      release: () => {
        this.#reservedBytes -= bytes;
        this.#unwrittenBytes -= bytes - written;
        this.#freeBytes += bytes - written;
        [bytes, written] = [0, 0];
      },
    };
  }
}
