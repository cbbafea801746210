import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import type {Link, TagRecord} from './contract.ts';
import type {BlobRow} from './index-blobs.ts';

const MAX_ROWS = 20_000;
const MAX_LINKED = 10_000;
const MAX_NAMES_A_DIGEST = 100;
const MAX_TAGS = 10_000;

/**
 * What the index said lately, so that a warm request asks no other thread. Every change goes through here as well:
 * what is in here is what the index has.
 */
export class Memory {
  readonly #rows = new LRUCache<Digest, BlobRow>({max: MAX_ROWS});
  /** Digest → repository (`everywhere` for all) → links. */
  readonly #links = new LRUCache<Digest, Map<string, readonly Link[]>>({max: MAX_LINKED});
  /** Tag with repository and authority → what it is; no record: known to be unknown. */
  readonly #tags = new LRUCache<string, {readonly record: TagRecord | undefined}>({max: MAX_TAGS});
  #changes = 0;

  /** An answer of the index may be kept only if nothing changed since it was asked: compare before and after. */
  get changes(): number {
    return this.#changes;
  }

  row(digest: Digest): BlobRow | undefined {
    return this.#rows.get(digest);
  }
  /** `undefined`: not in memory. An empty list: there are none. */
  links(digest: Digest, name: RepositoryName | undefined): readonly Link[] | undefined {
    return this.#links.get(digest)?.get(placeOf(name));
  }
  /** `undefined`: not in memory. */
  tag(name: RepositoryName, tag: string, authority: Authority): {readonly record: TagRecord | undefined} | undefined {
    return this.#tags.get(tagKey(name, tag, authority));
  }

  keepRow(row: BlobRow): void {
    this.#rows.set(row.digest, row);
  }
  keepLinks(digest: Digest, name: RepositoryName | undefined, links: readonly Link[]): void {
    let places = this.#links.get(digest);
    if (places === undefined || places.size >= MAX_NAMES_A_DIGEST) this.#links.set(digest, (places = new Map()));
    places.set(placeOf(name), links);
  }
  keepTag(name: RepositoryName, tag: string, authority: Authority, record: TagRecord | undefined): void {
    this.#tags.set(tagKey(name, tag, authority), {record});
  }

  /** A link was added, or replaced the one of the same authority. */
  addLink(link: Link): void {
    this.#changes++;
    const places = this.#links.get(link.digest);
    const known = places?.get(placeOf(link));
    places?.delete(placeOf(undefined));
    // Without `known` there may be more in the index: asked when needed.
    places?.delete(placeOf(link));
    if (known)
      this.keepLinks(link.digest, link, [...known.filter(({authority}) => authority !== link.authority), link]);
  }

  putTag(record: TagRecord): void {
    this.#changes++;
    this.keepTag(record, record.tag, record.authority, record);
  }
  removeTag(name: RepositoryName, tag: string, authority: Authority): void {
    this.#changes++;
    this.keepTag(name, tag, authority, undefined);
  }

  /** The blobs are gone. @param names whether their links and tags are, too. */
  forget(digests: readonly Digest[], names: boolean): void {
    this.#changes++;
    for (const digest of digests) {
      this.#rows.delete(digest);
      if (names) this.#links.delete(digest);
    }
    if (!names) return;
    const gone = new Set(digests);
    for (const [key, {record}] of this.#tags.entries()) if (record && gone.has(record.digest)) this.#tags.delete(key);
  }

  /** Names changed in the index in a way that is not known here in detail. */
  forgetNames(): void {
    this.#changes++;
    this.#links.clear();
    this.#tags.clear();
  }

  /** A row was written. */
  changed(row: BlobRow): void {
    this.#changes++;
    this.#rows.set(row.digest, row);
  }
}

interface Keys {
  readonly place: string;
  /** The tag that was asked for last, with its key for each authority: requests that repeat have one tag. */
  tag: string | undefined;
  readonly tags: Record<Authority, string>;
}

/** By repository, an object that lives as long as its requests repeat: its keys are put together and hashed once. */
const keysByName = new WeakMap<RepositoryName, Keys>();

// A space is in none of registry, repository and tag (A-010 ff.).
function keysOf(name: RepositoryName): Keys {
  let keys = keysByName.get(name);
  if (keys === undefined) {
    keys = {place: `${name.registry} ${name.repository}`, tag: undefined, tags: {anonymous: '', node: ''}};
    keysByName.set(name, keys);
  }
  return keys;
}

function placeOf(name: RepositoryName | undefined): string {
  return name === undefined ? 'everywhere' : keysOf(name).place;
}

function tagKey(name: RepositoryName, tag: string, authority: Authority): string {
  const keys = keysOf(name);
  if (keys.tag !== tag) {
    keys.tag = tag;
    keys.tags.anonymous = `${keys.place} ${tag} anonymous`;
    keys.tags.node = `${keys.place} ${tag} node`;
  }
  return keys.tags[authority];
}
