import {rmdir, stat, unlink} from 'node:fs/promises';
import {join} from 'node:path';
import type {Digest} from '../../../oci/digest.ts';
import {folderNameOf} from '../../store/pins.ts';
import type {LetGo, LinkState, ManifestRecord, Metadata, TagMove, TagState, UploadRecord} from '../contract.ts';
import {pageOf} from '../page.ts';
import {namesIn} from './durable-files.ts';
import {DiskLinks} from './links.ts';
import {DiskManifests} from './manifests.ts';
import type {DiskParts} from './parts.ts';
import {DiskTags} from './tags.ts';
import {DiskUploadRecords} from './upload-records.ts';

type Page = {readonly after: string; readonly limit: number};

/** No write takes so long that its temporary file is this old. */
const TEMPORARY_MS = 3600_000;
/** Claims of pushes that never end, in ms. */
const CLAIM_MS = 24 * 3600_000;

/**
 * Metadata in files below `hosted/` (ADR 0005): each fact one file, written aside, synced and renamed. The data
 * folder's lock makes this process the only one, so compare-and-set needs no more than one at a time for each tag.
 */
export class DiskMetadata implements Metadata {
  readonly #parts: DiskParts;
  readonly #manifests: DiskManifests;
  readonly #tags: DiskTags;
  readonly #links: DiskLinks;
  readonly #uploads: DiskUploadRecords;
  constructor(parts: DiskParts) {
    this.#parts = parts;
    this.#manifests = new DiskManifests(parts);
    this.#tags = new DiskTags(parts);
    this.#links = new DiskLinks(parts);
    this.#uploads = new DiskUploadRecords(parts);
  }

  repositories(page: Page): Promise<readonly string[]> {
    return Promise.resolve(pageOf(this.#parts.pins().repositories, page));
  }
  hasRepository(repository: string): Promise<boolean> {
    return Promise.resolve(this.#parts.pins().hasRepository(repository));
  }

  async manifest(repository: string, digest: Digest): Promise<ManifestRecord | undefined> {
    return await this.#manifests.get(repository, digest);
  }
  async putManifest(repository: string, record: ManifestRecord): Promise<void> {
    await this.#manifests.put(repository, record);
  }
  async removeManifest(repository: string, digest: Digest, seen?: ManifestRecord): Promise<boolean> {
    return await this.#manifests.remove(repository, digest, seen);
  }
  manifests(repository: string): AsyncIterable<ManifestRecord> {
    return this.#manifests.all(repository);
  }
  async referrers(repository: string, subject: Digest, page: Page): Promise<readonly ManifestRecord[]> {
    return await this.#manifests.referrers(repository, subject, page);
  }

  async tag(repository: string, tag: string): Promise<TagState | undefined> {
    return await this.#tags.get(repository, tag);
  }
  async tags(repository: string, page: Page): Promise<readonly string[]> {
    return await this.#tags.list(repository, page);
  }
  async moveTag(repository: string, tag: string, move: TagMove): Promise<boolean> {
    return await this.#tags.move(repository, tag, move);
  }
  async history(repository: string, tag: string): Promise<readonly TagMove[]> {
    return await this.#tags.history(repository, tag);
  }
  histories(repository: string): AsyncIterable<readonly TagMove[]> {
    return this.#tags.histories(repository);
  }

  hasLink(repository: string, digest: Digest): Promise<boolean> {
    return Promise.resolve(this.#links.has(repository, digest));
  }
  async addLink(repository: string, digest: Digest, by: string | undefined): Promise<void> {
    await this.#links.add(repository, digest, by);
  }
  async claim(repository: string, digest: Digest, by: string | undefined): Promise<boolean> {
    return await this.#links.claim(repository, digest, by);
  }
  async rely(repository: string, digest: Digest): Promise<LetGo | undefined> {
    return await this.#links.rely(repository, digest);
  }
  async settle(...put: Parameters<Metadata['settle']>): Promise<void> {
    await this.#links.settle(...put);
  }
  async removeLink(repository: string, digest: Digest): Promise<boolean> {
    return await this.#links.remove(repository, digest);
  }
  async collectLink(repository: string, seen: LinkState): Promise<boolean> {
    return await this.#links.collect(repository, seen);
  }
  links(repository: string): AsyncIterable<LinkState> {
    return this.#links.all(repository);
  }
  holders(digest: Digest, limit: number): Promise<readonly string[]> {
    return Promise.resolve(this.#parts.pins().holders(digest).slice(0, limit));
  }

  async putUpload(upload: UploadRecord): Promise<void> {
    await this.#uploads.put(upload);
  }
  async upload(id: string): Promise<UploadRecord | undefined> {
    return await this.#uploads.get(id);
  }
  async removeUpload(id: string): Promise<void> {
    await this.#uploads.remove(id);
  }
  uploads(): AsyncIterable<UploadRecord> {
    return this.#uploads.all();
  }

  async tidy(): Promise<void> {
    const {folder} = this.#parts.disk();
    this.#links.tidy(this.#parts.now() - CLAIM_MS);
    await removeOld(folder.temporary, Date.now() - TEMPORARY_MS);
    for (const name of await namesIn(folder.repositories)) {
      const repository = name.replaceAll(',', '/');
      if (folderNameOf(repository) !== name) continue;
      await this.#manifests.tidy(repository);
      await this.#tags.tidy(repository);
      await removeEmpty(join(folder.repositories, name), 2);
    }
  }
}

async function removeOld(folder: string, before: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < before) await unlink(join(folder, name)).catch(() => undefined);
  }
}

/** Folders with nothing in them. Whoever writes into one that has just gone makes it again. */
async function removeEmpty(folder: string, levels: number): Promise<void> {
  if (levels > 0) for (const name of await namesIn(folder)) await removeEmpty(join(folder, name), levels - 1);
  await rmdir(folder).catch(() => undefined); // not empty, or no folder
}
