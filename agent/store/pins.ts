import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {isDigest, type Digest} from '../../oci/digest.ts';

/** Which digests begin or cease to be hosted. Called synchronously. */
export type PinsChanged = (digest: Digest, isPinned: boolean) => void;

/**
 * Which digests are hosted, and where: what eviction must never touch (design §7). Derived from the names of the files
 * below `hosted/repositories/`, some 130 bytes a link; the folders are the truth.
 */
export class Pins {
  /** Digest → repositories that show it as a blob. */
  readonly #links = new Map<Digest, string[]>();
  /** Digest → repositories that have it as a manifest. */
  readonly #manifests = new Map<Digest, string[]>();
  /** Digest → operations under way that rely on it. */
  readonly #holds = new Map<Digest, number>();
  /** Repository → entries. */
  readonly #repositories = new Map<string, number>();
  #sorted: readonly string[] | undefined;
  changed: PinsChanged = () => undefined;

  has(digest: Digest): boolean {
    return this.#links.has(digest) || this.#manifests.has(digest) || this.#holds.has(digest);
  }

  get digests(): ReadonlySet<Digest> {
    return new Set([...this.#links.keys(), ...this.#manifests.keys()]);
  }

  /** Names in ASCII order. */
  get repositories(): readonly string[] {
    return (this.#sorted ??= [...this.#repositories.keys()].sort());
  }
  hasRepository(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  holders(digest: Digest): readonly string[] {
    return this.#links.get(digest) ?? [];
  }

  /** @returns what lets go of it; more calls do nothing. */
  hold(digest: Digest): () => void {
    this.#changing(digest, () => this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1));
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#changing(digest, () => countDown(this.#holds, digest));
    };
  }

  addLink(digest: Digest, repository: string): void {
    this.#add(this.#links, digest, repository);
  }
  removeLink(digest: Digest, repository: string): void {
    this.#remove(this.#links, digest, repository);
  }
  addManifest(digest: Digest, repository: string): void {
    this.#add(this.#manifests, digest, repository);
  }
  removeManifest(digest: Digest, repository: string): void {
    this.#remove(this.#manifests, digest, repository);
  }

  #add(entries: Map<Digest, string[]>, digest: Digest, repository: string): void {
    this.#changing(digest, () => {
      const holders = entries.get(digest);
      if (holders?.includes(repository) === true) return;
      if (holders === undefined) entries.set(digest, [repository]);
      else holders.push(repository);
      this.#countRepository(repository);
    });
  }

  #remove(entries: Map<Digest, string[]>, digest: Digest, repository: string): void {
    this.#changing(digest, () => {
      const holders = entries.get(digest);
      const at = holders?.indexOf(repository) ?? -1;
      if (holders === undefined || at === -1) return;
      if (holders.length === 1) entries.delete(digest);
      else holders.splice(at, 1);
      this.#uncountRepository(repository);
    });
  }

  #changing(digest: Digest, change: () => void): void {
    const before = this.has(digest);
    change();
    const after = this.has(digest);
    if (before !== after) this.changed(digest, after);
  }

  #countRepository(repository: string): void {
    const count = this.#repositories.get(repository) ?? 0;
    if (count === 0) this.#sorted = undefined;
    this.#repositories.set(repository, count + 1);
  }

  #uncountRepository(repository: string): void {
    countDown(this.#repositories, repository);
    if (!this.#repositories.has(repository)) this.#sorted = undefined;
  }
}

function countDown<K>(counts: Map<K, number>, key: K): void {
  const count = (counts.get(key) ?? 0) - 1;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

/** A repository's folder has its name with commas for slashes: no name holds one, and the length stays. */
export function folderNameOf(repository: string): string {
  return repository.replaceAll('/', ',');
}

/** A file's name for a digest. */
export function fileNameOf(digest: Digest): string {
  return digest.replace(':', '-');
}

/** `undefined` for a file that is none of ours. */
export function digestOfFile(name: string): Digest | undefined {
  const digest = name.replace('-', ':');
  return isDigest(digest) ? digest : undefined;
}

/** Reads the names of all that is hosted; empty where nothing ever was. @throws {Error} of `node:fs`. */
export function loadPins(repositories: string): Pins {
  const pins = new Pins();
  for (const name of namesIn(repositories)) {
    const repository = name.replaceAll(',', '/');
    for (const digest of digestsIn(join(repositories, name, 'blobs'))) pins.addLink(digest, repository);
    for (const digest of digestsIn(join(repositories, name, 'manifests'))) pins.addManifest(digest, repository);
  }
  return pins;
}

function digestsIn(folder: string): readonly Digest[] {
  return namesIn(folder)
    .map(digestOfFile)
    .filter((digest) => digest !== undefined);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
