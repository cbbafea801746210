import {LRUCache} from 'lru-cache';
import type {Dispatcher} from 'undici';
import buildConnector from 'undici/lib/core/connect.js';
import Pool from 'undici/lib/dispatcher/pool.js';
import {Breaker} from './breaker.ts';
import {UpstreamError} from './error.ts';
import {portOf, type Guard, type Reach} from './guard.ts';
import {toUpstreamError} from './http-failure.ts';
import type {HttpReply} from './http-reply.ts';
import {sendHttp1} from './http1.ts';
import {Http2} from './http2.ts';
import {proxyFor, type ProxyEnv} from './proxy.ts';
import {ProxyAgent} from './proxy-agent.ts';
import {SlabReader, slabs} from './slabs.ts';
import {TlsFiles, type TlsOptions} from './tls-files.ts';
import type {Timeouts, TlsSettings, UpstreamEvents} from './upstream-settings.ts';

/** One HTTP question to a registry, its token server or its storage. */
export interface Exchange {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly reach: Reach;
  /** The upstream itself or its token server. */
  readonly own: boolean;
  /** Whether what is `own` may see the client certificate: it is a credential of the node's. */
  readonly certificate: boolean;
  /** Tokens, tags, manifests: connections of their own, so that layers do not hold them up. */
  readonly small: boolean;
  /** Ends the wait for headers; the body is its reader's. */
  readonly signal: AbortSignal;
}

export interface TransportOptions {
  /** Registry as clients name it, for errors. */
  readonly registry: string;
  /** For events: bounded. */
  readonly label: string;
  readonly tls: TlsSettings | undefined;
  readonly maxConnections: number;
  readonly guard: Guard;
  readonly env: ProxyEnv;
  readonly timeouts: Timeouts;
  readonly events: UpstreamEvents;
  readonly now: () => number;
  readonly random: () => number;
}

/** Signed URLs need longer headers than Node allows by itself (C-050). */
const MAX_HEADER_BYTES = 64 * 1024;
const MAX_POOLS = 16;
const MAX_WAITING = 512;
const IDLE_MS = 30_000;

