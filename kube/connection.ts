import {Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions} from 'node:http';
import {Agent as HttpsAgent, request as httpsRequest} from 'node:https';
import type {Access, Cluster} from './access.ts';
import {KubeError} from './error.ts';

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** Ends the request, and the body of its answer. */
  readonly signal: AbortSignal;
  /** On a connection of its own, so that no watch stands in the way of a question. */
  readonly watch: boolean;
}

const MAX_CONNECTIONS = 16;
/** The lists of one process; each watch holds a connection. */
const MAX_WATCHES = 128;
const MAX_UNDER_WAY = 1024;

/** Connections to one API server, made anew when our certificate or its authority is another. */
export class Connection {
  readonly #cluster: Cluster;
  readonly #env: NodeJS.ProcessEnv;
  #stamp: string | undefined;
  #agents: {readonly small: HttpAgent; readonly watch: HttpAgent} | undefined;
  #underWay = 0;

  constructor(cluster: Cluster, env: NodeJS.ProcessEnv) {
    this.#cluster = cluster;
    this.#env = env;
  }

  /**
   * Sends one request and returns when its answer begins; whoever gets it reads or destroys it.
   * @throws {KubeError} Unreachable, Busy or Credentials; or the signal's reason.
   */
  async send(wanted: KubeRequest): Promise<IncomingMessage> {
    if (this.#underWay >= MAX_UNDER_WAY)
      throw new KubeError(0, 'Busy', `More than ${MAX_UNDER_WAY} requests to the API server are under way`);
    this.#underWay++;
    try {
      const access = await orAborted(this.#cluster.access(), wanted.signal);
      return await this.#exchange(wanted, access);
    } finally {
      this.#underWay--;
    }
  }

  /** Breaks off everything. */
  destroy(): void {
    this.#agents?.small.destroy();
    this.#agents?.watch.destroy();
    this.#agents = undefined;
  }

  #exchange({method, path, headers, body, signal, watch}: KubeRequest, access: Access): Promise<IncomingMessage> {
    const {server} = this.#cluster;
    const agents = this.#agentsFor(access);
    const all: Record<string, string | number> = {...headers, ...access.headers};
    if (body !== undefined) all['content-length'] = Buffer.byteLength(body);
    const options: RequestOptions = {
      agent: watch ? agents.watch : agents.small,
      method,
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? (server.protocol === 'https:' ? 443 : 80) : server.port,
      path: server.pathname.replace(/\/$/, '') + path,
      headers: all,
      signal,
    };
    return new Promise((resolve, reject) => {
      const request = server.protocol === 'https:' ? httpsRequest(options) : httpRequest(options);
      request.once('response', resolve);
      request.on('error', (error: NodeJS.ErrnoException) =>
        reject(failureOf(error, signal, server, request.reusedSocket)),
      );
      request.end(body);
    });
  }

  #agentsFor({tls, stamp}: Access): {readonly small: HttpAgent; readonly watch: HttpAgent} {
    if (this.#agents && this.#stamp === stamp) return this.#agents;
    const old = this.#agents;
    // What is under way on the old ones may end as it began; idle sockets go.
    if (old) for (const agent of [old.small, old.watch]) closeIdle(agent);
    const {server, proxy} = this.#cluster;
    const proxyEnv = proxy === 'environment' ? this.#env : proxy && {HTTPS_PROXY: proxy.href, HTTP_PROXY: proxy.href};
    const common = {keepAlive: true, keepAliveMsecs: 15_000, timeout: 0, ...(proxyEnv && {proxyEnv})};
    const newAgent = (maxSockets: number): HttpAgent =>
      server.protocol === 'https:'
        ? new HttpsAgent({...common, ...tls, maxSockets, minVersion: 'TLSv1.2'})
        : new HttpAgent({...common, maxSockets});
    this.#stamp = stamp;
    return (this.#agents = {small: newAgent(MAX_CONNECTIONS), watch: newAgent(MAX_WATCHES)});
  }
}

function closeIdle(agent: HttpAgent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  agent.maxFreeSockets = 0;
}

/** A kept connection that the server closed just as we used it: nothing was done, so it may be asked again. */
export class StaleConnectionError extends KubeError {}

function failureOf(error: NodeJS.ErrnoException, signal: AbortSignal, server: URL, reused: boolean): Error {
  if (signal.aborted) return signal.reason as Error;
  const message = `The API server ${server.host} cannot be reached: ${error.message}`;
  if (reused && (error.code === 'ECONNRESET' || error.code === 'EPIPE'))
    return new StaleConnectionError(0, 'Unreachable', message, {cause: error});
  return new KubeError(0, 'Unreachable', message, {cause: error});
}

/** `promise`, unless the signal ends first: then its reason is thrown, and the promise goes on for others. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(signal.reason as Error);
  }
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, {once: true});
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
