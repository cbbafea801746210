import {join} from 'node:path';
import {LRUCache} from 'lru-cache';
import {isDigest, type Digest} from '../../../oci/digest.ts';
import {digestOfFile, fileNameOf} from '../../store/pins.ts';
import type {ManifestRecord} from '../contract.ts';
import {Keyed} from '../keyed.ts';
import {namesIn, readIfThere} from './durable-files.ts';
import type {DiskParts} from './parts.ts';

/** Records in memory, counted by what they refer to: some 100 bytes each. */
const KNOWN_CHILDREN = 200_000;

/**
 * Manifests that a repository has, a file each. Below its subject's folder a referrer has a mark, which is made before
 * the manifest and counts only while that is there.
 */
export class DiskManifests {
  readonly #parts: DiskParts;
  readonly #alone = new Keyed();
  readonly #known = new LRUCache<string, ManifestRecord>({
    maxSize: KNOWN_CHILDREN,
    sizeCalculation: ({children}) => 4 + children.length,
  });
  constructor(parts: DiskParts) {
    this.#parts = parts;
  }

  async get(repository: string, digest: Digest): Promise<ManifestRecord | undefined> {
    const path = this.#parts.places.manifest(repository, digest);
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    return await this.#alone.run(path, async () => {
      const text = await readIfThere(path);
      if (text === undefined) return undefined;
      const record = recordIn(path, text);
      this.#known.set(path, record);
      return record;
    });
  }

  async put(repository: string, record: ManifestRecord): Promise<void> {
    const {places, files, pins} = this.#parts;
    const path = places.manifest(repository, record.digest);
    await this.#alone.run(path, async () => {
      if (record.subject !== undefined)
        await files.mark(join(places.referrers(repository, record.subject), fileNameOf(record.digest)), 'hosted.refer');
      this.#known.delete(path);
      await files.write(path, JSON.stringify(record), 'hosted.manifest');
      pins().addManifest(record.digest, repository);
    });
  }

  async remove(repository: string, digest: Digest, seen?: ManifestRecord): Promise<boolean> {
    const {places, files, pins, suspects} = this.#parts;
    const path = places.manifest(repository, digest);
    return await this.#alone.run(path, async () => {
      const text = await readIfThere(path);
      if (seen !== undefined && (text === undefined || recordIn(path, text).pushedAt !== seen.pushedAt)) return false;
      this.#known.delete(path);
      await suspects.add(digest);
      const wasThere = await files.remove(path, 'hosted.unmanifest');
      pins().removeManifest(digest, repository);
      const subject = text === undefined ? undefined : recordIn(path, text).subject;
      if (subject !== undefined)
        await files.remove(join(places.referrers(repository, subject), fileNameOf(digest)), 'hosted.unrefer');
      return wasThere;
    });
  }

  async *all(repository: string): AsyncIterable<ManifestRecord> {
    for (const digest of await this.#digestsIn(this.#parts.places.manifests(repository))) {
      const path = this.#parts.places.manifest(repository, digest);
      // Past the memory: going through all must not drive out what is asked for.
      const text = this.#known.has(path) ? undefined : await readIfThere(path);
      const record = text === undefined ? await this.get(repository, digest) : recordIn(path, text);
      if (record !== undefined) yield record;
    }
  }

  async referrers(
    repository: string,
    subject: Digest,
    {after, limit}: {readonly after: string; readonly limit: number},
  ): Promise<readonly ManifestRecord[]> {
    const found: ManifestRecord[] = [];
    for (const digest of await this.#digestsIn(this.#parts.places.referrers(repository, subject))) {
      if (found.length >= limit) break;
      const record = digest > after ? await this.get(repository, digest) : undefined;
      if (record?.subject === subject) found.push(record);
    }
    return found;
  }

  /** Removes the marks of manifests that are gone, or never came. */
  async tidy(repository: string): Promise<void> {
    const {places, files} = this.#parts;
    for (const name of await namesIn(places.subjects(repository))) {
      const subject = digestOfFile(name);
      if (subject === undefined) continue;
      for (const digest of await this.#digestsIn(places.referrers(repository, subject)))
        await this.#alone.run(places.manifest(repository, digest), async () => {
          if ((await readIfThere(places.manifest(repository, digest))) === undefined)
            await files.remove(join(places.referrers(repository, subject), fileNameOf(digest)), 'hosted.unrefer');
        });
    }
  }

  async #digestsIn(folder: string): Promise<readonly Digest[]> {
    const digests = (await namesIn(folder)).map(digestOfFile).filter((digest) => digest !== undefined);
    return digests.sort();
  }
}

/** @throws {Error} for what no `put` of ours wrote: nothing may be collected on its word. */
function recordIn(path: string, text: string): ManifestRecord {
  const record = JSON.parse(text) as Partial<ManifestRecord>; // ours, or found wrong here
  if (typeof record.digest !== 'string' || !isDigest(record.digest) || !Array.isArray(record.children))
    throw new Error(`${path} is not the record of a manifest`);
  const {subject, artifactType} = record;
  return {...(record as ManifestRecord), subject, artifactType}; // JSON leaves out what is undefined
}