/** Connections of one upstream: shared with no other (D-040), checked by the guard whenever one is opened. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #tls: TlsFiles;
  readonly #pools = new LRUCache<string, Dispatcher>({
    max: MAX_POOLS,
    dispose: (pool) => void pool.close().catch(() => {}),
  });
  readonly #breakers = new LRUCache<string, Breaker>({max: MAX_POOLS});
  readonly #http2: Http2;
  #waiting = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#http2 = new Http2(options.guard, {now: options.now, connectMs: options.timeouts.connectMs});
    this.#tls = new TlsFiles(options.tls, options.now);
  }

  /** @throws {UpstreamError} `refused`, `down`, `timeout`, `protocol`; or the signal's reason where its owner left. */
  async send(exchange: Exchange): Promise<HttpReply> {
    const {registry, guard, label, events, now} = this.#options;
    const host = exchange.url.host;
    const breaker = this.#breakerOf(exchange.url.origin);
    const begun = now();
    try {
      guard.checkUrl(exchange.url, exchange.reach);
    } catch (error) {
      throw toUpstreamError(error, registry, host);
    }
    const waitMs = breaker.enter();
    if (waitMs > 0)
      throw new UpstreamError(
        'down',
        registry,
        `${host} does not answer; asked again in ${Math.ceil(waitMs / 1000)} s`,
        {retryAfterMs: waitMs},
      );
    try {
      const reply = await this.#exchange(exchange);
      breaker.succeeded();
      events.request?.(label, reply.status, now() - begun);
      return reply;
    } catch (error) {
      throw this.#failed(error, exchange, breaker, begun);
    }
  }

  /** Lets requests under way finish. */
  async close(): Promise<void> {
    this.#pools.clear();
  }

  /** Breaks everything off. */
  async destroy(): Promise<void> {
    this.#http2.destroy();
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }

  #failed(error: unknown, {signal, url}: Exchange, breaker: Breaker, begun: number): unknown {
    const {registry, label, events, now} = this.#options;
    if (signal.aborted && !isTimeout(signal.reason)) {
      breaker.left(); // whoever asked has left: nobody's failure
      return signal.reason;
    }
    const failure = toUpstreamError(error, registry, url.host);
    const isTheirs = failure.failure === 'down' || failure.failure === 'timeout';
    if (isTheirs && !(failure.cause instanceof BusyError)) breaker.failed();
    else breaker.left();
    events.request?.(label, failure.failure, now() - begun);
    return failure;
  }

  async #exchange(exchange: Exchange): Promise<HttpReply> {
    const {url, method, headers, body, signal, reach, own, certificate, small} = exchange;
    const {registry, timeouts, env} = this.#options;
    if (this.#waiting >= MAX_WAITING)
      throw new UpstreamError('down', registry, `Too many requests wait for ${url.host}`);
    let isBusy = (): boolean => false;
    const failure = (error: unknown): Error =>
      toUpstreamError(isBusy() ? new BusyError('All connections are in use') : error, registry, url.host);
    const tls = await this.#tls.get();
    const chosen = !own ? tls.other : certificate ? tls.own : tls.anonymous;
    const reached = reach.anywhere ? 'anywhere' : `${reach.where} ${reach.classes.join()}`;
    const key = [url.origin, reached, own, certificate, small, tls.stamp].join(' ');
    const request = {method, headers, body, signal, headersMs: timeouts.headersMs, stallMs: timeouts.stallMs, failure};
    if (small && url.protocol === 'https:' && proxyFor(url, env) === undefined) {
      const reply = await this.#http2.send({...request, url, reach, tls: chosen, key});
      if (reply) return reply;
    }
    const started = this.#wait();
    const pool = this.#pools.get(key) ?? this.#newPool(key, exchange, chosen);
    isBusy = () => signal.aborted && started.waits() && pool instanceof Pool && pool.stats.running > 0;
    return sendHttp1(pool, {
      ...request,
      origin: url.origin,
      path: url.pathname + url.search,
      started: started.done,
    }).finally(started.done);
  }

  /** Counts a request that waits until `done` is called. */
  #wait(): {readonly done: () => void; readonly waits: () => boolean} {
    let waits = true;
    this.#waiting++;
    const done = (): void => {
      if (waits) this.#waiting--;
      waits = false;
    };
    return {done, waits: () => waits};
  }

  #newPool(key: string, {url, reach, small}: Exchange, tls: TlsOptions): Dispatcher {
    const {guard, timeouts, maxConnections, env} = this.#options;
    const few = Math.max(1, maxConnections >> 2);
    const limits = {
      connections: small ? few : Math.max(1, maxConnections - few),
      allowH2: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
    };
    const proxy = proxyFor(url, env);
    // Behind a proxy it is the proxy that resolves names: they were checked, their addresses cannot be (D-013).
    const pool =
      proxy === undefined
        ? new Pool(url.origin, {
            ...limits,
            connect: connector({...tls, timeout: timeouts.connectMs, lookup: guard.lookup(portOf(url), reach)}, !small),
          })
        : new ProxyAgent({
            ...limits,
            uri: proxy,
            requestTls: {...tls, allowH2: false},
            connectTimeout: timeouts.connectMs,
          });
    this.#pools.set(key, pool);
    return pool;
  }

  #breakerOf(origin: string): Breaker {
    const {now, random, events, label} = this.#options;
    const held = this.#breakers.get(origin);
    if (held) return held;
    const breaker = new Breaker({now, random, changed: (open) => events.breaker?.(label, open)});
    this.#breakers.set(origin, breaker);
    return breaker;
  }
}

/** @param isLarge bodies are expected for which it counts how they are read. */
function connector(options: buildConnector.BuildOptions, isLarge: boolean): buildConnector.connector {
  const all = {...options, allowH2: false};
  const usual = buildConnector(all);
  if (!isLarge) return usual;
  return (asked, callback) => {
    // What is decrypted comes in records of 16 KiB, however it is read.
    if (asked.protocol === 'https:') usual(asked, callback);
    else buildConnector({...all, onread: new SlabReader(slabs).onread})(asked, callback);
  };
}

/** A request ran out of time in our own queue: it says nothing of the origin. */
class BusyError extends Error {
  override readonly name = 'TimeoutError';
}

/** Whether a signal ended by a deadline of ours rather than because its owner left. */
export function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}
