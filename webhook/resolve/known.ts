import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import type {UpstreamError, UpstreamFailure} from '../../oci/error.ts';

/** 10,000 images are a large cluster; a record is some hundred bytes. */
const MAX_TAGS = 20_000;
const MAX_REFUSALS = 10_000;
/**
 * How long a failure is the answer without asking again: none longer than ten seconds, so that whoever has mended it
 * sees it (policy-peers §7 45), and long enough that a Deployment that cannot come up makes no storm.
 */
const REFUSED_MS: Readonly<Record<UpstreamFailure, number>> = {
  unauthorized: 10_000,
  notFound: 5_000,
  tooManyRequests: 10_000,
  serverError: 3_000,
  timeout: 5_000,
  down: 3_000,
  refused: 10_000,
  protocol: 5_000,
};

/** What a tag is, as somebody's rights showed it. */
export interface TagRecord {
  readonly digest: Digest;
  /** When the registry last confirmed it, by a clock that does not jump. */
  readonly at: number;
  /** What it was before, and when that was last true. */
  readonly before: {readonly digest: Digest; readonly until: number} | undefined;
}

/** What registries said lately. In memory alone, bounded. */
export class KnownTags {
  readonly #now: () => number;
  readonly #tags = new LRUCache<string, TagRecord>({max: MAX_TAGS});
  readonly #refusals: LRUCache<string, UpstreamError>;

  constructor(now: () => number) {
    this.#now = now;
    this.#refusals = new LRUCache({max: MAX_REFUSALS, ttl: 10_000, ttlResolution: 0, perf: {now}});
  }

  get size(): number {
    return this.#tags.size;
  }

  tag(key: string): TagRecord | undefined {
    return this.#tags.get(key);
  }

  refusal(key: string): UpstreamError | undefined {
    return this.#refusals.get(key);
  }

  learned(key: string, digest: Digest): TagRecord {
    const known = this.#tags.get(key);
    const at = this.#now();
    const before = known === undefined || known.digest === digest ? known?.before : {digest: known.digest, until: at};
    const record = {digest, at, before};
    this.#tags.set(key, record);
    this.#refusals.delete(key);
    return record;
  }

  refused(key: string, error: UpstreamError): void {
    const longest = REFUSED_MS[error.failure];
    this.#refusals.set(key, error, {ttl: Math.min(longest, Math.max(500, error.retryAfterMs ?? longest))});
  }

  forget(key: string): void {
    this.#tags.delete(key);
  }

  /** Settings have changed: who asks again may get another answer. What tags are stays known. */
  forgetRefusals(): void {
    this.#refusals.clear();
  }
}
