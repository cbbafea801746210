import {stat} from 'node:fs/promises';
import {join} from 'node:path';
import type {Digest} from '../../../oci/digest.ts';
import {digestOfFile} from '../../store/pins.ts';
import {SETTLED_BEFORE, type LetGo, type LinkState} from '../contract.ts';
import {Keyed} from '../keyed.ts';
import {Claims} from './claims.ts';
import {namesIn, setTime} from './durable-files.ts';
import type {DiskParts} from './parts.ts';

/** Times of links whose pushes have ended begin anew after so many, all of them in January 1970. */
const MAX_SETTLED = 1_000_000;

/**
 * Links are empty files whose time is that of the last claim, and one of 1970 when the pushes have ended: another one
 * each time, so that collection sees that a link was claimed and settled since it looked. Who relies on one is known to
 * this process alone; what an earlier one's pushes have claimed stays so until its time is over.
 */
export class DiskLinks {
  readonly #parts: DiskParts;
  readonly #alone = new Keyed();
  readonly #claims = new Claims();
  /** Repository and digest → manifests that are being put and name it. */
  readonly #relied = new Map<string, number>();
  /** Repository and digest → the time of a claim that nobody knows of, before those that we do. */
  readonly #earlier = new Map<string, number>();
  #settled = 0;
  constructor(parts: DiskParts) {
    this.#parts = parts;
  }

  has(repository: string, digest: Digest): boolean {
    return this.#parts.pins().holders(digest).includes(repository);
  }

  async add(repository: string, digest: Digest, by: string | undefined): Promise<void> {
    const {places, files, pins, now} = this.#parts;
    await this.#alone.run(keyOf(repository, digest), async () => {
      await this.#noteEarlier(repository, digest);
      await files.mark(places.link(repository, digest), 'hosted.link');
      pins().addLink(digest, repository);
      this.#claims.add('sent', repository, {digest, by, at: now()});
    });
  }

  async claim(repository: string, digest: Digest, by: string | undefined): Promise<boolean> {
    const {places, now} = this.#parts;
    // In turn with collection: what it is about to remove cannot be relied on.
    return await this.#alone.run(keyOf(repository, digest), async () => {
      await this.#noteEarlier(repository, digest);
      const isThere = await setTime(places.link(repository, digest), now());
      if (isThere) this.#claims.add('asked', repository, {digest, by, at: now()});
      return isThere;
    });
  }

  async rely(repository: string, digest: Digest): Promise<LetGo | undefined> {
    const key = keyOf(repository, digest);
    return await this.#alone.run(key, async () => {
      const state = await this.#state(repository, digest);
      if (state === undefined) return undefined;
      // Collection that has seen it before must see that it is another one now.
      await setTime(
        this.#parts.places.link(repository, digest),
        state.claimedAt < SETTLED_BEFORE ? this.#nextSettled() : state.claimedAt + 1,
      );
      this.#relied.set(key, (this.#relied.get(key) ?? 0) + 1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (this.#relied.get(key) ?? 0) - 1;
        if (left > 0) this.#relied.set(key, left);
        else this.#relied.delete(key);
      };
    });
  }

  async settle(
    repository: string,
    by: string | undefined,
    put: {digests: readonly Digest[]; isNew: boolean},
  ): Promise<void> {
    for (const digest of this.#claims.take(repository, by, put)) {
      const key = keyOf(repository, digest);
      await this.#alone.run(key, async () => {
        if (this.#claims.has(repository, digest)) return; // claimed meanwhile
        const earlier = this.#earlier.get(key);
        this.#earlier.delete(key);
        await setTime(
          this.#parts.places.link(repository, digest),
          earlier === undefined ? this.#nextSettled() : earlier + 1,
        );
      });
    }
  }

  async remove(repository: string, digest: Digest): Promise<boolean> {
    return await this.#alone.run(keyOf(repository, digest), async () => await this.#remove(repository, digest));
  }

  async collect(repository: string, seen: LinkState): Promise<boolean> {
    return await this.#alone.run(keyOf(repository, seen.digest), async () => {
      if (this.#relied.has(keyOf(repository, seen.digest))) return false;
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
    this.#claims.tidy(before);
    for (const [key, at] of this.#earlier) if (at < before) this.#earlier.delete(key);
  }

  async #remove(repository: string, digest: Digest): Promise<boolean> {
    const {places, files, pins, suspects} = this.#parts;
    await suspects.add(digest);
    const wasThere = await files.remove(places.link(repository, digest), 'hosted.unlink');
    pins().removeLink(digest, repository);
    this.#claims.forget(repository, digest);
    this.#earlier.delete(keyOf(repository, digest));
    return wasThere;
  }

  async #state(repository: string, digest: Digest): Promise<LinkState | undefined> {
    const found = await stat(this.#parts.places.link(repository, digest)).catch(() => undefined);
    return found === undefined ? undefined : {digest, claimedAt: Math.round(found.mtimeMs)};
  }

  /** Before the first claim that we know of: one that stands there is an earlier process's, or of who never came back. */
  async #noteEarlier(repository: string, digest: Digest): Promise<void> {
    if (this.#claims.has(repository, digest)) return;
    const claimedAt = (await this.#state(repository, digest))?.claimedAt ?? 0;
    if (claimedAt >= SETTLED_BEFORE) this.#earlier.set(keyOf(repository, digest), claimedAt);
  }

  #nextSettled(): number {
    this.#settled = (this.#settled % MAX_SETTLED) + 1;
    return this.#settled;
  }
}

function keyOf(repository: string, digest: Digest): string {
  return join(repository, digest);
}
