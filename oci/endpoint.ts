import {setTimeout as delay} from 'node:timers/promises';
import {Authorizer, challengesOf, type Grant} from './authorizer.ts';
import type {Challenge} from './challenge.ts';
import type {Credential} from './credentials.ts';
import {orAborted, withDeadline} from './deadline.ts';
import type {Answer, EndpointOptions, Question} from './endpoint-options.ts';
import {UpstreamError, type UpstreamFailure} from './error.ts';
import {follow, reachFrom, type Followed} from './follow.ts';
import type {Reach} from './guard.ts';
import {isPassing, toUpstreamError} from './http-failure.ts';
import {bindBody, discard, errorText} from './http-reply.ts';
import {realmMayHaveCredentials} from './realm.ts';
import type {AskOptions, Authority, RepositoryName} from './source.ts';
import {remainingOf, Throttle} from './throttle.ts';
import {Tokens, type AskRealm} from './token.ts';
import {isTimeout} from './transport.ts';

const MAX_RETRIES = 2;
const RETRIED = new Set([500, 502, 503, 504]);
/** Challenge, stale token, wider scope, changed credentials, no credentials: each once, with one to spare. */
const MAX_ROUNDS = 6;
const TOKEN_MS = 10_000;
const PING_MS = 300_000;

/** A registry or mirror at one base URL: tokens, redirects, retries and patience behind `ask`. */
export class Endpoint {
  readonly options: EndpointOptions;
  readonly #authorizer: Authorizer;
  readonly #throttle: Throttle;
  #ping: {readonly challenges: Promise<readonly Challenge[]>; readonly at: number} | undefined;

  constructor(options: EndpointOptions) {
    this.options = options;
    const {registry, url, events, label, now, wallNow, credentials} = options;
    const tokens = new Tokens({
      now,
      registry,
      ask: this.#askRealm,
      outcome: (outcome) => events.token?.(label, outcome),
    });
    this.#authorizer = new Authorizer({registry, url, realms: credentials?.realms ?? [], tokens});
    this.#throttle = new Throttle(now, wallNow);
  }

  /**
   * Asks, as often as is safe within the budget, and hands a good answer to `use`. Whatever `use` awaits, the body
   * included, is within the budget too; a body that it returns unread is not.
   * @throws {UpstreamError} for every other status; what `use` throws; the signal's reason if the caller left.
   */
  async ask<T>(
    question: Question,
    options: AskOptions,
    use: (answer: Answer, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const {timeouts, kind, registry, url} = this.options;
    const allowPrivate = options.allowPrivate || this.options.allowPrivate;
    const budgetMs = kind === 'mirror' ? timeouts.mirrorBudgetMs : timeouts.budgetMs;
    try {
      return await withDeadline(budgetMs, options.signal, (signal) =>
        this.#retrying(question, {...options, allowPrivate, signal}, use),
      );
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      throw isTimeout(error) ? toUpstreamError(error, registry, url.host) : error;
    }
  }

  async #retrying<T>(
    question: Question,
    options: AskOptions,
    use: (answer: Answer, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      options.signal.throwIfAborted();
      try {
        return await use(await this.#answer(question, options), options.signal);
      } catch (error) {
        if (attempt >= MAX_RETRIES || !isWorthRetrying(error) || options.signal.aborted) throw error;
        this.options.events.retry?.(this.options.label);
        // A kept connection that the other side had closed: the first byte tells, and there is nothing to wait for (C-057).
        const isStale = attempt === 0 && error instanceof UpstreamError && error.failure === 'down';
        const {timeouts, random} = this.options;
        if (!isStale)
          await delay(timeouts.retryMs * 2 ** attempt * (0.5 + random()), undefined, {signal: options.signal}).catch(
            () => {},
          );
      }
    }
  }

  async #answer(question: Question, options: AskOptions): Promise<Answer> {
    const {registry, url, events, label} = this.options;
    const waitMs = this.#throttle.waitMs;
    if (waitMs > 0)
      throw new UpstreamError('tooManyRequests', registry, `${url.host} asked for patience (429)`, {
        status: 429,
        retryAfterMs: waitMs,
      });
    const {followed, authority} = await this.#authorized(question, options);
    const {reply, moved} = followed;
    const remaining = remainingOf(reply);
    if (remaining !== undefined) events.rateLimitRemaining?.(label, remaining);
    if (question.small) bindBody(reply, options.signal, registry);
    if (reply.status < 300 || reply.status === 416) return {reply, authority};
    const retryAfterMs = reply.status === 429 && !moved ? this.#throttle.told(reply) : undefined;
    throw await this.#failure(followed, options, retryAfterMs);
  }

