import {closeSync, constants, openSync, truncateSync, writeSync} from 'node:fs';

/** More than the index writes while it drops a batch of images. */
const BALLAST_BYTES = 1024 * 1024;
/** A smaller cache has none: it would be a good part of it. */
const MIN_CACHE_BYTES = 64 * BALLAST_BYTES;

/**
 * A file that is there to be let go. On a disk without a free byte the index cannot even write down what is dropped;
 * with the ballast gone it can.
 */
export class Ballast {
  readonly #path: string;
  #isAboard = false;
  readonly #isWanted: boolean;
  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#isWanted = maxBytes >= MIN_CACHE_BYTES;
  }

  /** Writes it, if there is room; otherwise another time. */
  take(): void {
    if (this.#isAboard || !this.#isWanted) return;
    try {
      const {O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW} = constants;
      const fd = openSync(this.#path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
      try {
        this.#isAboard = writeSync(fd, Buffer.alloc(BALLAST_BYTES)) === BALLAST_BYTES;
      } finally {
        closeSync(fd);
      }
    } catch {
      this.#isAboard = false;
    }
    if (!this.#isAboard) this.drop();
  }

  /** Gives its room back, also that of an earlier process. */
  drop(): void {
    this.#isAboard = false;
    try {
      truncateSync(this.#path);
    } catch {
      // Not there, or a read-only disk: no help then.
    }
  }
}
