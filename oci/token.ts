import {LRUCache} from 'lru-cache';
import type {Credential} from './credentials.ts';
import {UpstreamError} from './error.ts';
import {discard, errorText, readBody, type HttpReply} from './http-reply.ts';

/** What a token is asked for: the challenge's words and whose rights. */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
  /** `undefined` asks anonymously. */
  readonly credential: Credential | undefined;
  /** Whether a token server of an upstream that is not configured may be at a private address. */
  readonly allowPrivate: boolean;
  /** Whether the client certificate may be shown. */
  readonly certificate: boolean;
}

export interface Token {
  readonly value: string;
  /** Of the monotonic clock. */
  readonly receivedAt: number;
  readonly until: number;
}

/** Asks a token server one HTTP question; follows its redirects, keeps the guard. */
export type AskRealm = (
  url: URL,
  options: {
    method: 'GET' | 'POST';
    headers: Record<string, string>;
    body?: string;
    allowPrivate: boolean;
    certificate: boolean;
  },
) => Promise<HttpReply>;

const MAX_TOKENS = 1024;
const MAX_BODY = 1024 * 1024;
const MAX_TOKEN_CHARS = 32 * 1024;
/** A refusal is remembered for this long, so that a storm of pulls is one question (C-006). */
const FAILURE_MS = 3000;
const DEFAULT_LIFE_S = 60;
const MARGIN_S = 10;
const LONGEST_LIFE_S = 43_200;
const CLIENT_ID = 'noost';
/** Token servers that do not know the form, as far as they tell (C-003). */
const OTHER_FORM = new Set([400, 401, 404, 405]);

/** Bearer tokens of one upstream, each asked for once at a time (P-20, C-006). */
export class Tokens {
  readonly #now: () => number;
  readonly #registry: string;
  readonly #ask: AskRealm;
  readonly #outcome: (outcome: 'ok' | 'denied' | 'failed') => void;
  readonly #held = new LRUCache<string, {readonly token: Promise<Token>; until: number}>({max: MAX_TOKENS});

  constructor(options: {
    now: () => number;
    registry: string;
    ask: AskRealm;
    outcome?: ((outcome: 'ok' | 'denied' | 'failed') => void) | undefined;
  }) {
    this.#now = options.now;
    this.#registry = options.registry;
    this.#ask = options.ask;
    this.#outcome = options.outcome ?? (() => {});
  }

