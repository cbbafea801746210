import {createHash} from 'node:crypto';
import {LRUCache} from 'lru-cache';
import type {KubeClient} from './client.ts';
import {orAborted} from './connection.ts';
import {KubeError} from './error.ts';
import type {ResourceType} from './object.ts';
import {SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS} from './resources.ts';

/** Somebody the API server knows. */
export interface Subject {
  readonly username: string;
  readonly uid?: string | undefined;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What somebody wants to do with one of the cluster's resources, also one that nothing serves. */
export interface Attempt {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

export interface AccessVerdict {
  readonly allowed: boolean;
  /** The authorizer's own words; for logs. */
  readonly reason: string;
}

export interface ReviewsOptions {
  readonly client: Pick<KubeClient, 'create'>;
  /** How long an answer counts, yes and no alike. @default 10_000, as in aggregated API servers */
  readonly ttlMs?: number;
  /** Answers remembered, of each kind. @default 10_000 */
  readonly max?: number;
  /** Of a question, whoever waits for it. @default 5000 */
  readonly deadlineMs?: number;
}

/** Longer than any token that Kubernetes makes; the API server refuses headers of this size, too. */
const MAX_TOKEN = 32 * 1024;

/**
 * TokenReview and SubjectAccessReview, remembered for a moment; of many who ask the same at once one asks. Failures are not
 * remembered.
 */
export class Reviews {
  readonly #options: ReviewsOptions;
  readonly #deadlineMs: number;
  readonly #tokens: LRUCache<string, Promise<Subject | undefined>>;
  readonly #verdicts: LRUCache<string, Promise<AccessVerdict>>;

  constructor(options: ReviewsOptions) {
    const {ttlMs: ttl = 10_000, max = 10_000} = options;
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? 5000;
    this.#tokens = new LRUCache({max, ttl});
    this.#verdicts = new LRUCache({max, ttl});
  }

  /**
   * Whose token this is. A token for another audience is nobody's.
   * @param audience ours alone, or that of the API server if `undefined`.
   * @throws {KubeError} if the API server cannot be asked.
   */
  async whoHas(token: string, audience: string | undefined, signal: AbortSignal): Promise<Subject | undefined> {
    if (token === '' || token.length > MAX_TOKEN) return undefined;
    const key = createHash('sha256')
      .update(`${audience ?? ''}\0`)
      .update(token)
      .digest('base64');
    return orAborted(
      remembered(this.#tokens, key, () => this.#reviewToken(token, audience)),
      signal,
    );
  }

  /** @throws {KubeError} if the API server cannot be asked: which is no permission. */
  async may(subject: Subject, attempt: Attempt, signal: AbortSignal): Promise<AccessVerdict> {
    const {username, uid, groups = [], extra = {}} = subject;
    const {verb, group, resource, subresource, namespace, name} = attempt;
    const all = [username, uid, groups, extra, verb, group, resource, subresource, namespace, name];
    const key = createHash('sha256').update(JSON.stringify(all)).digest('base64');
    return orAborted(
      remembered(this.#verdicts, key, () => this.#reviewAccess(subject, attempt)),
      signal,
    );
  }

  async #reviewToken(token: string, audience: string | undefined): Promise<Subject | undefined> {
    const spec = {token, ...(audience !== undefined && {audiences: [audience]})};
    const {status} = await this.#ask<TokenReviewStatus>(TOKEN_REVIEWS, spec);
    if (status?.authenticated !== true || typeof status.user?.username !== 'string') return undefined;
    // An authenticator that knows no audiences says none: then the token is for the API server, not for us.
    if (audience !== undefined && status.audiences?.includes(audience) !== true) return undefined;
    const {username, uid, groups, extra} = status.user;
    return {username, ...(uid !== undefined && {uid}), groups: groups ?? [], extra: extra ?? {}};
  }

  async #reviewAccess(subject: Subject, attempt: Attempt): Promise<AccessVerdict> {
    const {username: user, uid, groups = [], extra = {}} = subject;
    const spec = {user, groups, extra, ...(uid !== undefined && {uid}), resourceAttributes: attempt};
    const {status} = await this.#ask<AccessReviewStatus>(SUBJECT_ACCESS_REVIEWS, spec);
    return {allowed: status?.allowed === true && status.denied !== true, reason: status?.reason ?? ''};
  }

  async #ask<S>(type: ResourceType, spec: object): Promise<{status?: S}> {
    const answer = await this.#options.client.create<object, {status?: S}>(
      type,
      {},
      {spec},
      {deadlineMs: this.#deadlineMs},
    );
    if (answer.status === undefined) throw new KubeError(0, 'Malformed', `The API server's ${type.kind} has no status`);
    return answer;
  }
}

interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly user?: Subject;
  readonly audiences?: readonly string[];
}

interface AccessReviewStatus {
  readonly allowed?: boolean;
  readonly denied?: boolean;
  readonly reason?: string;
}

function remembered<T>(cache: LRUCache<string, Promise<T>>, key: string, ask: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known) return known;
  const asked = ask();
  cache.set(key, asked);
  asked.catch(() => {
    if (cache.peek(key) === asked) cache.delete(key);
  });
  return asked;
}
