import type {LookupAddress} from 'node:dns';
import {LRUCache} from 'lru-cache';
import {Once} from './once.ts';
import {Semaphore} from './semaphore.ts';

export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/** Of the eight threads of sixteen that libuv gives to look-ups; a name server that is silent holds one for ten seconds. */
const MAX_KNOWN = 3;
const MAX_STRANGERS = 3;
const REMEMBERED = 1_000;

/**
 * Looks up names that nobody configured. They may be anyone's: they must not take all the threads that names are looked up
 * in, and those whose name servers are silent must not hold up the others. So names that had an address the last time
 * have threads of their own, and one name never has two.
 */
export class Lookups {
  readonly #resolve: Resolve;
  readonly #known = new LRUCache<string, true>({max: REMEMBERED});
  readonly #forKnown = new Semaphore(MAX_KNOWN);
  readonly #forStrangers = new Semaphore(MAX_STRANGERS);
  readonly #asking = new Once<readonly LookupAddress[]>();

  constructor(resolve: Resolve) {
    this.#resolve = resolve;
  }

  /** @throws what resolving does. */
  find(hostname: string): Promise<readonly LookupAddress[]> {
    return this.#asking.run(hostname, async () => {
      const threads = this.#known.has(hostname) ? this.#forKnown : this.#forStrangers;
      try {
        const addresses = await threads.run(() => this.#resolve(hostname));
        this.#known.set(hostname, true);
        return addresses;
      } catch (error) {
        this.#known.delete(hostname);
        throw error;
      }
    });
  }
}
