import {statfs} from 'node:fs/promises';
import {StoreFullError} from '../../store/contract.ts';
import type {Disk} from '../../store/disk.ts';

/** Always left free, so that metadata can be written and things removed: a share of the disk, and at most so much. */
const LEFT_FREE_SHARE = 0.01;
const LEFT_FREE_BYTES = 1 << 30;
/** How many bytes may be written after a look at the disk. */
const LOOK_BYTES = 16 << 20;
/** What the cache gives back at a time, at least. */
const STEP_BYTES = 64 << 20;

/** Whether the disk has room for what is pushed. The cache gives way to it. */
export class DiskSpace {
  readonly #disk: () => Disk;
  /** Bytes that may be written before the next look. */
  #allowance = 0;
  constructor(disk: () => Disk) {
    this.#disk = disk;
  }

  /** @throws {StoreFullError} if there is no room, also after the cache gave up all it can. */
  async expect(bytes: number): Promise<void> {
    this.#allowance -= bytes;
    if (this.#allowance >= 0) return;
    let free = await this.#free();
    while (free < bytes && (await this.relieve(bytes - free))) free = await this.#free();
    if (free < bytes) throw new StoreFullError('The disk of this registry is full');
    this.#allowance = Math.min(LOOK_BYTES, Math.floor((free - bytes) / 4));
  }

  /** @returns whether the cache could give anything. */
  async relieve(bytes: number): Promise<boolean> {
    this.#allowance = 0;
    return await this.#disk().room.relieve(Math.max(bytes, STEP_BYTES));
  }

  /** Beyond what is left free. */
  async #free(): Promise<number> {
    const {bavail, blocks, bsize} = await statfs(this.#disk().folder.root);
    return bavail * bsize - Math.min(blocks * bsize * LEFT_FREE_SHARE, LEFT_FREE_BYTES);
  }
}
