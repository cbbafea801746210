import {setTimeout as delay} from 'node:timers/promises';
import type {IncomingMessage} from 'node:http';
import type {Cluster} from './access.ts';
import {
  queryOf,
  writeParameters,
  writeQuery,
  type Ask,
  type DeleteAsk,
  type ListAsk,
  type Patch,
  type WatchAsk,
  type Write,
} from './ask.ts';
import {readBounded} from './body.ts';
import {Connection, StaleConnectionError, type KubeRequest} from './connection.ts';
import {errorOfStatus, isNotFound, KubeError} from './error.ts';
import {apiVersionOf, pathOf, type KubeList, type KubeObject, type Place, type ResourceType} from './object.ts';
import {ServerClock} from './server-clock.ts';
import {readEvents, type WatchEvent} from './watch.ts';

export interface KubeClientOptions {
  /** Who we say we are, in the API server's audit log. */
  readonly userAgent?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Of each request, with what is tried again, in ms. @default 10_000 */
  readonly deadlineMs?: number;
  /** Our own clock. @default `Date.now` */
  readonly nowMs?: () => number;
}

const DEADLINE_MS = 10_000;
const MAX_BYTES = 32 * 1024 * 1024;
/** A server that is too busy says when to come again; it has done nothing. */
const MAX_TRIES = 4;

/** The Kubernetes API: small, typed, every answer bounded in size and time, every failure a KubeError. */
export class KubeClient implements Disposable {
  readonly server: URL;
  /** Ours: of the pod, or of the kubeconfig's context. */
  readonly namespace: string | undefined;
  readonly #cluster: Cluster;
  readonly #connection: Connection;
  readonly #userAgent: string;
  readonly #deadlineMs: number;
  readonly #ownMs: () => number;
  readonly #clock = new ServerClock();

  constructor(cluster: Cluster, options: KubeClientOptions = {}) {
    this.server = cluster.server;
    this.namespace = cluster.namespace;
    this.#cluster = cluster;
    this.#connection = new Connection(cluster, options.env ?? process.env);
    this.#userAgent = options.userAgent ?? 'noost';
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#ownMs = options.nowMs ?? Date.now;
  }

  /** The time by our own clock; by the API server's where the two differ by more than seconds. */
  nowMs(): number {
    return this.#ownMs() + this.#clock.offsetMs;
  }

  /** How much later it is for the API server than for us; 0 if they agree. */
  get clockOffsetMs(): number {
    return this.#clock.offsetMs;
  }

  /** @throws {KubeError} NotFound, … */
  get<T extends KubeObject>(type: ResourceType, place: Place & {name: string}, ask: Ask = {}): Promise<T> {
    return this.#json<T>('GET', pathOf(type, place), undefined, ask);
  }

