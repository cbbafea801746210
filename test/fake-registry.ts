import {once} from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import {createSecureServer} from 'node:http2';
import {createServer as createTlsServer} from 'node:https';
import type {AddressInfo, Socket} from 'node:net';
import {FakeAuth} from './fake-auth.ts';
import {FakeContent} from './fake-content.ts';
import {sendFaulty, type Fault, type Reply} from './fake-fault.ts';

export interface FakeOptions {
  readonly auth?: FakeAuth['mode'];
  /** Blobs are answered 307 to a signed URL at the storage server, another origin. */
  readonly redirectBlobs?: boolean;
  readonly tls?: {readonly cert: string; readonly key: string};
  /** With `tls`: offers h2 by ALPN beside HTTP/1.1. */
  readonly http2?: boolean;
}

/** Which of the fake's three servers: its own port and origin each. */
export type Part = 'registry' | 'token' | 'storage';

export interface Asked {
  readonly part: Part;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly httpVersion: string;
  readonly body: string;
}

export interface When {
  /** Default `registry`. Blobs that are redirected are sent by `storage`. */
  readonly on?: Part;
  readonly method?: string;
  /** Matched against path and query. */
  readonly path?: RegExp | string;
  /** Default 1; `Infinity` for always. */
  readonly times?: number;
}

/**
 * An OCI registry on 127.0.0.1 that remembers what it was asked and fails on command.
 *
 *     await using registry = await FakeRegistry.start({auth: 'bearer', redirectBlobs: true});
 *     const image = registry.content.addImage('library/alpine', 'latest', ['layer one']);
 *     registry.auth.publicRepositories.add('library/alpine');   // else the user `user`, password `secret`
 *     registry.fail({kind: 'truncate', after: 3}, {on: 'storage', path: /blobs/, times: 1});
 *     … pull from registry.url (http://127.0.0.1:port), which clients name registry.host …
 *     assert.deepEqual(registry.lines('storage'), ['GET /blobs/sha256:…']);
 *     registry.clear();         // forget requests and faults
 *     await registry.down();    // refuses connections, breaks open ones; up() listens at the same port again
 *
 * Faults are tried in the order they were given; the first that matches and has times left is used.
 */
export class FakeRegistry implements AsyncDisposable {
  readonly content = new FakeContent();
  readonly auth = new FakeAuth();
  readonly requests: Asked[] = [];
  /** Answers referrers; otherwise 404 as Docker Hub and GHCR do. */
  referrersApi = true;
  redirectBlobs: boolean;
  /** How often each signed URL may be used. */
  signedUrlUses = Infinity;
  /** The most requests that were being answered at one time. */
  concurrent = 0;
  readonly #tls: FakeOptions['tls'];
  readonly #http2: boolean;
  readonly #servers = new Map<Part, {readonly server: Server; readonly port: number; readonly sockets: Set<Socket>}>();
  #faults: {readonly fault: Fault; readonly when: When; left: number}[] = [];
  #signatures = new Map<string, number>();
  #open = 0;

  private constructor(options: FakeOptions) {
    this.auth.mode = options.auth ?? 'none';
    this.redirectBlobs = options.redirectBlobs ?? false;
    this.#tls = options.tls;
    this.#http2 = options.http2 ?? false;
  }

  static async start(options: FakeOptions = {}): Promise<FakeRegistry> {
    const fake = new FakeRegistry(options);
    await fake.up();
    return fake;
  }

  /** As clients name it: `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.port('registry')}`;
  }
  get url(): string {
    return this.urlOf('registry');
  }
  urlOf(part: Part): string {
    return `${this.#tls ? 'https' : 'http'}://127.0.0.1:${this.port(part)}`;
  }
  port(part: Part): number {
    return this.#servers.get(part)?.port ?? 0;
  }

  /** `GET /v2/…` of each request, of one part or all. */
  lines(part?: Part): string[] {
    return this.requests
      .filter((asked) => part === undefined || asked.part === part)
      .map(({method, url}) => `${method} ${url}`);
  }

  fail(fault: Fault, when: When = {}): void {
    this.#faults.push({fault, when, left: when.times ?? 1});
  }

  /** Forgets the faults, and what was asked. */
  clear(): void {
    this.#faults = [];
    this.requests.length = 0;
    this.concurrent = 0;
  }

