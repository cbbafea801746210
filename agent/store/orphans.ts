import type {Digest} from '../../oci/digest.ts';

/** Files that no index row knows yet. They count as used until they are adopted or dropped. */
export class Orphans {
  /** Digest → bytes. */
  readonly #files = new Map<Digest, number>();
  readonly #used: (bytes: number) => void;
  constructor(used: (bytes: number) => void) {
    this.#used = used;
  }

  get entries(): Iterable<readonly [Digest, number]> {
    return this.#files;
  }
  get digests(): Iterable<Digest> {
    return this.#files.keys();
  }

  add(digest: Digest, sizeBytes: number): void {
    this.remove(digest);
    this.#files.set(digest, sizeBytes);
    this.#used(sizeBytes);
  }

  remove(digest: Digest): void {
    const sizeBytes = this.#files.get(digest);
    if (sizeBytes === undefined) return;
    this.#files.delete(digest);
    this.#used(-sizeBytes);
  }

  /** The index was lost and with it what counts as used: all is found again. */
  clear(): void {
    this.#files.clear();
  }
}