  /**
   * A token that lasts for some seconds at least.
   * @throws {UpstreamError} `unauthorized` if the token server refuses, else as it failed.
   */
  async get(request: TokenRequest): Promise<Token> {
    const key = keyOf(request);
    const held = this.#held.get(key);
    if (held && this.#now() < held.until) return held.token;
    const entry = {token: this.#fetch(request), until: Infinity};
    this.#held.set(key, entry);
    try {
      const token = await entry.token;
      entry.until = token.until;
      this.#outcome('ok');
      return token;
    } catch (error) {
      entry.until = isAnswer(error) ? this.#now() + FAILURE_MS : -Infinity;
      this.#outcome(error instanceof UpstreamError && error.failure === 'unauthorized' ? 'denied' : 'failed');
      throw error;
    }
  }

  /** The registry did not take it: the next `get` asks anew, unless that was done meanwhile. */
  drop(request: TokenRequest, token: Token): void {
    const held = this.#held.get(keyOf(request));
    void held?.token.then(
      (current) => {
        if (current === token) held.until = -Infinity;
      },
      () => {},
    );
  }

  async #fetch(request: TokenRequest): Promise<Token> {
    const {credential} = request;
    const askedAt = this.#now();
    if (credential?.registryToken !== undefined)
      return {value: credential.registryToken, receivedAt: askedAt, until: askedAt + DEFAULT_LIFE_S * 1000};
    const forms =
      credential === undefined
        ? [this.#get]
        : credential.identityToken === undefined
          ? [this.#get, this.#post]
          : [this.#post, this.#get];
    for (const [i, form] of forms.entries()) {
      const reply = await form(request);
      if (reply.status === 200) return this.#read(reply, askedAt);
      const isLast =
        i === forms.length - 1 || !OTHER_FORM.has(reply.status) || (form === this.#get && reply.status === 401);
      if (isLast) throw await this.#refused(reply);
      discard(reply);
    }
    throw new UpstreamError('protocol', this.#registry, 'No way to ask for a token'); // not reached: there is a form
  }

  /** A password goes in a header, never into a query (C-003). */
  readonly #get = ({
    realm,
    service,
    scopes,
    credential,
    allowPrivate,
    certificate,
  }: TokenRequest): Promise<HttpReply> => {
    const url = new URL(realm);
    if (service !== undefined && !url.searchParams.has('service')) url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    url.searchParams.set('client_id', CLIENT_ID);
    if (credential === undefined) return this.#ask(url, {method: 'GET', headers: {}, allowPrivate, certificate});
    if (credential.username !== '' && credential.username !== '<token>')
      url.searchParams.set('account', credential.username);
    return this.#ask(url, {method: 'GET', headers: {authorization: basic(credential)}, allowPrivate, certificate});
  };

  readonly #post = ({
    realm,
    service,
    scopes,
    credential,
    allowPrivate,
    certificate,
  }: TokenRequest): Promise<HttpReply> => {
    const form = new URLSearchParams({client_id: CLIENT_ID, scope: scopes.join(' ')});
    if (service !== undefined) form.set('service', service);
    const {username = '', password = '', identityToken} = credential ?? {};
    const grant =
      identityToken === undefined
        ? {grant_type: 'password', username, password}
        : {grant_type: 'refresh_token', refresh_token: identityToken};
    for (const [name, value] of Object.entries(grant)) form.set(name, value);
    const headers = {'content-type': 'application/x-www-form-urlencoded'};
    return this.#ask(realm, {method: 'POST', headers, body: form.toString(), allowPrivate, certificate});
  };

  async #read(reply: HttpReply, askedAt: number): Promise<Token> {
    const body = (await readBody(reply, MAX_BODY, this.#registry)).toString();
    const {value, lifeS} = parseToken(body);
    if (value === undefined)
      throw new UpstreamError('protocol', this.#registry, `The token server of ${this.#registry} sent no token`);
    // Counted from the question, by our own clock: `issued_at` is only as good as theirs (C-005).
    const usedS = Math.max(lifeS - MARGIN_S, lifeS / 2);
    return {value, receivedAt: this.#now(), until: askedAt + usedS * 1000};
  }

  async #refused(reply: HttpReply): Promise<UpstreamError> {
    const {status} = reply;
    const failure =
      status === 401 || status === 403 || status === 400 || status === 404
        ? 'unauthorized'
        : status === 429
          ? 'tooManyRequests'
          : 'serverError';
    const text = await errorText(reply);
    return new UpstreamError(
      failure,
      this.#registry,
      `The token server of ${this.#registry} answered ${status}${text && ` (${text})`}`,
      {status},
    );
  }
}

export function basic({username, password, identityToken}: Credential): string {
  return `Basic ${Buffer.from(`${username}:${identityToken ?? password}`).toString('base64')}`;
}

/** What the token server said, which it would say again; not that it could not be reached. */
function isAnswer(error: unknown): boolean {
  return !(error instanceof UpstreamError) || !['down', 'timeout', 'serverError'].includes(error.failure);
}

function keyOf({realm, service, scopes, credential, allowPrivate, certificate}: TokenRequest): string {
  return JSON.stringify([realm.href, service, scopes.toSorted(), credential?.identity, allowPrivate, certificate]);
}

function parseToken(body: string): {value: string | undefined; lifeS: number} {
  let parsed: Record<string, unknown>;
  try {
    parsed = Object(JSON.parse(body)) as Record<string, unknown>; // each field is looked at below
  } catch {
    return {value: undefined, lifeS: 0};
  }
  const value = [parsed['access_token'], parsed['token']].find((text) => typeof text === 'string' && text !== '');
  const life = Number(parsed['expires_in'] ?? DEFAULT_LIFE_S);
  const lifeS = Number.isFinite(life) && life > 0 ? Math.min(life, LONGEST_LIFE_S) : DEFAULT_LIFE_S;
  // It becomes a header: nothing that could end one (D-036).
  const isHeader = typeof value === 'string' && value.length <= MAX_TOKEN_CHARS && /^[\x21-\x7e]+$/.test(value);
  return {value: isHeader ? value : undefined, lifeS};
}