  async up(): Promise<void> {
    for (const part of ['registry', 'token', 'storage'] as const) {
      const server = this.#newServer((req, res) => void this.#answer(part, req, res));
      const sockets = new Set<Socket>();
      server.on('connection', (socket: Socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
      server.listen(this.port(part), '127.0.0.1');
      await once(server, 'listening');
      this.#servers.set(part, {server, port: (server.address() as AddressInfo).port, sockets}); // never a pipe
    }
  }

  async down(): Promise<void> {
    await Promise.all(
      [...this.#servers.values()].map(async ({server, sockets}) => {
        if (!server.listening) return;
        server.close();
        for (const socket of sockets) socket.destroy();
        await once(server, 'close');
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  #newServer(handler: (req: IncomingMessage, res: ServerResponse) => void): Server {
    const limits = {maxHeaderSize: 65_536, keepAliveTimeout: 60_000};
    if (!this.#tls) return createServer(limits, handler);
    if (!this.#http2) return createTlsServer({...limits, ...this.#tls}, handler);
    // node:http2's compatible request and response are near enough for what is used here.
    return createSecureServer({...this.#tls, allowHTTP1: true}, handler as never) as unknown as Server;
  }

  async #answer(part: Part, req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.concurrent = Math.max(this.concurrent, ++this.#open);
    res.on('close', () => this.#open--);
    const {method = '', url = '', headers, httpVersion} = req;
    const body = await read(req);
    this.requests.push({part, method, url, headers, httpVersion, body});
    const fault = this.#faultFor(part, method, url);
    const ranged = fault?.kind === 'ignoreRange' ? undefined : headers.range;
    const reply = this.#reply(part, method, new URL(url, this.urlOf(part)), headers.authorization, body);
    await sendFaulty(inRange(reply, ranged, fault?.kind === 'wrongRange' ? 1 : 0), fault, method === 'HEAD', res);
  }

  #faultFor(part: Part, method: string, url: string): Fault | undefined {
    const found = this.#faults.find(({fault, when, left}) => {
      const verb = fault.kind === 'headRefused' ? 'HEAD' : when.method;
      if (left <= 0 || (when.on ?? 'registry') !== part || (verb ?? method) !== method) return false;
      return typeof when.path === 'string' ? url.includes(when.path) : (when.path?.test(url) ?? true);
    });
    if (found) found.left--;
    return found?.fault;
  }

  #reply(part: Part, method: string, url: URL, authorization: string | undefined, body: string): Reply {
    if (part === 'token') return this.auth.token(method, url, authorization, body);
    if (part === 'storage') return this.#stored(url);
    const match = /^\/v2\/(?:(.+)\/(blobs|manifests|tags|referrers)\/([^/]+))?$/.exec(url.pathname);
    if (!match) return problem(404, 'NAME_UNKNOWN');
    const [, repository = '', kind = '', reference = ''] = match;
    const denied = this.auth.deny(authorization, repository, `${this.urlOf('token')}/token`);
    if (denied) return denied;
    if (kind === '') return ok('{}', 'application/json');
    if (kind === 'blobs') return this.#blob(repository, reference);
    if (kind === 'manifests') return this.#manifest(repository, reference);
    return kind === 'tags' ? this.#tags(repository, url) : this.#referrers(repository, reference);
  }

  #manifest(repository: string, reference: string): Reply {
    const held = this.content.find(repository);
    const found = held?.manifests.get(held.tags.get(reference) ?? reference);
    return found ? ok(found.bytes, found.mediaType, found.digest) : problem(404, 'MANIFEST_UNKNOWN');
  }

  #blob(repository: string, digest: string): Reply {
    const bytes = this.content.find(repository)?.blobs.get(digest);
    if (!bytes) return problem(404, 'BLOB_UNKNOWN');
    if (!this.redirectBlobs) return ok(bytes, 'application/octet-stream', digest);
    const signature = `${this.#signatures.size}`;
    this.#signatures.set(signature, 0);
    const location = `${this.urlOf('storage')}/${repository}/${digest}?X-Amz-Signature=${signature}`;
    return {status: 307, headers: {location, 'content-length': '0'}, body: Buffer.alloc(0)};
  }

  #stored(url: URL): Reply {
    const signature = url.searchParams.get('X-Amz-Signature') ?? '';
    const uses = this.#signatures.get(signature) ?? Infinity;
    this.#signatures.set(signature, uses + 1);
    if (uses >= this.signedUrlUses) return problem(403, 'AccessDenied');
    const cut = url.pathname.lastIndexOf('/');
    const bytes = this.content.find(url.pathname.slice(1, cut))?.blobs.get(url.pathname.slice(cut + 1));
    return bytes ? ok(bytes, 'binary/octet-stream') : problem(404, 'NoSuchKey');
  }

  #tags(name: string, url: URL): Reply {
    const held = this.content.find(name);
    if (!held) return problem(404, 'NAME_UNKNOWN');
    const all = [...held.tags.keys()].toSorted().filter((tag) => tag > (url.searchParams.get('last') ?? ''));
    const tags = all.slice(0, Number(url.searchParams.get('n') ?? all.length));
    const reply = ok(JSON.stringify({name, tags}), 'application/json');
    if (tags.length === all.length || tags.length === 0) return reply;
    const next = `</v2/${name}/tags/list?last=${tags.at(-1)}&n=${tags.length}>; rel="next"`;
    return {...reply, headers: {...reply.headers, link: next}};
  }

  #referrers(repository: string, digest: string): Reply {
    if (!this.referrersApi) return problem(404, 'NAME_UNKNOWN');
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const manifests = this.content.referrers(repository, digest);
    return ok(JSON.stringify({schemaVersion: 2, mediaType, manifests}), mediaType);
  }
}

async function read(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer); // no encoding is set
  return Buffer.concat(chunks).toString();
}

function ok(body: Buffer | string, type: string, digest?: string): Reply {
  const bytes = Buffer.from(body as string); // a Buffer is taken as it is
  const named: Record<string, string> = digest === undefined ? {} : {'docker-content-digest': digest};
  return {status: 200, headers: {'content-type': type, 'content-length': String(bytes.length), ...named}, body: bytes};
}

function problem(status: number, code: string): Reply {
  return {...ok(JSON.stringify({errors: [{code, message: code.toLowerCase()}]}), 'application/json'), status};
}

/** The part of a 200 that was asked for, moved by `skew` bytes for the fault of that name. */
function inRange(reply: Reply, range: string | undefined, skew: number): Reply {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
  const size = reply.body.length;
  if (reply.status !== 200 || first + last === '') return reply;
  const from = first === '' ? size - Number(last) : Number(first) + skew;
  const to = first === '' || last === '' ? size - 1 : Math.min(size - 1, Number(last));
  if (from >= size) return {...problem(416, 'RANGE_INVALID'), headers: {'content-range': `bytes */${size}`}};
  const headers = {
    ...reply.headers,
    'content-range': `bytes ${from}-${to}/${size}`,
    'content-length': String(to - from + 1),
  };
  return {status: 206, headers, body: reply.body.subarray(from, to + 1)};
}
