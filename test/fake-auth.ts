import {randomUUID} from 'node:crypto';
import type {Reply} from './fake-fault.ts';

/** How the fake asks who you are, and its token server's rules. All of it may be changed while it runs. */
export class FakeAuth {
  mode: 'none' | 'basic' | 'bearer' = 'none';
  username = 'user';
  password = 'secret';
  /** What the token server takes as a refresh (identity) token, by POST. */
  refreshToken = 'identity';
  /** Whether the token server knows POST (C-003). */
  allowPost = true;
  tokenLifeSeconds: number | undefined = 300;
  /** Replaces the realm; `undefined` is this fake's own token server. */
  realm: string | undefined;
  /** Whole WWW-Authenticate value, `''` for none; replaces what the mode would say. */
  challenge: string | undefined;
  /** Repositories that anyone may read; `'all'` too. In `basic` mode they still need no login. */
  readonly publicRepositories = new Set<string>();
  /** Scopes and identities of the tokens that were given out, in order. */
  readonly issued: {readonly scopes: readonly string[]; readonly identity: string; readonly token: string}[] = [];
  readonly #tokens = new Map<string, {readonly scopes: readonly string[]; readonly identity: string}>();

  /** All tokens given out so far are no good any more. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  isPublic(repository: string): boolean {
    return this.publicRepositories.has('all') || this.publicRepositories.has(repository);
  }

  /** A 401 for who may not read `repository`; `undefined` if they may. */
  deny(authorization: string | undefined, repository: string, tokenUrl: string): Reply | undefined {
    if (this.mode === 'none') return undefined;
    if (this.mode === 'basic') {
      const open = repository !== '' && this.isPublic(repository);
      return open || this.#isBasic(authorization) ? undefined : refuse(this.challenge ?? 'Basic realm="fake"');
    }
    const held = this.#tokens.get(authorization?.replace(/^Bearer /, '') ?? '');
    const wanted = `repository:${repository}:pull`;
    if (held && (repository === '' || held.scopes.includes(wanted))) return undefined;
    const scope = repository === '' ? '' : `,scope="${wanted}"`;
    const error = held ? ',error="insufficient_scope"' : '';
    return refuse(this.challenge ?? `Bearer realm="${this.realm ?? tokenUrl}",service="fake"${scope}${error}`);
  }

  /** The token server. Grants what the identity may; a smaller grant is not an error (C-004). */
  token(method: string, url: URL, authorization: string | undefined, form: string): Reply {
    if (method === 'POST' && !this.allowPost) return json(404, {errors: []});
    const fields = method === 'POST' ? new URLSearchParams(form) : url.searchParams;
    const identity = method === 'POST' ? this.#formIdentity(fields) : this.#queryIdentity(authorization);
    if (identity === undefined) return json(401, {errors: [{code: 'UNAUTHORIZED', message: 'bad credentials'}]});
    const asked = fields.getAll('scope').flatMap((scope) => scope.split(' '));
    const scopes = asked.filter((scope) => identity !== '' || this.isPublic(scope.split(':')[1] ?? ''));
    const token = randomUUID();
    this.#tokens.set(token, {scopes, identity});
    this.issued.push({scopes, identity, token});
    const life = this.tokenLifeSeconds === undefined ? {} : {expires_in: this.tokenLifeSeconds};
    return json(200, {token, access_token: token, ...life});
  }

  #formIdentity(fields: URLSearchParams): string | undefined {
    if (fields.get('grant_type') === 'refresh_token')
      return fields.get('refresh_token') === this.refreshToken ? 'refresh' : undefined;
    return fields.get('username') === this.username && fields.get('password') === this.password
      ? this.username
      : undefined;
  }

  #queryIdentity(authorization: string | undefined): string | undefined {
    if (authorization === undefined) return '';
    return this.#isBasic(authorization) ? this.username : undefined;
  }

  #isBasic(authorization: string | undefined): boolean {
    return authorization === `Basic ${Buffer.from(`${this.username}:${this.password}`).toString('base64')}`;
  }
}

function refuse(challenge: string): Reply {
  const reply = json(401, {errors: [{code: 'UNAUTHORIZED', message: 'authentication required'}]});
  return challenge === '' ? reply : {...reply, headers: {...reply.headers, 'www-authenticate': challenge}};
}

function json(status: number, value: object): Reply {
  const body = Buffer.from(JSON.stringify(value));
  return {status, headers: {'content-type': 'application/json', 'content-length': String(body.length)}, body};
}
