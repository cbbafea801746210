import {once} from 'node:events';
import type {ClientHttp2Stream, IncomingHttpHeaders} from 'node:http2';
import {isIP} from 'node:net';
import {connect, type TLSSocket} from 'node:tls';
import {Agent} from 'http2-wrapper';
import {LRUCache} from 'lru-cache';
import {portOf, type Guard, type Reach} from './guard.ts';
import type {HttpReply} from './http-reply.ts';
import type {TlsOptions} from './tls-files.ts';

export interface Http2Request {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly reach: Reach;
  readonly tls: TlsOptions;
  /** Sessions are shared among requests of one key only. */
  readonly key: string;
  readonly headersMs: number;
  readonly stallMs: number;
  readonly signal: AbortSignal;
  readonly failure: (error: unknown) => Error;
}

/** An origin that speaks HTTP/1.1 only is taken for that for this long. */
const HTTP1_MS = 600_000;
const IDLE_MS = 60_000;
const MAX_AGENTS = 16;

/** The server chose HTTP/1.1. */
class NoHttp2Error extends Error {}

/** Small questions over HTTP/2 where the server offers it by ALPN: many at once over one connection (design §2). */
export class Http2 {
  readonly #guard: Guard;
  readonly #now: () => number;
  readonly #connectMs: number;
  readonly #agents = new LRUCache<string, Agent>({max: MAX_AGENTS, dispose: (agent) => agent.closeEmptySessions()});
  readonly #http1Until = new LRUCache<string, number>({max: 64});

  constructor(guard: Guard, options: {now: () => number; connectMs: number}) {
    this.#guard = guard;
    this.#now = options.now;
    this.#connectMs = options.connectMs;
  }

  /** @returns `undefined` if the origin speaks HTTP/1.1: nothing was asked then. */
  async send(request: Http2Request): Promise<HttpReply | undefined> {
    const {origin} = request.url;
    if (this.#now() < (this.#http1Until.get(origin) ?? -Infinity)) return undefined;
    try {
      return await this.#ask(request);
    } catch (error) {
      if (!(error instanceof NoHttp2Error)) throw request.failure(error);
      this.#http1Until.set(origin, this.#now() + HTTP1_MS);
      return undefined;
    }
  }

  destroy(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #ask(request: Http2Request): Promise<HttpReply> {
    const {url, method, headers, body, signal} = request;
    const pseudo = {':method': method, ':path': url.pathname + url.search, ':scheme': 'https', ':authority': url.host};
    const opening = this.#agentFor(request).request(
      url.origin,
      {},
      {...headers, ...pseudo},
      {endStream: body === undefined},
    );
    const stream = await orLeft(opening, signal);
    if (body !== undefined) stream.end(body);
    return replyOf(stream, request);
  }

  #agentFor({url, reach, tls, key}: Http2Request): Agent {
    const held = this.#agents.get(key);
    if (held) return held;
    const agent = new CheckedAgent((origin) => this.#connect(origin, url, reach, tls));
    this.#agents.set(key, agent);
    return agent;
  }

  async #connect(origin: URL, url: URL, reach: Reach, tls: TlsOptions): Promise<TLSSocket> {
    const host = origin.hostname.replace(/^\[|\]$/g, '');
    const socket = connect({
      ...tls,
      host,
      port: portOf(url),
      ...(isIP(host) === 0 ? {servername: host} : {}),
      ALPNProtocols: ['h2', 'http/1.1'],
      lookup: this.#guard.lookup(portOf(url), reach),
    });
    const late = setTimeout(
      () => socket.destroy(Object.assign(new Error('Connect timeout'), {code: 'ETIMEDOUT'})),
      this.#connectMs,
    );
    try {
      await once(socket, 'secureConnect');
    } finally {
      clearTimeout(late);
    }
    if (socket.alpnProtocol === 'h2') return socket;
    socket.on('error', () => {}).destroy();
    throw new NoHttp2Error('The server chose HTTP/1.1');
  }
}

/** Opens sessions over connections that the guard has seen. */
class CheckedAgent extends Agent {
  readonly #connect: (origin: URL) => Promise<TLSSocket>;
  constructor(connectTo: (origin: URL) => Promise<TLSSocket>) {
    super({timeout: IDLE_MS, maxSessions: 2, maxEmptySessions: 1});
    this.#connect = connectTo;
  }
  override createConnection(origin: URL): Promise<TLSSocket> {
    return this.#connect(origin);
  }
}

/** The stream, unless the signal ends first; then the stream is closed when it comes. */
async function orLeft(opening: Promise<ClientHttp2Stream>, signal: AbortSignal): Promise<ClientHttp2Stream> {
  const left = Promise.withResolvers<never>();
  const leave = (): void => {
    left.reject(signal.reason as Error); // signals of ours end with errors
    opening.then((stream) => stream.on('error', () => {}).destroy()).catch(() => {});
  };
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, {once: true});
  return Promise.race([opening, left.promise]).finally(() => signal.removeEventListener('abort', leave));
}

function replyOf(stream: ClientHttp2Stream, {signal, headersMs, stallMs, failure}: Http2Request): Promise<HttpReply> {
  const {promise, resolve, reject} = Promise.withResolvers<HttpReply>();
  const timedOut = (): void =>
    void stream.destroy(failure(Object.assign(new Error('No byte in time'), {code: 'ETIMEDOUT'})));
  const abort = (): void => void stream.destroy(failure(signal.reason));
  const closed = (): void => reject(failure(Object.assign(new Error('Stream closed'), {code: 'ECONNRESET'})));
  stream.setTimeout(headersMs, timedOut);
  signal.addEventListener('abort', abort, {once: true});
  stream.on('error', (error) => reject(failure(error)));
  stream.on('close', closed);
  stream.once('response', (raw: IncomingHttpHeaders) => {
    signal.removeEventListener('abort', abort);
    stream.setTimeout(stallMs, timedOut);
    const {':status': status = 0, ...headers} = raw as IncomingHttpHeaders & {':status'?: number};
    resolve({status, headers, body: stream});
  });
  return promise;
}
