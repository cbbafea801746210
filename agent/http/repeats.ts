import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';

/** How long a client is remembered to have had a blob: longer than kubelet's longest back-off of five minutes. */
const REMEMBERED_MS = 600_000;
const REMEMBERED = 10_000;

/**
 * Who asks again in full for what it was sent in full suspects it (design §1.3): then the file is hashed again while it
 * leaves. Unless its bytes in memory were proven and have stayed there: what rots is the disk (ADR 4). Of one store's
 * files, one for each digest.
 */
export class Repeats {
  /** Client and digest. */
  readonly #had = new LRUCache<string, true>({max: REMEMBERED, ttl: REMEMBERED_MS});
  /** Proven by hash within that time, and not known to have been read from the disk since by a send that was not hashed. */
  readonly #sound = new LRUCache<Digest, true>({max: REMEMBERED, ttl: REMEMBERED_MS});

  /** Whether the send of all of a blob that is about to begin must be verified. @param inMemory whether all of it is there. */
  async suspects(client: string, digest: Digest, inMemory: () => Promise<boolean>): Promise<boolean> {
    if (!this.#had.has(`${client} ${digest}`)) return false;
    return !(this.#sound.has(digest) && (await inMemory()));
  }

  /** Bytes of it left that came from the disk and were not hashed. */
  doubt(digest: Digest): void {
    this.#sound.delete(digest);
  }

  /** A send of all of it was completed. @param verified by hash, while it left or as it arrived. */
  completed(client: string, digest: Digest, verified: boolean): void {
    this.#had.set(`${client} ${digest}`, true);
    if (verified) this.#sound.set(digest, true);
  }
}
