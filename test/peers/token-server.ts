import {
  createHash,
  createPrivateKey,
  randomUUID,
  sign,
  timingSafeEqual,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import type {AddressInfo} from 'node:net';
import {text} from 'node:stream/consumers';
import type {Certificate} from './certificate-authority.ts';

export interface TokenServerOptions {
  /** Signs the tokens; the registry trusts this certificate. An EC P-256 key. */
  readonly signer: Certificate;
  /** User name → password. */
  readonly users: Readonly<Record<string, string>>;
  /** Repositories that anybody may pull from. */
  readonly publicRepositories?: RegExp;
  /** @default 'registry.test' */
  readonly service?: string;
  /** @default true; `false` answers OAuth2's POST 405, as servers do that know only GET (C-003). */
  readonly oauth?: boolean;
  /** Life of a token. @default 300 */
  readonly expiresInSeconds?: number;
}

interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/**
 * The token server of docker-registry's Bearer authentication: GET with Basic and OAuth2 POST (C-002, C-003).
 * Remembers what it was asked; a request holds who asked and for which scopes, never a password.
 * @see https://github.com/distribution/distribution/blob/v2.8.2/docs/spec/auth/token.md and jwt.md, oauth.md beside it
 */
export class TokenServer implements AsyncDisposable {
  /** As `GET alice repository:a/b:pull`; the user is `-` for nobody and `!` for a wrong password. */
  readonly requests: string[] = [];
  readonly #options: TokenServerOptions;
  readonly #key: KeyObject;
  readonly #chain: readonly string[];
  readonly #server: Server;

  private constructor(options: TokenServerOptions, key: KeyObject, chain: readonly string[]) {
    this.#options = options;
    this.#key = key;
    this.#chain = chain;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
  }

  static async start(options: TokenServerOptions): Promise<TokenServer> {
    const key = createPrivateKey(await readFile(options.signer.keyFile));
    const certificate = new X509Certificate(await readFile(options.signer.certFile));
    const server = new TokenServer(options, key, [certificate.raw.toString('base64')]);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get realm(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`; // listens on IP
  }

  get service(): string {
    return this.#options.service ?? 'registry.test';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {method = '', headers} = request;
    if (method !== 'GET' && (method !== 'POST' || this.#options.oauth === false))
      return void response.writeHead(405).end();
    const url = new URL(request.url ?? '', this.realm);
    const form = method === 'POST' ? new URLSearchParams(await text(request)) : undefined;
    // GET repeats the parameter; POST puts all scopes into one.
    const scopes = form ? (form.get('scope') ?? '').split(' ').filter(Boolean) : url.searchParams.getAll('scope');
    const user = form ? this.#login(form.get('username'), form.get('password')) : this.#basic(headers.authorization);
    this.requests.push(`${method} ${user ?? '!'} ${scopes.join(' ')}`.trim());
    if (user === undefined) return void response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
    const token = this.#token(
      user,
      scopes.flatMap((scope) => this.#grant(user, scope)),
    );
    const body = {[form ? 'access_token' : 'token']: token, expires_in: this.#lifeSeconds, issued_at: new Date()};
    response.writeHead(200, {'content-type': 'application/json'}).end(JSON.stringify(body));
  }

  get #lifeSeconds(): number {
    return this.#options.expiresInSeconds ?? 300;
  }

  /** The user's name, `-` without credentials, `undefined` for wrong ones. */
  #basic(authorization: string | undefined): string | undefined {
    if (authorization === undefined) return '-';
    const [, encoded = ''] = /^basic +(.+)$/i.exec(authorization) ?? [];
    const [, name, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
    return this.#login(name ?? null, password ?? null);
  }

  #login(name: string | null, password: string | null): string | undefined {
    const wanted = name === null ? undefined : this.#options.users[name];
    if (wanted === undefined || password === null) return undefined;
    const [a, b] = [wanted, password].map((word) => createHash('sha256').update(word).digest());
    return a && b && timingSafeEqual(a, b) ? (name ?? undefined) : undefined;
  }

  #grant(user: string, scope: string): Access[] {
    const [, type = '', name = '', actions = ''] = /^([^:]+):(.+):([^:]+)$/.exec(scope) ?? [];
    const granted = actions.split(',').filter((action) => user !== '-' || (action === 'pull' && this.#isPublic(name)));
    return granted.length > 0 ? [{type, name, actions: granted}] : []; // less than asked is not an error (C-004)
  }

  #isPublic(repository: string): boolean {
    return this.#options.publicRepositories?.test(repository) ?? false;
  }

  #token(user: string, access: readonly Access[]): string {
    const now = Math.floor(Date.now() / 1000);
    const times = {iat: now, nbf: now - 10, exp: now + this.#lifeSeconds};
    const claims = {iss: 'noost-test', sub: user, aud: this.service, jti: randomUUID(), access, ...times};
    const [head, body] = [{typ: 'JWT', alg: 'ES256', x5c: this.#chain}, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    const signature = sign('sha256', Buffer.from(`${head}.${body}`), {key: this.#key, dsaEncoding: 'ieee-p1363'});
    return `${head}.${body}.${signature.toString('base64url')}`;
  }
}
