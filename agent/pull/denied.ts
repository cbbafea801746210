import {LRUCache} from 'lru-cache';
import {UpstreamError} from '../../oci/error.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';

/** How long "we have no credentials for this" is remembered per repository (design §4.2). */
const DENIED_MS = 30_000;
/** How long "there is none" is: an attacker who asks for `v2` before it is pushed must not pin a 404 (C-071, D-029). */
const ABSENT_MS = 5_000;

/** What an upstream refused lately, so that it is not asked at every retry. Bounded. */
export class Denied {
  readonly #known: LRUCache<string, UpstreamError>;

  /** @param now a clock that does not jump, in ms: one that was set back would make a refusal last. */
  constructor(now: () => number) {
    this.#known = new LRUCache({max: 10_000, ttl: DENIED_MS, ttlResolution: 0, perf: {now}});
  }

  /** @throws {UpstreamError} what the upstream said of the repository, or of this reference in it. */
  check(name: RepositoryName, reference: string, authority: Authority): void {
    if (this.#known.size === 0) return;
    const error = this.#known.get(key(name, '', authority)) ?? this.#known.get(key(name, reference, authority));
    if (error !== undefined) throw error;
  }

  /** Remembers an error if it is one of those; passes it on. */
  note(name: RepositoryName, reference: string, authority: Authority, error: unknown): void {
    if (!(error instanceof UpstreamError)) return;
    if (error.failure === 'unauthorized') this.#remember(key(name, '', authority), error, DENIED_MS);
    if (error.failure === 'notFound') this.#remember(key(name, reference, authority), error, ABSENT_MS);
  }

  forget(): void {
    this.#known.clear();
  }

  /** What `check` threw comes back here: whoever asks every second must not make it last (D-029). */
  #remember(at: string, error: UpstreamError, ttl: number): void {
    if (this.#known.get(at) !== error) this.#known.set(at, error, {ttl});
  }
}

function key({registry, repository}: RepositoryName, reference: string, authority: Authority): string {
  return `${registry} ${repository} ${reference} ${authority}`;
}
