import {createHash, createHmac, randomBytes} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import {BcryptThread} from './bcrypt-thread.ts';
import {Guesses} from './guesses.ts';
import type {Users} from './htpasswd.ts';

/** What a login came to. Who is not known and who has the wrong password are told the same, after the same time (D-111). */
export type Login = {readonly user: string} | 'wrong' | {readonly waitMs: number};

/** Credentials that were right, remembered so that each request of a push need not take a tenth of a second. */
const MAX_REMEMBERED = 4_096;
const REMEMBERED_MS = 3600_000;
/** Of nobody: compared with where there is no user at all. Cost 10, as most tools choose. */
const DECOY = '$2b$10$lulUTYmVsCI4D/1pL2xY/uSRiP/rGFwmRGtaBrlYnKehcxjESx8Bm';

/** Who has which password. */
export class Passwords {
  readonly #thread = new BcryptThread();
  readonly #guesses: Guesses;
  /** Keyed hash of user and password → the hash it was right for: a changed line in the file forgets it. */
  readonly #right: LRUCache<string, string>;
  readonly #key = randomBytes(32);
  /** Comparisons under way, by the same keys: a client that opens ten connections at once is compared once. */
  readonly #running = new Map<string, Promise<Login>>();
  #users: Users;
  #decoys: readonly string[] = [];

  constructor(users: Users, now: () => number = Date.now) {
    this.#guesses = new Guesses(now);
    this.#right = new LRUCache({max: MAX_REMEMBERED, ttl: REMEMBERED_MS, perf: {now}});
    this.#users = users;
    this.replace(users);
  }

  /** Takes effect with the next request, also for who is known already. */
  replace(users: Users): void {
    this.#users = users;
    this.#decoys = [...users.values()];
  }

  get size(): number {
    return this.#users.size;
  }

  /** Changes when the user's line in the file does; `undefined` if there is none. Says nothing about the password. */
  generation(user: string): string | undefined {
    const hash = this.#users.get(user);
    return hash === undefined ? undefined : createHash('sha256').update(hash).digest('base64url').slice(0, 16);
  }

  /** @throws {BusyError} if too many others are being compared. */
  async check(user: string, password: string, address: string): Promise<Login> {
    const key = this.#keyOf(user, password);
    const hash = this.#users.get(user);
    if (hash !== undefined && this.#right.get(key) === hash) return {user};
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const waitMs = this.#guesses.take(address, user);
    if (waitMs > 0) return {waitMs};
    const compared = this.#compare({user, password, address, key, hash}).finally(() => this.#running.delete(key));
    this.#running.set(key, compared);
    return compared;
  }

  async close(): Promise<void> {
    await this.#thread.close();
  }

  async #compare(login: {
    user: string;
    password: string;
    address: string;
    key: string;
    hash: string | undefined;
  }): Promise<Login> {
    const {user, password, address, key, hash} = login;
    const same = await this.#thread.compare(password, hash ?? this.#decoyFor(user));
    if (!same || hash === undefined) return 'wrong';
    this.#guesses.right(address, user);
    this.#right.set(key, hash);
    return {user};
  }

  /** Somebody's hash, always the same for one name: so an unknown name takes as long as a known one would. */
  #decoyFor(user: string): string {
    const at = createHmac('sha256', this.#key).update(user).digest().readUInt32BE() % Math.max(1, this.#decoys.length);
    return this.#decoys[at] ?? DECOY;
  }

  #keyOf(user: string, password: string): string {
    return createHmac('sha256', this.#key).update(`${user}\0${password}`).digest('base64url');
  }
}
