import {unlink, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {Digest} from '../../../oci/digest.ts';
import {digestOfFile, fileNameOf} from '../../store/pins.ts';
import {namesIn} from './durable-files.ts';

/**
 * Digests whose bytes may be on disk without anything hosted that needs them: a mark is made before a blob is put into
 * its place and before the last link to it goes, and removed when it is known what has become of it. What a killed
 * process left is looked at again at the next start, or it would stay for good. Not synced: a dead machine leaves bytes
 * that count as cache.
 */
export class Suspects {
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }

  async add(digest: Digest): Promise<void> {
    await writeFile(this.#path(digest), '', {mode: 0o600});
  }

  async clear(digest: Digest): Promise<void> {
    await unlink(this.#path(digest)).catch(() => undefined); // cleared by another, or looked at in vain once more
  }

  async all(): Promise<readonly Digest[]> {
    return (await namesIn(this.#folder)).map(digestOfFile).filter((digest) => digest !== undefined);
  }

  #path(digest: Digest): string {
    return join(this.#folder, fileNameOf(digest));
  }
}