  /** As `get`; `undefined` where there is none. */
  async find<T extends KubeObject>(
    type: ResourceType,
    place: Place & {name: string},
    ask: Ask = {},
  ): Promise<T | undefined> {
    try {
      return await this.get<T>(type, place, ask);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** One page; without `limit` all of it. The items carry neither `apiVersion` nor `kind`. */
  list<T extends KubeObject>(type: ResourceType, ask: ListAsk = {}): Promise<KubeList<T>> {
    const {labelSelector, fieldSelector, limit, resourceVersion, namespace} = ask;
    const query = {labelSelector, fieldSelector, limit, resourceVersion, continue: ask.continue};
    return this.#json<KubeList<T>>('GET', pathOf(type, {namespace}) + queryOf(query), undefined, ask);
  }

  /**
   * @param place where it goes: its namespace, if it has one, and its name, if the object does not say it. Of a subresource
   * (`pods/binding`, `serviceaccounts/token`) the object says its own `apiVersion` and `kind`.
   */
  create<T extends object, R = T>(type: ResourceType, place: Place, object: T, write: Write = {}): Promise<R> {
    const {namespace, subresource} = place;
    const path = pathOf(type, subresource === undefined ? {namespace} : place) + writeQuery(write);
    return this.#json<R>('POST', path, withKind(type, object, place), write);
  }

  /** Puts the whole object; with its `resourceVersion` only if it is still that version. @throws {KubeError} Conflict */
  replace<T extends KubeObject>(
    type: ResourceType,
    place: Place & {name: string},
    object: T,
    write: Write = {},
  ): Promise<T> {
    return this.#json<T>('PUT', pathOf(type, place) + writeQuery(write), withKind(type, object, place), write);
  }

  patch<T extends KubeObject>(
    type: ResourceType,
    place: Place & {name: string},
    patch: Patch,
    write: Write = {},
  ): Promise<T> {
    const manager = 'apply' in patch ? patch.fieldManager : write.fieldManager;
    const force = 'apply' in patch ? patch.force : undefined;
    const query = queryOf({
      ...writeParameters({...write, ...(manager !== undefined && {fieldManager: manager})}),
      force,
    });
    const [body, kind] =
      'apply' in patch
        ? [withKind(type, patch.apply, place), 'apply-patch+yaml']
        : 'merge' in patch
          ? [patch.merge, 'merge-patch+json']
          : [patch.json, 'json-patch+json'];
    return this.#json<T>('PATCH', pathOf(type, place) + query, body, write, `application/${kind}`);
  }

  /** Without a name: all of a collection in a namespace. */
  delete(type: ResourceType, place: Place, ask: DeleteAsk = {}): Promise<object> {
    const {uid, resourceVersion, propagationPolicy, gracePeriodSeconds} = ask;
    const preconditions = {...(uid && {uid}), ...(resourceVersion && {resourceVersion})};
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      ...(Object.keys(preconditions).length > 0 && {preconditions}),
      ...(propagationPolicy && {propagationPolicy}),
      ...(gracePeriodSeconds !== undefined && {gracePeriodSeconds}),
    };
    return this.#json<object>('DELETE', pathOf(type, place) + writeQuery(ask), body, ask);
  }

  /** Any path that is no object: `/version`, `/readyz`, discovery. @returns the body as text. */
  async raw(path: string, ask: Ask = {}): Promise<string> {
    return (await this.#ask('GET', path, undefined, ask)).toString('utf8');
  }

  /** What changes from `resourceVersion` on. Ends when the server ends it. @throws {KubeError} Expired, Silent, … */
  async *watch<T extends KubeObject>(type: ResourceType, ask: WatchAsk): AsyncGenerator<WatchEvent<T>> {
    const {namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds, signal} = ask;
    const query = {labelSelector, fieldSelector, resourceVersion, timeoutSeconds, watch: 1, allowWatchBookmarks: true};
    const path = pathOf(type, {namespace}) + queryOf(query);
    const response = await this.#withDeadline(
      {signal},
      (begun) => this.#send('GET', path, undefined, begun, {watch: true}),
      signal,
    );
    yield* readEvents<T>(response, ask.maxSilenceMs, signal);
  }

  [Symbol.dispose](): void {
    this.#connection.destroy();
  }

  async #json<T>(
    method: KubeRequest['method'],
    path: string,
    body: unknown,
    ask: Ask,
    contentType?: string,
  ): Promise<T> {
    const text = await this.#ask(method, path, body, ask, contentType);
    try {
      return JSON.parse(text.toString('utf8')) as T;
    } catch (error) {
      throw new KubeError(0, 'Malformed', `${method} ${bare(path)}: the answer is not JSON`, {cause: error});
    }
  }

