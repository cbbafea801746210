import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';

/** How long a client is remembered to have had a blob: longer than kubelet's longest back-off of five minutes. */
const REMEMBERED_MS = 600_000;
const REMEMBERED = 10_000;
/** However good a file proved, it is hashed again after this many unverified sends to one client. */
const MOST_UNVERIFIED = 64;

/**
 * Who asks again in full for what it was sent in full suspects it (design §1.3): then the file is hashed again
 * while it leaves. Right after a verified send there is nothing to suspect, and each time the file proves right,
 * twice as many repeats go by unverified: what is asked for again and again is asked for by healthy clients.
 */
export class Repeats {
  readonly #known = new LRUCache<string, {unverified: number; readonly allowed: number}>({
    max: REMEMBERED,
    ttl: REMEMBERED_MS,
  });

  /** Whether the send that is about to begin must be verified. */
  suspects(client: string, digest: Digest): boolean {
    const known = this.#known.get(`${client} ${digest}`);
    return known !== undefined && known.unverified >= known.allowed;
  }

  /** A send was completed. @param verified by hash, while it left or as it arrived. */
  completed(client: string, digest: Digest, verified: boolean): void {
    const key = `${client} ${digest}`;
    const known = this.#known.get(key);
    if (!verified) {
      this.#known.set(key, {unverified: (known?.unverified ?? 0) + 1, allowed: known?.allowed ?? 1});
      return;
    }
    const allowed =
      known !== undefined && known.unverified > 0
        ? Math.min(MOST_UNVERIFIED, known.allowed * 2)
        : (known?.allowed ?? 1);
    this.#known.set(key, {unverified: 0, allowed});
  }
}