  /** Asks with what is known to be needed, and learns from refusals (P-20, P-21, C-006, C-035). */
  async #authorized(question: Question, options: AskOptions): Promise<{followed: Followed; authority: Authority}> {
    const begun = this.options.now();
    let credential = options.authority === 'node' ? await this.#credential(question.name) : undefined;
    let restarted = false;
    for (let round = 0; ; round++) {
      const grant = await this.#grant(question.name, credential, options);
      credential = grant.credential;
      const followed = await this.#send(question, grant, options);
      const {reply, moved} = followed;
      if (reply.status !== 401 && reply.status !== 403)
        return {followed, authority: this.#certificate(options) ? 'node' : grant.authority};
      if (round >= MAX_ROUNDS || (moved && restarted)) throw await this.#failure(followed, options);
      if (moved) {
        discard(reply); // a signed URL that is too old: the registry signs another (C-051)
        restarted = true;
        continue;
      }
      const next = await this.#afterRefusal(question, followed, grant, {...options, begun});
      if (next === 'stop') throw await this.#failure(followed, options);
      discard(reply);
      credential = next.credential;
    }
  }

  /** What to ask with after a 401 or 403, if anything is left. */
  async #afterRefusal(
    question: Question,
    {reply}: Followed,
    grant: Grant,
    options: AskOptions & {begun: number},
  ): Promise<'stop' | {readonly credential: Credential | undefined}> {
    const {name} = question;
    const {credential} = grant;
    this.#authorizer.drop(grant);
    if (reply.status === 401) {
      const own = challengesOf(reply);
      const challenges = own.length === 0 && grant.header === undefined ? await this.#pinged(options) : own;
      if (challenges.length > 0 && this.#authorizer.learn(name.repository, challenges, credential !== undefined))
        return {credential};
    }
    // It was good until now: tokens outlive neither a long pull nor a restart of the registry (C-005).
    if (grant.token && grant.token.held.receivedAt < options.begun) return {credential};
    if (grant.header === undefined || grant.authority === 'anonymous') return 'stop';
    return {credential: await this.#changedCredential(name, credential)};
  }

  /** Credentials that were refused are read again; unchanged ones are left away, for images that are public (P-21). */
  async #changedCredential(name: RepositoryName, refused: Credential | undefined): Promise<Credential | undefined> {
    this.options.credentials?.expire();
    const current = await this.#credential(name);
    return current?.identity === refused?.identity ? undefined : current;
  }

  async #grant(name: RepositoryName, credential: Credential | undefined, options: AskOptions): Promise<Grant> {
    const {signal, allowPrivate} = options;
    const rights = {allowPrivate, certificate: this.#certificate(options)};
    try {
      return await orAborted(this.#authorizer.grant(name.repository, credential, rights), signal);
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.failure !== 'unauthorized' || credential === undefined)
        throw error;
      const changed = await this.#changedCredential(name, credential);
      return orAborted(this.#authorizer.grant(name.repository, changed, rights), signal);
    }
  }

  async #credential(name: RepositoryName): Promise<Credential | undefined> {
    const {credentials, keyedOnly, kind, url} = this.options;
    return credentials?.get(kind === 'mirror' ? {...name, registry: url.host} : name, keyedOnly);
  }

  #send({name, method, path, query, headers, small}: Question, grant: Grant, options: AskOptions): Promise<Followed> {
    const {url: base, kind, registry, transport} = this.options;
    const url = new URL(`${base.pathname.replace(/\/+$/, '')}/v2/${name.repository}/${path}`, base);
    // As containerd tells a mirror which registry is meant (P-12).
    url.search =
      kind === 'mirror' ? [query, `ns=${encodeURIComponent(name.registry)}`].filter(Boolean).join('&') : query;
    const authorization: Record<string, string> = grant.header === undefined ? {} : {authorization: grant.header};
    const all = {...this.#headers(), ...headers, ...authorization};
    const first = {
      url,
      method,
      headers: all,
      reach: this.#ownReach(options.allowPrivate, 'upstream'),
      own: true,
      certificate: this.#certificate(options),
      small,
      signal: options.signal,
    };
    return follow(transport, first, () => this.#farReach(options.allowPrivate, 'redirect'), registry);
  }

  /** Encodings are never asked for (P-07); the hop says whose request it is, so that loops are seen (D-015). */
  #headers(): Record<string, string> {
    return {'user-agent': this.options.userAgent, 'accept-encoding': 'identity', 'noost-hop': this.options.hop};
  }

  /** Bound to its own time, not to whoever asked first: others wait for the same token. */
  readonly #askRealm: AskRealm = async (url, {allowPrivate, ...request}) => {
    const {url: own, credentials, transport, registry, userAgent} = this.options;
    const isListed = credentials?.realms.some((realm) => realm === url.host || realm === url.hostname) ?? false;
    const far = isListed
      ? {where: 'realm' as const, anywhere: true, classes: []}
      : this.#farReach(allowPrivate, 'realm');
    const reach = url.origin === own.origin ? this.#ownReach(allowPrivate, 'realm') : far;
    const headers = {
      ...request.headers,
      'user-agent': userAgent,
      accept: 'application/json',
      'accept-encoding': 'identity',
    };
    const isOwn = await realmMayHaveCredentials(own, url, credentials?.realms ?? []);
    const signal = AbortSignal.timeout(TOKEN_MS);
    const exchange = {...request, url, headers, reach, own: isOwn, small: true, signal};
    // A form with a password is never sent on: it would go in the body, which no rule of headers holds back.
    const isForm = request.method === 'POST';
    const reply = isForm
      ? await transport.send(exchange)
      : (await follow(transport, exchange, () => this.#farReach(allowPrivate, 'realm'), registry)).reply;
    bindBody(reply, signal, registry);
    return reply;
  };

  /** The challenge of `/v2/`, for registries that only say it there (C-009). One question in some minutes. */
  #pinged(options: AskOptions): Promise<readonly Challenge[]> {
    if (!this.#ping || this.options.now() - this.#ping.at > PING_MS) {
      const challenges = this.#askPing(options);
      challenges.catch(() => (this.#ping = undefined));
      this.#ping = {challenges, at: this.options.now()};
    }
    return orAborted(this.#ping.challenges, options.signal);
  }

  async #askPing(options: AskOptions): Promise<readonly Challenge[]> {
    const {url: base, transport} = this.options;
    const url = new URL(`${base.pathname.replace(/\/+$/, '')}/v2/`, base);
    const reach = this.#ownReach(options.allowPrivate, 'upstream');
    const reply = await transport.send({
      url,
      method: 'GET',
      headers: this.#headers(),
      reach,
      own: true,
      certificate: this.#certificate(options),
      small: true,
      signal: AbortSignal.timeout(TOKEN_MS),
    });
    discard(reply);
    return challengesOf(reply);
  }

  /** The client certificate is the node's, like a password: never used for who may not have what it opens (design §8). */
  #certificate({authority}: AskOptions): boolean {
    return this.options.certificate && authority === 'node';
  }

  #ownReach(allowPrivate: boolean, where: Reach['where']): Reach {
    if (this.options.configured) return {where, anywhere: true, classes: []};
    return {where, anywhere: false, classes: allowPrivate ? ['public', 'private'] : ['public']};
  }

  #farReach(allowPrivate: boolean, where: Reach['where']): Reach {
    const {guard, url, configured} = this.options;
    return reachFrom(guard, url, configured, {allowPrivate, where});
  }

  async #failure({reply, moved, url}: Followed, {signal}: AskOptions, retryAfterMs?: number): Promise<UpstreamError> {
    const {status} = reply;
    bindBody(reply, signal, this.options.registry);
    const text = await errorText(reply);
    const host = moved ? `${url.host}, where ${this.options.url.host} redirects to,` : this.options.url.host;
    const message = `${host} answered ${status}${text === '' ? '' : ` (${text})`}`;
    return new UpstreamError(failureOf(status, moved), this.options.registry, message, {status, retryAfterMs});
  }
}

/** Storage that refuses is broken, not forbidden: the registry had said yes (C-010). */
function failureOf(status: number, moved: boolean): UpstreamFailure {
  if (status === 404 || status === 410) return 'notFound';
  if (status === 429) return 'tooManyRequests';
  return (status === 401 || status === 403) && !moved ? 'unauthorized' : 'serverError';
}

function isWorthRetrying(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false;
  return (
    (error.failure === 'serverError' && RETRIED.has(error.status ?? 0)) ||
    (isPassing(error) && error.retryAfterMs === undefined)
  );
}
