import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import type {Sums} from '../store/sums.ts';
import {Proven} from './proven.ts';
import type {FilePart} from './send.ts';

/** How long a client is remembered to have had a blob: longer than kubelet's longest back-off of five minutes. */
const REMEMBERED_MS = 600_000;
const REMEMBERED = 10_000;
/** Of sums and doubts: of some 60 GiB of blobs. */
const MAX_PROVEN_BYTES = 2 << 20;

/** Of the send of all of a blob that is about to begin: trusted, to be hashed, or to be checked where there is doubt. */
export type Suspicion = 'none' | 'hash' | Proven;

/**
 * Who asks again in full for what it was sent in full suspects it (design §1.3): then nothing leaves whose bytes in memory
 * are not known to have been proven and to have stayed there, for what rots is the disk (ADR 4). Of one store's files, one
 * for each digest.
 */
export class Repeats {
  /** Client and digest. */
  readonly #had = new LRUCache<string, true>({max: REMEMBERED, ttl: REMEMBERED_MS});
  /** Proven by hash as they arrived, and nothing of them has come from the disk since. */
  readonly #sound = new LRUCache<Digest, true>({max: REMEMBERED, ttl: REMEMBERED_MS});
  /** Proven by hash since. */
  readonly #proven = new LRUCache<Digest, {readonly proven: Proven; trustedAt: number}>({
    max: REMEMBERED,
    maxSize: MAX_PROVEN_BYTES,
    sizeCalculation: ({proven}) => proven.bytes + 1,
  });
  /** When something of it came from the disk and was not checked. */
  readonly #doubtedAt = new LRUCache<Digest, number>({max: REMEMBERED, ttl: REMEMBERED_MS});
  readonly #now: () => number;
  constructor(now = (): number => performance.now()) {
    this.#now = now;
  }

  /** @param missing what of the file is not in memory. */
  async suspicion(client: string, digest: Digest, missing: () => Promise<readonly FilePart[]>): Promise<Suspicion> {
    if (!this.#had.has(`${client} ${digest}`)) return 'none';
    const known = this.#proven.get(digest);
    if (known !== undefined) {
      if (this.#now() - known.trustedAt > REMEMBERED_MS) {
        known.proven.doubtAll();
        known.trustedAt = this.#now();
      }
      for (const {at, length} of await missing()) known.proven.doubt(at, length);
      return known.proven;
    }
    return this.#sound.has(digest) && (await missing()).length === 0 ? 'none' : 'hash';
  }

  /** A part of it came from the disk and was not checked. Offset and length in bytes. */
  doubt(digest: Digest, at: number, length: number): void {
    this.#doubtedAt.set(digest, this.#now());
    this.#sound.delete(digest);
    this.#proven.get(digest)?.proven.doubtRead(at, length);
  }

  /** Hashes its file, and remembers. @returns whether it is right. @param verify what does so, with the sums of its blocks. */
  async prove(digest: Digest, verify: () => Promise<Sums | undefined>): Promise<boolean> {
    const begun = this.#now();
    const sums = await verify();
    if (sums === undefined) return false;
    const proven = new Proven(sums);
    if ((this.#doubtedAt.get(digest) ?? -Infinity) >= begun) proven.doubtAll(); // of what was read meanwhile nothing is known
    this.#proven.set(digest, {proven, trustedAt: this.#now()});
    return true;
  }

  /** It was hashed as it arrived, and is right. Who was slow may have made the kernel read some of it back. */
  arrived(digest: Digest): void {
    if (!this.#doubtedAt.has(digest)) this.#sound.set(digest, true);
  }

  /** A client was sent all of it. */
  completed(client: string, digest: Digest): void {
    this.#had.set(`${client} ${digest}`, true);
  }
}
