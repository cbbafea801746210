import {BLOCK_BYTES, type Sums} from '../store/sums.ts';
import type {Checks} from './span.ts';

/** How far behind what is asked for the kernel may read ahead unasked; by default it is 128 KiB. */
const READ_AHEAD_BYTES = 16 << 20;

/** What is known of a file whose digest was right once, and of which parts have been read from the disk since, maybe. */
export class Proven implements Checks {
  readonly #sums: Sums;
  /** By block: 1 where what is in memory was not checked since it came from the disk. */
  readonly #doubts: Uint8Array;
  constructor(sums: Sums) {
    this.#sums = sums;
    this.#doubts = new Uint8Array(sums.blocks);
  }

  /** What it holds in memory, about. */
  get bytes(): number {
    return this.#doubts.length * 9;
  }

  /** A part may have been read from the disk, without a check. */
  doubt(at: number, length: number): void {
    this.#doubts.fill(1, Math.floor(at / BLOCK_BYTES), Math.ceil((at + length) / BLOCK_BYTES));
  }

  /** The same of a part that was read just now, and what the kernel may have read with it. */
  doubtRead(at: number, length: number): void {
    this.doubt(at, length + READ_AHEAD_BYTES);
  }

  doubtAll(): void {
    this.#doubts.fill(1);
  }

  isSound(at: number, length: number): boolean {
    const doubt = this.#doubts.indexOf(1, Math.floor(at / BLOCK_BYTES));
    return doubt < 0 || doubt * BLOCK_BYTES >= at + length;
  }

  check(block: number, bytes: Uint8Array, fromMemory: boolean): boolean {
    if (!fromMemory) this.doubtRead(block * BLOCK_BYTES, BLOCK_BYTES);
    const isRight = this.#sums.matches(block, bytes);
    this.#doubts[block] = isRight ? 0 : 1;
    return isRight;
  }
}
