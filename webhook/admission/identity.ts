import {LRUCache} from 'lru-cache';
import {parseImageReference, type ImageIdentity} from '../../oci/image-reference.ts';
import type {NameMap} from '../../oci/name-map.ts';
import type {ImageInQuestion} from '../policy/shape.ts';

export type Identity = ImageInQuestion['identity'];

const MAX_KNOWN = 20_000;
/** Longer than any reference. */
const MAX_KEY = 600;

/** What a reference in an object means: its canonical upstream identity, rewriting reversed. A pure function, remembered. */
export class Identities {
  readonly names: NameMap;
  readonly #known = new LRUCache<string, Identity>({max: MAX_KNOWN});

  constructor(names: NameMap) {
    this.names = names;
  }

  of(written: string): Identity {
    const known = this.#known.get(written);
    if (known !== undefined) return known;
    const identity = this.#read(written);
    if (written.length <= MAX_KEY) this.#known.set(written, identity);
    return identity;
  }

  #read(written: string): Identity {
    try {
      const {tag, digest, ...name} = parseImageReference(written);
      return {...this.names.canonical(name), tag, digest};
    } catch (error) {
      if (error instanceof SyntaxError) return {unreadable: error.message};
      throw error;
    }
  }
}

export function isReadable(identity: Identity): identity is ImageIdentity {
  return !('unreadable' in identity);
}
