import {LRUCache} from 'lru-cache';
import type {Digest} from '../../../oci/digest.ts';
import {isDigest} from '../../../oci/digest.ts';
import {isTag} from '../../../oci/reference.ts';
import {MAX_HISTORY, type TagMove, type TagState} from '../contract.ts';
import {Keyed} from '../keyed.ts';
import {pageOf} from '../page.ts';
import {namesIn, readIfThere} from './durable-files.ts';
import type {DiskParts} from './parts.ts';

const KNOWN_TAGS = 20_000;
/** Tags that are gone are remembered for so long, and so many of a repository. */
const REMEMBERED_MS = 90 * 24 * 3600_000;
const REMEMBERED = 1_000;

/** A tag's file: what it is, and how it came to be so, the newest first. One rename replaces both. */
interface TagFile {
  readonly digest: Digest | undefined;
  readonly moves: readonly TagMove[];
}

/**
 * Tags, a file each. One that is gone keeps its history beside them; where both are there (killed in between), the tag
 * that is there is the truth.
 */
export class DiskTags {
  readonly #parts: DiskParts;
  readonly #alone = new Keyed();
  readonly #known = new LRUCache<string, TagState>({max: KNOWN_TAGS});
  constructor(parts: DiskParts) {
    this.#parts = parts;
  }

  async get(repository: string, tag: string): Promise<TagState | undefined> {
    const key = keyOf(repository, tag);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    // In turn with the moves: what is read while one is under way may be old when it is kept.
    return await this.#alone.run(key, async () => {
      const file = await this.#read(this.#live(repository, tag));
      if (file?.digest === undefined) return undefined;
      const state = {tag, digest: file.digest, movedAt: file.moves[0]?.at ?? 0};
      this.#known.set(key, state);
      return state;
    });
  }

  async list(repository: string, page: {readonly after: string; readonly limit: number}): Promise<readonly string[]> {
    return pageOf(await namesIn(this.#parts.places.tags(repository)), page);
  }

  async move(repository: string, tag: string, move: TagMove): Promise<boolean> {
    const key = keyOf(repository, tag);
    return await this.#alone.run(key, async () => {
      const live = await this.#read(this.#live(repository, tag));
      if (live?.digest !== move.from) return false;
      const before = live ?? (await this.#read(this.#gone(repository, tag)));
      const moves = [move, ...(before?.moves ?? [])].slice(0, MAX_HISTORY);
      this.#known.delete(key);
      await this.#write(repository, tag, {digest: move.to, moves});
      return true;
    });
  }

  async history(repository: string, tag: string): Promise<readonly TagMove[]> {
    const file = (await this.#read(this.#live(repository, tag))) ?? (await this.#read(this.#gone(repository, tag)));
    return file?.moves ?? [];
  }

  async *histories(repository: string): AsyncIterable<readonly TagMove[]> {
    const {places} = this.#parts;
    for (const folder of [places.tags(repository), places.goneTags(repository)])
      for (const tag of (await namesIn(folder)).filter(isTag)) yield await this.history(repository, tag);
  }

  /** Forgets tags that have been gone for long. */
  async tidy(repository: string): Promise<void> {
    const {places, files, now} = this.#parts;
    const names = (await namesIn(places.goneTags(repository))).filter(isTag);
    const ages = await Promise.all(
      names.map(async (tag) => ({tag, at: (await this.#read(this.#gone(repository, tag)))?.moves[0]?.at ?? 0})),
    );
    ages.sort((a, b) => b.at - a.at);
    for (const [i, {tag, at}] of ages.entries())
      if (i >= REMEMBERED || at < now() - REMEMBERED_MS)
        await files.remove(this.#gone(repository, tag), 'hosted.forget');
  }

  async #write(repository: string, tag: string, file: TagFile): Promise<void> {
    const {files} = this.#parts;
    const [live, gone] = [this.#live(repository, tag), this.#gone(repository, tag)];
    const text = JSON.stringify(file);
    if (file.digest === undefined) {
      await files.write(gone, text, 'hosted.untag');
      await files.remove(live, 'hosted.untag');
    } else {
      await files.write(live, text, 'hosted.tag');
      await files.remove(gone, 'hosted.tag.gone');
    }
  }

  async #read(path: string): Promise<TagFile | undefined> {
    const text = await readIfThere(path);
    return text === undefined ? undefined : tagFile(path, text);
  }

  #live(repository: string, tag: string): string {
    return this.#parts.places.tag(this.#parts.places.tags(repository), tag);
  }
  #gone(repository: string, tag: string): string {
    return this.#parts.places.tag(this.#parts.places.goneTags(repository), tag);
  }
}

function keyOf(repository: string, tag: string): string {
  return `${repository}:${tag}`;
}

/** @throws {Error} for what no `#write` of ours wrote: a person has to look. */
function tagFile(path: string, text: string): TagFile {
  const {digest, moves} = JSON.parse(text) as Partial<TagFile>; // ours, or found wrong here
  if (!Array.isArray(moves) || (digest !== undefined && !isDigest(digest)))
    throw new Error(`${path} is not the file of a tag`);
  return {digest, moves: moves as readonly TagMove[]};
}
