import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import type {Content} from './contract.ts';

/** Bytes of manifests in memory. */
const MAX_BYTES = 16 << 20;

/** Bytes of manifests that are asked for again and again. Whether a repository has one is asked elsewhere, each time. */
export class ManifestCache {
  readonly #content: Content;
  readonly #known = new LRUCache<Digest, Buffer>({maxSize: MAX_BYTES, sizeCalculation: ({length}) => length + 200});
  constructor(content: Content) {
    this.#content = content;
  }

  /** @returns `undefined` if it is gone, or has been found wrong. */
  async read(digest: Digest, sizeBytes: number): Promise<Buffer | undefined> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.#content.read(digest, sizeBytes);
    if (bytes !== undefined) this.#known.set(digest, bytes);
    return bytes;
  }
}
