import {LRUCache} from 'lru-cache';
import {networkOf} from './network.ts';

/** Guesses at once, and how long until one more is allowed. */
interface Allowance {
  readonly burst: number;
  readonly refillMs: number;
}

/** One name may be tried so often from wherever: 600 guesses an hour find no password worth the name. */
const PER_USER: Allowance = {burst: 10, refillMs: 6_000};
/** Many people may share an address (a NAT, an ingress), so it is given more. */
const PER_ADDRESS: Allowance = {burst: 50, refillMs: 1_000};
/** Of names and of addresses that are remembered. An entry is some hundred bytes. */
const MAX_REMEMBERED = 10_000;
const FAMILIAR_MS = 24 * 3600_000;

interface Bucket {
  left: number;
  at: number;
}

/**
 * Slows guessing down (D-041). Only logins that have to be compared count: known credentials are recognised before this is
 * asked. Who guesses somebody's name cannot lock them out of an address from which they have logged in before.
 */
export class Guesses {
  readonly #now: () => number;
  readonly #users = new LRUCache<string, Bucket>({max: MAX_REMEMBERED});
  readonly #addresses = new LRUCache<string, Bucket>({max: MAX_REMEMBERED});
  /** `address user` that succeeded lately. */
  readonly #familiar: LRUCache<string, true>;

  constructor(now: () => number) {
    this.#now = now;
    this.#familiar = new LRUCache({max: MAX_REMEMBERED, ttl: FAMILIAR_MS, perf: {now}});
  }

  /** Takes one guess before it is compared. @returns ms to wait if there is none left; 0 if it may be made. */
  take(address: string, user: string): number {
    const network = networkOf(address);
    const wait = Math.max(
      this.#wait(this.#addresses, network, PER_ADDRESS),
      this.#familiar.has(`${network} ${user}`) ? 0 : this.#wait(this.#users, user, PER_USER),
    );
    if (wait > 0) return wait;
    this.#add(this.#addresses, network, -1);
    this.#add(this.#users, user, -1);
    return 0;
  }

  /** It was no guess: the password was right. */
  right(address: string, user: string): void {
    const network = networkOf(address);
    this.#add(this.#addresses, network, 1);
    this.#add(this.#users, user, 1);
    this.#familiar.set(`${network} ${user}`, true);
  }

  #wait(buckets: LRUCache<string, Bucket>, key: string, {burst, refillMs}: Allowance): number {
    const now = this.#now();
    const bucket = buckets.get(key) ?? {left: burst, at: now};
    const gained = Math.floor(Math.max(0, now - bucket.at) / refillMs);
    bucket.left = Math.min(burst, bucket.left + gained);
    bucket.at = bucket.left === burst ? now : bucket.at + gained * refillMs;
    buckets.set(key, bucket);
    return bucket.left > 0 ? 0 : bucket.at + refillMs - now;
  }

  #add(buckets: LRUCache<string, Bucket>, key: string, guesses: number): void {
    const bucket = buckets.get(key);
    if (bucket !== undefined) bucket.left = Math.max(0, bucket.left + guesses);
  }
}
