import type {Digest} from '../../oci/digest.ts';

/** Files that no index row knows yet. They count as used until they are adopted or dropped; what is hosted never does. */
export class Orphans {
  /** Digest → bytes that are counted for it. */
  readonly #files = new Map<Digest, number>();
  readonly #used: (bytes: number) => void;
  readonly #isPinned: (digest: Digest) => boolean;
  constructor(used: (bytes: number) => void, isPinned: (digest: Digest) => boolean) {
    this.#used = used;
    this.#isPinned = isPinned;
  }

  get entries(): Iterable<readonly [Digest, number]> {
    return this.#files;
  }
  get digests(): Iterable<Digest> {
    return this.#files.keys();
  }

  add(digest: Digest, sizeBytes: number): void {
    this.remove(digest);
    const counted = this.#isPinned(digest) ? 0 : sizeBytes;
    this.#files.set(digest, counted);
    this.#used(counted);
  }

  remove(digest: Digest): void {
    const sizeBytes = this.#files.get(digest);
    if (sizeBytes === undefined) return;
    this.#files.delete(digest);
    this.#used(-sizeBytes);
  }

  /** It is hosted now. */
  uncount(digest: Digest): void {
    const counted = this.#files.get(digest);
    if (counted === undefined) return;
    this.#files.set(digest, 0);
    this.#used(-counted);
  }

  /** The index was lost and with it what counts as used: all is found again. */
  clear(): void {
    this.#files.clear();
  }
}