  async #ask(
    method: KubeRequest['method'],
    path: string,
    body: unknown,
    ask: Ask,
    contentType?: string,
  ): Promise<Buffer> {
    return this.#withDeadline(ask, async (signal) => {
      const response = await this.#send(method, path, body, signal, {watch: false, contentType});
      for (const text of warningsOf(response)) ask.onWarning?.(text);
      return readBounded(response, ask.maxBytes ?? MAX_BYTES, signal);
    });
  }

  /** `keep`: what the answer's body lives by, once it has begun; else it ends with the deadline, too. */
  async #withDeadline<T>(ask: Ask, work: (signal: AbortSignal) => Promise<T>, keep?: AbortSignal): Promise<T> {
    const ms = ask.deadlineMs ?? this.#deadlineMs;
    const late = new AbortController();
    const timer = setTimeout(
      () =>
        late.abort(new KubeError(0, 'Timeout', `The API server ${this.server.host} did not answer within ${ms} ms`)),
      ms,
    );
    const given = keep ?? ask.signal;
    try {
      return await work(given ? AbortSignal.any([given, late.signal]) : late.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(
    method: KubeRequest['method'],
    path: string,
    body: unknown,
    signal: AbortSignal,
    {watch, contentType = 'application/json'}: {watch: boolean; contentType?: string | undefined},
  ): Promise<IncomingMessage> {
    const headers = {
      accept: 'application/json',
      'user-agent': this.#userAgent,
      ...(body !== undefined && {'content-type': contentType}),
    };
    const request = {method, path, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, watch};
    for (let tries = 1; ; tries++) {
      try {
        const sentMs = this.#ownMs();
        const response = await this.#connection.send(request);
        this.#clock.observe(response.headers.date, sentMs, this.#ownMs());
        if (response.statusCode !== undefined && response.statusCode < 300) return response;
        throw await failureOf(response, `${method} ${bare(path)}`, signal);
      } catch (error) {
        const waitMs = tries < MAX_TRIES ? this.#again(error, method, tries) : undefined;
        if (waitMs === undefined) throw error;
        await delay(waitMs, undefined, {signal}).catch(() => {
          throw signal.reason as Error;
        });
      }
    }
  }

  /** How long to wait before the same again; `undefined` if that would not help or could do it twice. */
  #again(error: unknown, method: string, tries: number): number | undefined {
    if (!(error instanceof KubeError)) return undefined;
    if (error.code === 401 && tries === 1) {
      this.#cluster.refused();
      return 0;
    }
    if (error.code === 429 && error.retryAfterMs !== undefined) return error.retryAfterMs;
    if (error instanceof StaleConnectionError && method === 'GET') return 0;
    return undefined;
  }
}

const MAX_ERROR_BYTES = 256 * 1024;

async function failureOf(response: IncomingMessage, asked: string, signal: AbortSignal): Promise<KubeError> {
  const code = response.statusCode ?? 0;
  const text = await readBounded(response, MAX_ERROR_BYTES, signal).catch(() => Buffer.alloc(0));
  let body: unknown;
  try {
    body = JSON.parse(text.toString('utf8'));
  } catch {
    // A proxy in between speaks HTML.
    if (response.headers['content-type']?.startsWith('text/plain') === true) body = text.toString('utf8');
  }
  return errorOfStatus(code, body, asked, response.headers['retry-after']);
}

/** `299 - "text"` each. @see https://www.rfc-editor.org/rfc/rfc7234#section-5.5 */
function warningsOf(response: IncomingMessage): string[] {
  const all = response.headersDistinct['warning'] ?? [];
  return all.flatMap((one) =>
    [...one.matchAll(/\d{3} \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text.replace(/\\(.)/g, '$1')),
  );
}

function withKind(type: ResourceType, object: object, {name, namespace}: Place): object {
  const {metadata = {}, ...rest} = object as {metadata?: object};
  const named = {...(name !== undefined && {name}), ...(namespace !== undefined && {namespace}), ...metadata};
  return {apiVersion: apiVersionOf(type), kind: type.kind, ...rest, metadata: named};
}

function bare(path: string): string {
  return path.split('?', 1)[0] ?? path;
}
