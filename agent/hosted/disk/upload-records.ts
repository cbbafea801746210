import {writeFile} from 'node:fs/promises';
import {isRepository} from '../../../oci/reference.ts';
import type {UploadRecord} from '../contract.ts';
import {namesIn, readIfThere} from './durable-files.ts';
import type {DiskParts} from './parts.ts';

const SUFFIX = '.json';

/**
 * Uploads that have been begun. Written, but not synced: a killed process forgets none, and what a dead machine forgot
 * is begun again by its client.
 */
export class DiskUploadRecords {
  readonly #parts: DiskParts;
  /** Id → upload; there are as many as may be open. */
  readonly #known = new Map<string, UploadRecord>();
  constructor(parts: DiskParts) {
    this.#parts = parts;
  }

  async put(upload: UploadRecord): Promise<void> {
    this.#parts.disk(); // may be the first that is ever pushed: the folders are made when the disk is asked for
    await writeFile(this.#parts.places.uploadRecord(upload.id), JSON.stringify(upload), {flag: 'wx', mode: 0o600});
    this.#known.set(upload.id, upload);
  }

  async get(id: string): Promise<UploadRecord | undefined> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const text = await readIfThere(this.#parts.places.uploadRecord(id));
    const upload = text === undefined ? undefined : uploadIn(text);
    if (upload !== undefined) this.#known.set(id, upload);
    return upload;
  }

  async remove(id: string): Promise<void> {
    this.#known.delete(id);
    await this.#parts.files.remove(this.#parts.places.uploadRecord(id), undefined);
  }

  async *all(): AsyncIterable<UploadRecord> {
    for (const name of await namesIn(this.#parts.places.uploads)) {
      if (!name.endsWith(SUFFIX)) continue;
      const upload = await this.get(name.slice(0, -SUFFIX.length));
      if (upload !== undefined) yield upload;
    }
  }
}

/** `undefined` for what was cut off by a death in the middle of writing. */
function uploadIn(text: string): UploadRecord | undefined {
  try {
    const upload = JSON.parse(text) as Partial<UploadRecord>; // ours, or found wrong here
    if (typeof upload.id !== 'string' || typeof upload.startedAt !== 'number') return undefined;
    if (typeof upload.repository !== 'string' || !isRepository(upload.repository)) return undefined;
    const {id, repository, identity, algorithm, startedAt} = upload;
    return {id, repository, identity, algorithm, startedAt};
  } catch {
    return undefined;
  }
}
