import {LRUCache} from 'lru-cache';
import {parseChallenges, scopesOf, type Challenge} from './challenge.ts';
import type {Credential} from './credentials.ts';
import {UpstreamError} from './error.ts';
import {headerOf, type HttpHeaders} from './http-reply.ts';
import {realmMayHaveCredentials} from './realm.ts';
import type {Authority} from './source.ts';
import {basic, type Token, type TokenRequest, type Tokens} from './token.ts';

/** What one request is sent with. */
export interface Grant {
  readonly header: string | undefined;
  /** `node` only if the node's own credentials are behind the header. */
  readonly authority: Authority;
  readonly credential: Credential | undefined;
  readonly token?: {readonly held: Token; readonly request: TokenRequest};
}

type Scheme =
  | {readonly kind: 'basic'}
  | {
      readonly kind: 'bearer';
      readonly realm: URL;
      readonly service: string | undefined;
      readonly scopes: readonly string[];
    };

const MAX_REPOSITORIES = 4096;

/** What an upstream asked of whom, repository by repository, and how it is answered (C-001…C-009). */
export class Authorizer {
  readonly #registry: string;
  readonly #url: URL;
  readonly #realms: readonly string[];
  readonly #tokens: Tokens;
  readonly #schemes = new LRUCache<string, Scheme>({max: MAX_REPOSITORIES});

  constructor(options: {registry: string; url: URL; realms: readonly string[]; tokens: Tokens}) {
    this.#registry = options.registry;
    this.#url = options.url;
    this.#realms = options.realms;
    this.#tokens = options.tokens;
  }

  /**
   * What is known to be needed: nothing until the repository was challenged once; then at once, without being asked (C-008).
   * @throws {UpstreamError} of the token server.
   */
  async grant(
    repository: string,
    credential: Credential | undefined,
    {allowPrivate, certificate}: Pick<TokenRequest, 'allowPrivate' | 'certificate'>,
  ): Promise<Grant> {
    const scheme = this.#schemes.get(repository);
    if (scheme === undefined) return {header: undefined, authority: 'anonymous', credential};
    if (scheme.kind === 'basic') {
      if (credential === undefined) return {header: undefined, authority: 'anonymous', credential};
      return {header: basic(credential), authority: 'node', credential};
    }
    const mayHave = await realmMayHaveCredentials(this.#url, scheme.realm, this.#realms);
    const sent = mayHave ? credential : undefined;
    const request = {
      realm: scheme.realm,
      service: scheme.service,
      scopes: scheme.scopes,
      credential: sent,
      allowPrivate,
      certificate,
    };
    const held = await this.#tokens.get(request);
    return {header: `Bearer ${held.value}`, authority: sent ? 'node' : 'anonymous', credential, token: {held, request}};
  }

  /**
   * Learns from a 401 what the repository needs.
   * @returns whether that is something new: only then is it worth asking again.
   * @throws {UpstreamError} `unauthorized` for schemes that we do not speak; `refused` for a realm that is not one.
   */
  learn(repository: string, challenges: readonly Challenge[], hasCredential: boolean): boolean {
    const bearer = challenges.find(({scheme}) => scheme === 'bearer');
    if (bearer) return this.#learnBearer(repository, bearer);
    if (challenges.some(({scheme}) => scheme === 'basic')) {
      const isNew = this.#schemes.get(repository)?.kind !== 'basic';
      this.#schemes.set(repository, {kind: 'basic'});
      return isNew && hasCredential;
    }
    const names = challenges.map(({scheme}) => scheme.slice(0, 20)).join(', ');
    throw new UpstreamError(
      'unauthorized',
      this.#registry,
      `${this.#registry} asks for authentication by ${names || 'nothing we know'}`,
      {status: 401},
    );
  }

  /** A token was refused: another is asked for next time. */
  drop(grant: Grant): void {
    if (grant.token) this.#tokens.drop(grant.token.request, grant.token.held);
  }

  /** The scopes asked for so far and those of the challenge together, once (C-006). */
  #learnBearer(repository: string, challenge: Challenge): boolean {
    const realm = this.#realmOf(challenge);
    const service = challenge.params.get('service');
    const asked = scopesOf(challenge);
    const before = this.#schemes.get(repository);
    const known =
      before?.kind === 'bearer' && before.realm.href === realm.href && before.service === service ? before : undefined;
    const wanted = asked.length === 0 && known === undefined ? [`repository:${repository}:pull`] : asked;
    const scopes = [...new Set([...(known?.scopes ?? []), ...wanted])].slice(0, 8);
    const isNew = known === undefined || scopes.length !== known.scopes.length;
    this.#schemes.set(repository, {kind: 'bearer', realm, service, scopes});
    return isNew;
  }

  /** Comes from the upstream's answer, so it is hostile until checked (D-016). */
  #realmOf(challenge: Challenge): URL {
    const text = challenge.params.get('realm') ?? '';
    const realm = URL.canParse(text) ? new URL(text) : undefined;
    const isHttp = realm?.protocol === 'https:' || (realm?.protocol === 'http:' && this.#url.protocol === 'http:');
    if (realm === undefined || !isHttp || realm.username !== '' || realm.password !== '')
      throw new UpstreamError(
        'refused',
        this.#registry,
        `realm refused: ${this.#registry} names a token server that is not one`,
        {status: 401},
      );
    realm.hash = '';
    return realm;
  }
}

/** The challenges of an answer; empty where it has none (C-009). */
export function challengesOf(reply: {readonly headers: HttpHeaders}): Challenge[] {
  const all = reply.headers['www-authenticate'];
  return parseChallenges(typeof all === 'string' ? [all] : (all ?? headerOf(reply, 'www-authenticate')));
}
