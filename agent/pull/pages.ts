import {LRUCache} from 'lru-cache';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {Once} from '../../oci/once.ts';
import type {Page, RepositoryName} from '../../oci/source.ts';
import type {PullRights} from '../access/caller.ts';
import {asksAs, keyOf, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';
import {untilAborted} from './manifests.ts';
import {staleForMs} from '../../oci/upstream-policy.ts';

/** What is asked of a repository besides content. `digest` stands for referrers. */
export interface PageQuery {
  readonly name: RepositoryName;
  readonly digest: Digest | undefined;
  readonly query: string;
}

export interface PageContent {
  readonly page: Page;
  readonly state: 'hit' | 'miss' | 'stale';
  readonly reason: string | undefined;
}

const CACHE_BYTES = 8 << 20;
/** Signatures are looked for right after they were pushed (A-107). */
const REFERRERS_FRESH_MS = 30_000;

/** Lists of tags and of referrers: kept in memory for a little, and longer for when the upstream is down. */
export class Pages {
  readonly #context: PullContext;
  readonly #denied: Denied;
  readonly #known = new LRUCache<string, {page: Page; at: number}>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({page}) => page.bytes.length + 512,
  });
  readonly #asking = new Once<PageContent>();

  constructor(context: PullContext, denied: Denied) {
    this.#context = context;
    this.#denied = denied;
  }

  /** @throws {UpstreamError} `notFound` also where the upstream has no referrers API: the client asks the fallback tag then (A-106). */
  get(query: PageQuery, caller: PullRights, signal: AbortSignal): Promise<PageContent> {
    const authority = asksAs(this.#context, query.name, caller);
    const key = `${keyOf(query.name, `${query.digest ?? ''}?${query.query}`, authority)} ${caller.allowPrivate}`;
    const known = this.#known.get(key);
    const policy = this.#context.policy(query.name);
    const age = known === undefined ? Infinity : this.#context.now() - known.at;
    const freshMs = query.digest === undefined ? policy.freshForMs : Math.min(policy.freshForMs, REFERRERS_FRESH_MS);
    if (known !== undefined && age >= 0 && age < freshMs)
      return Promise.resolve({page: known.page, state: 'hit', reason: undefined});
    if (policy.offline) return this.#offline(query, known?.page);
    const asking = this.#asking.run(key, async () => {
      try {
        const page = await this.#ask(query, authority, caller.allowPrivate);
        if (policy.cache === 'always') this.#known.set(key, {page, at: this.#context.now()});
        return {page, state: 'miss' as const, reason: undefined};
      } catch (error) {
        return this.#failed(query, authority, known, age, error);
      }
    });
    return untilAborted(asking, signal);
  }

  async #ask({name, digest, query}: PageQuery, authority: 'anonymous' | 'node', allowPrivate: boolean): Promise<Page> {
    const reference = digest === undefined ? 'tags' : `referrers ${digest}`;
    this.#denied.check(name, reference, authority);
    const upstream = this.#context.upstream(name);
    const options = {authority, allowPrivate, signal: AbortSignal.timeout(60_000)};
    return digest === undefined
      ? upstream.listTags(name, query, options)
      : upstream.listReferrers(name, digest, query, options);
  }

  #failed(
    {name, digest}: PageQuery,
    authority: 'anonymous' | 'node',
    known: {page: Page} | undefined,
    age: number,
    error: unknown,
  ): PageContent {
    if (!(error instanceof UpstreamError)) throw error;
    this.#denied.note(name, digest === undefined ? 'tags' : `referrers ${digest}`, authority, error);
    if (known === undefined || age >= staleForMs(this.#context.policy(name).staleIfError, error.failure)) throw error;
    return {page: known.page, state: 'stale', reason: error.failure};
  }

  #offline({name}: PageQuery, page: Page | undefined): Promise<PageContent> {
    if (page !== undefined) return Promise.resolve({page, state: 'stale', reason: 'offline'});
    return Promise.reject(
      new UpstreamError(
        'notFound',
        name.registry,
        `${name.registry} is offline by configuration, and this list is not known`,
      ),
    );
  }
}
