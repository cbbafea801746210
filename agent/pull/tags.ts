import {setTimeout as delay} from 'node:timers/promises';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {Once} from '../../oci/once.ts';
import type {Authority, ManifestHead, RepositoryName} from '../../oci/source.ts';
import type {PullRights} from '../access/caller.ts';
import type {TagRecord} from '../store/contract.ts';
import {asksAs, keyOf, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';
import {untilAborted, type ManifestContent, type Manifests} from './manifests.ts';
import {staleForMs} from '../../oci/upstream-policy.ts';

/** How long a tag that could be served stale waits for its upstream. */
const PATIENCE_MS = 3_000;

/** What a tag is, and how sure that is. */
export interface Resolved {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** `hit`: within freshFor · `miss`: the upstream was asked · `stale`: it could not confirm it. */
  readonly state: 'hit' | 'miss' | 'stale';
  /** Why it is stale: the upstream's failure, or `offline`. */
  readonly reason: string | undefined;
  /** Since the upstream last confirmed it. */
  readonly ageMs: number;
  /** The answer to this very question brought the manifest itself, too. */
  readonly fetched?: boolean;
}

/** Tags are mutable: a freshness policy per upstream says when the registry is asked again (design §4.2). */
export class Tags {
  readonly #context: PullContext;
  readonly #denied: Denied;
  readonly #manifests: Manifests;
  readonly #resolving = new Once<Resolved>();

  constructor(context: PullContext, denied: Denied, manifests: Manifests) {
    this.#context = context;
    this.#denied = denied;
    this.#manifests = manifests;
  }

  /** Without a promise, if it is fresh and in memory: the warm path. */
  peek(name: RepositoryName, tag: string, caller: Authority): Resolved | undefined {
    const {store} = this.#context;
    const record =
      (caller === 'node' ? store.peekTag(name, tag, 'node') : undefined) ?? store.peekTag(name, tag, 'anonymous');
    return record && this.#isFresh(record) ? this.#as(record, 'hit', undefined) : undefined;
  }

  /**
   * @param want `body` where the client asks for the manifest too: an unknown tag then costs one request, not two.
   * @throws {UpstreamError}
   */
  async resolve(
    name: RepositoryName,
    tag: string,
    caller: PullRights,
    want: 'head' | 'body',
    signal: AbortSignal,
  ): Promise<Resolved> {
    const record = await this.#record(name, tag, caller.authority);
    if (record !== undefined && this.#isFresh(record)) return this.#as(record, 'hit', undefined);
    if (this.#context.policy(name).offline) return this.#offline(name, record, caller);
    const asked = this.#shared(name, tag, caller, record, want, signal);
    return record === undefined ? asked : this.#patiently(asked, name, record, caller);
  }

  /** Who knows an answer that may be served stale waits less long for an upstream that hangs; the question goes on. */
  async #patiently(
    asked: Promise<Resolved>,
    name: RepositoryName,
    record: TagRecord,
    caller: PullRights,
  ): Promise<Resolved> {
    const waited = new AbortController();
    const late = delay(PATIENCE_MS, 'late' as const, {signal: waited.signal, ref: false}).catch(() => 'late' as const);
    const first = await Promise.race([asked, late]).finally(() => {
      waited.abort();
    });
    if (first !== 'late') return first;
    const allowed = this.#age(record) < staleForMs(this.#context.policy(name).staleIfError, 'timeout');
    if (!allowed || (await this.#manifests.stored(name, record.digest, caller.authority)) === undefined) return asked;
    asked.catch(() => undefined);
    return this.#as(record, 'stale', 'timeout');
  }

  /** Asks the upstream now, whatever freshness says: `noost refresh`. @throws {UpstreamError} */
  async refresh(
    name: RepositoryName,
    tag: string,
    caller: PullRights,
    signal: AbortSignal,
  ): Promise<{before: Digest | undefined; after: Resolved}> {
    const record = await this.#record(name, tag, caller.authority);
    const authority = asksAs(this.#context, name, caller);
    const after = await this.#ask(name, tag, authority, caller.allowPrivate, signal);
    return {before: record?.digest, after};
  }

  #shared(
    name: RepositoryName,
    tag: string,
    caller: PullRights,
    record: TagRecord | undefined,
    want: 'head' | 'body',
    signal: AbortSignal,
  ): Promise<Resolved> {
    const authority = asksAs(this.#context, name, caller);
    // Without a record a GET proves the tag and brings the manifest in one request; those who only ask HEAD join either.
    // A stale answer is the caller's own, whatever rights the question has: callers of two kinds do not share it.
    const key = `${keyOf(name, tag, authority)} ${caller.authority} ${caller.allowPrivate}`;
    const shared = this.#resolving.run(key, async () => {
      try {
        this.#denied.check(name, tag, authority);
        if (want === 'body' && record === undefined) return await this.#fetch(name, tag, authority, caller);
        return await this.#ask(name, tag, authority, caller.allowPrivate, AbortSignal.timeout(60_000));
      } catch (error) {
        return this.#failed(name, tag, caller, record, error);
      }
    });
    return untilAborted(shared, signal);
  }

  async #ask(
    name: RepositoryName,
    tag: string,
    authority: Authority,
    allowPrivate: boolean,
    signal: AbortSignal,
  ): Promise<Resolved> {
    const upstream = this.#context.upstream(name);
    const options = {authority, allowPrivate, signal};
    const head: ManifestHead = await upstream.headManifest(name, tag, options);
    // No manifest has no bytes: a HEAD that says so lies (C-056).
    if (head.digest !== undefined && head.sizeBytes !== undefined && head.sizeBytes > 0 && head.mediaType !== '')
      return this.#learned(name, tag, head.digest, head.mediaType, head.sizeBytes, head.authority);
    return this.#fetch(name, tag, authority, {authority, allowPrivate});
  }

  /** The whole manifest by tag: its bytes say the digest (C-055). */
  async #fetch(name: RepositoryName, tag: string, authority: Authority, caller: PullRights): Promise<Resolved> {
    const content: ManifestContent = await this.#manifests.fetch(name, tag, caller, AbortSignal.timeout(60_000));
    const {digest, mediaType, bytes} = content;
    return {...(await this.#learned(name, tag, digest, mediaType, bytes.length, authority)), fetched: true};
  }

  async #learned(
    name: RepositoryName,
    tag: string,
    digest: Digest,
    mediaType: string,
    sizeBytes: number,
    authority: Authority,
  ): Promise<Resolved> {
    const record: TagRecord = {...name, tag, authority, digest, mediaType, sizeBytes, resolvedAt: this.#context.now()};
    if (this.#context.policy(name).cache === 'always')
      await this.#context.store.putTag(record).catch((error: unknown) => {
        this.#context.events.storeFailed('tag', error);
      });
    return this.#as(record, 'miss', undefined);
  }

  /** The upstream failed: what is known may be served for a while, said aloud, or is dropped (C-070). */
  async #failed(
    name: RepositoryName,
    tag: string,
    caller: PullRights,
    record: TagRecord | undefined,
    error: unknown,
  ): Promise<Resolved> {
    if (!(error instanceof UpstreamError)) throw error;
    const authority = asksAs(this.#context, name, caller);
    this.#denied.note(name, tag, authority, error);
    if (record === undefined) throw error;
    const age = this.#age(record);
    const allowed = age < staleForMs(this.#context.policy(name).staleIfError, error.failure);
    if (allowed && (await this.#manifests.stored(name, record.digest, caller.authority)) !== undefined)
      return this.#as(record, 'stale', error.failure);
    if (error.failure === 'notFound' || error.failure === 'unauthorized')
      await this.#context.store.removeTag(name, tag, record.authority).catch(() => undefined);
    throw error;
  }

  async #offline(name: RepositoryName, record: TagRecord | undefined, caller: PullRights): Promise<Resolved> {
    if (record !== undefined && (await this.#manifests.stored(name, record.digest, caller.authority)) !== undefined)
      return this.#as(record, 'stale', 'offline');
    throw new UpstreamError(
      'notFound',
      name.registry,
      `${name.registry} is offline by configuration, and this tag is not in the cache`,
    );
  }

  async #record(name: RepositoryName, tag: string, caller: Authority): Promise<TagRecord | undefined> {
    const {store} = this.#context;
    const own =
      caller === 'node' ? (store.peekTag(name, tag, 'node') ?? (await store.tag(name, tag, 'node'))) : undefined;
    return own ?? store.peekTag(name, tag, 'anonymous') ?? store.tag(name, tag, 'anonymous');
  }

  #isFresh(record: TagRecord): boolean {
    const age = this.#context.now() - record.resolvedAt;
    return age >= 0 && age < this.#context.policy(record).freshForMs; // a clock that was set back makes nothing fresh
  }

  #age(record: TagRecord): number {
    return Math.max(0, this.#context.now() - record.resolvedAt);
  }

  #as(record: TagRecord, state: Resolved['state'], reason: string | undefined): Resolved {
    const {digest, mediaType, sizeBytes} = record;
    return {digest, mediaType, sizeBytes, state, reason, ageMs: this.#age(record)};
  }
}
