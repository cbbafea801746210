import {headerOf, type HttpHeaders} from './http-reply.ts';

/** Without Retry-After, or with one that is not to be believed (C-060). */
const DEFAULT_MS = 10_000;
const LONGEST_MS = 900_000;

/** Remembers that an upstream asked for patience, and for how long (C-031, C-060). */
export class Throttle {
  readonly #now: () => number;
  readonly #wallNow: () => number;
  #until = -Infinity;

  constructor(now: () => number, wallNow: () => number) {
    this.#now = now;
    this.#wallNow = wallNow;
  }

  /** How long it must not be asked, in milliseconds; 0 if it may be. */
  get waitMs(): number {
    return Math.max(0, this.#until - this.#now());
  }

  /** Takes in a 429. @returns how long to wait, in milliseconds. */
  told(reply: {readonly headers: HttpHeaders}): number {
    const asked = this.#retryAfterMs(headerOf(reply, 'retry-after'));
    this.#until = Math.max(this.#until, this.#now() + asked);
    return asked;
  }

  /** Seconds or an HTTP date. */
  #retryAfterMs(text: string | undefined): number {
    if (text === undefined) return DEFAULT_MS;
    const ms = /^\s*\d{1,9}\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - this.#wallNow();
    return Number.isFinite(ms) && ms > 0 ? Math.min(ms, LONGEST_MS) : DEFAULT_MS;
  }
}

/** `ratelimit-remaining: 76;w=21600` (C-031). */
export function remainingOf(reply: {readonly headers: HttpHeaders}): number | undefined {
  const [, count] = /^\s*(\d{1,9})\b/.exec(headerOf(reply, 'ratelimit-remaining') ?? '') ?? [];
  return count === undefined ? undefined : Number(count);
}
