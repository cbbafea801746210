import {stat} from 'node:fs/promises';
import {join} from 'node:path';
import type {Digest} from '../../../oci/digest.ts';
import {digestOfFile} from '../../store/pins.ts';
import type {LinkState} from '../contract.ts';
import {Keyed} from '../keyed.ts';
import {namesIn, setTime} from './durable-files.ts';
import type {DiskParts} from './parts.ts';

/** Times of links whose pushes have ended begin anew after so many, all of them in January 1970. */
const MAX_SETTLED = 1_000_000;

/**
 * Links are empty files whose time is that of the last claim, and one of 1970 when the pushes have ended: another one
 * each time, so that collection sees that a link was claimed and settled since it looked. How many pushes rely on one is
 * known to this process alone; after a restart the time speaks for them.
 */
export class DiskLinks {
  readonly #parts: DiskParts;
  readonly #alone = new Keyed();
  /** Repository and digest → pushes that rely on it. */
  readonly #claims = new Map<string, {count: number; at: number}>();
  #settled = 0;
  constructor(parts: DiskParts) {
    this.#parts = parts;
  }

  has(repository: string, digest: Digest): boolean {
    return this.#parts.pins().holders(digest).includes(repository);
  }

  async add(repository: string, digest: Digest): Promise<void> {
    const {places, files, pins} = this.#parts;
    await this.#alone.run(keyOf(repository, digest), async () => {
      await files.mark(places.link(repository, digest), 'hosted.link');
      pins().addLink(digest, repository);
      this.#count(repository, digest);
    });
  }

  async claim(repository: string, digest: Digest): Promise<boolean> {
    // In turn with collection: what it is about to remove cannot be relied on.
    return await this.#alone.run(keyOf(repository, digest), async () => {
      const isThere = await setTime(this.#parts.places.link(repository, digest), this.#parts.now());
      if (isThere) this.#count(repository, digest);
      return isThere;
    });
  }

  async settle(repository: string, digests: readonly Digest[]): Promise<void> {
    for (const digest of digests)
      await this.#alone.run(keyOf(repository, digest), async () => {
        if (this.#uncount(repository, digest, 2) > 0) return;
        this.#settled = (this.#settled % MAX_SETTLED) + 1;
        await setTime(this.#parts.places.link(repository, digest), this.#settled);
      });
  }

  unclaim(repository: string, digests: readonly Digest[]): void {
    for (const digest of digests) this.#uncount(repository, digest, 1);
  }

  async remove(repository: string, digest: Digest): Promise<boolean> {
    return await this.#alone.run(keyOf(repository, digest), async () => await this.#remove(repository, digest));
  }

  async collect(repository: string, seen: LinkState): Promise<boolean> {
    return await this.#alone.run(keyOf(repository, seen.digest), async () => {
      const now = await this.#state(repository, seen.digest);
      return now?.claimedAt === seen.claimedAt && (await this.#remove(repository, seen.digest));
    });
  }

  async *all(repository: string): AsyncIterable<LinkState> {
    for (const name of await namesIn(this.#parts.places.links(repository))) {
      const digest = digestOfFile(name);
      const state = digest === undefined ? undefined : await this.#state(repository, digest);
      if (state !== undefined) yield state;
    }
  }

  /** Forgets claims of pushes that never came to an end. */
  tidy(before: number): void {
    for (const [key, {at}] of this.#claims) if (at < before) this.#claims.delete(key);
  }

  async #remove(repository: string, digest: Digest): Promise<boolean> {
    const {places, files, pins, suspects} = this.#parts;
    await suspects.add(digest);
    const wasThere = await files.remove(places.link(repository, digest), 'hosted.unlink');
    pins().removeLink(digest, repository);
    this.#claims.delete(keyOf(repository, digest));
    return wasThere;
  }

  async #state(repository: string, digest: Digest): Promise<LinkState | undefined> {
    const found = await stat(this.#parts.places.link(repository, digest)).catch(() => undefined);
    return found === undefined ? undefined : {digest, claimedAt: Math.round(found.mtimeMs)};
  }

  /** @returns how many are left. */
  #uncount(repository: string, digest: Digest, by: number): number {
    const key = keyOf(repository, digest);
    const claim = this.#claims.get(key);
    if (claim === undefined) return 0;
    claim.count -= by;
    if (claim.count <= 0) this.#claims.delete(key);
    return claim.count;
  }

  #count(repository: string, digest: Digest): void {
    const key = keyOf(repository, digest);
    this.#claims.set(key, {count: (this.#claims.get(key)?.count ?? 0) + 1, at: this.#parts.now()});
  }
}

function keyOf(repository: string, digest: Digest): string {
  return join(repository, digest);
}
