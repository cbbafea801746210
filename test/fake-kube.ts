import {once} from 'node:events';
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http';
import type {AddressInfo, Socket} from 'node:net';
import {json as readJson} from 'node:stream/consumers';
import type {Cluster} from '../kube/access.ts';
import {KubeClient, type KubeClientOptions} from '../kube/client.ts';
import {pathOf, type KubeObject, type ResourceType} from '../kube/object.ts';

/** What the next request meets instead of an answer: a status, 429 with `Retry-After`, no JSON, a broken connection, nothing. */
export type KubeFault = number | 'busy' | 'html' | 'reset' | 'hang';

type Stored = KubeObject & Record<string, unknown>;

interface Watcher {
  readonly collection: string;
  readonly response: ServerResponse;
}

interface Told {
  readonly version: number;
  readonly path: string;
  readonly line: string;
}

/**
 * An API server in memory, over HTTP: objects with versions, lists in pages, watches, merge patches, conflicts. It knows no
 * schemas, no selectors and no rights, remembers what it was asked, and fails on command. The real one is in
 * `test/peers/kubernetes.ts`.
 */
export class FakeKube implements AsyncDisposable {
  /** `GET /api/v1/pods?…`, in the order in which they came. */
  readonly requests: string[] = [];
  /** Answers of reviews and the like, by path: `POST` gets the body and says what comes back; a text comes as it is. */
  readonly answers = new Map<string, (body: Record<string, unknown>) => object | string>();
  /** What answers 503 in its own words, by path, as a pod behind `proxy` does. */
  readonly refusals = new Map<string, string>();
  /** Watches are accepted and then say nothing. */
  silent = false;
  /** What a request has to carry as `authorization`, if anything. */
  authorization: string | undefined;
  readonly #objects = new Map<string, Stored>();
  readonly #told: Told[] = [];
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Set<Socket>();
  readonly #faults: {readonly fault: KubeFault; readonly match: string}[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #version = 1;
  #oldest = 0;

  static async start(): Promise<FakeKube> {
    const fake = new FakeKube();
    await fake.#listen(0);
    return fake;
  }

  private constructor() {
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get cluster(): Cluster {
    return {
      server: new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`),
      namespace: 'noost-system',
      proxy: undefined,
      access: () => Promise.resolve({headers: {}, tls: {}, stamp: ''}),
      refused: () => {},
    };
  }

  client(options: KubeClientOptions = {}): KubeClient {
    return new KubeClient(this.cluster, {env: {}, ...options});
  }

  /** The next request whose `METHOD path` holds `match` fails. */
  failNext(fault: KubeFault, match = ''): void {
    this.#faults.push({fault, match});
  }

  /** Puts an object there, as somebody else would. @returns it with its new version. */
  put(type: ResourceType, object: KubeObject & Record<string, unknown>): Stored {
    const {name = '', namespace} = object.metadata;
    const path = pathOf(type, {name, namespace});
    const kind = this.#objects.has(path) ? 'MODIFIED' : 'ADDED';
    return this.#store(path, kind, object);
  }

  remove(type: ResourceType, name: string, namespace?: string): void {
    this.#remove(pathOf(type, {name, namespace}));
  }

  read(type: ResourceType, name: string, namespace?: string): Stored | undefined {
    return this.#objects.get(pathOf(type, {name, namespace}));
  }

  get watches(): number {
    return this.#watchers.size;
  }

  /** Ends all watches: in good order, or with the connection. */
  endWatches(how: 'end' | 'break' = 'end'): void {
    for (const watcher of this.#watchers) {
      const {response} = watcher;
      this.#watchers.delete(watcher);
      if (how === 'end') response.end();
      else response.destroy();
    }
  }

  /** Says something in all watches, as it is. */
  say(line: string): void {
    for (const {response} of this.#watchers) response.write(`${line}\n`);
  }

  /** Forgets what happened: a watch from before is told 410, and so is the rest of a list. */
  expire(): void {
    this.#told.length = 0;
    this.#oldest = this.#version;
  }

  /** Is gone, with all its connections; `work` runs meanwhile. */
  async down(work: () => Promise<void>): Promise<void> {
    const {port} = this.#server.address() as AddressInfo;
    await this.#close();
    await work();
    await this.#listen(port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async #close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const {method = '', url = ''} = request;
    this.requests.push(`${method} ${url}`);
    const at = this.#faults.findIndex(({match}) => `${method} ${url}`.includes(match));
    const [fault] = at < 0 ? [] : this.#faults.splice(at, 1);
    if (fault?.fault === 'hang') return;
    if (fault?.fault === 'reset') return void request.socket.destroy();
    if (fault?.fault === 'html') return void response.writeHead(200).end('<html>');
    if (fault?.fault === 'busy') response.setHeader('retry-after', '0');
    if (fault !== undefined) return fail(response, fault.fault === 'busy' ? 429 : fault.fault, 'Fault');
    if (this.authorization !== undefined && request.headers.authorization !== this.authorization)
      return fail(response, 401, 'Unauthorized');
    try {
      const body = method === 'GET' ? {} : ((await readJson(request).catch(() => ({}))) as Record<string, unknown>);
      this.#answer(method, new URL(url, 'http://fake'), body, response, request.headers['content-type'] ?? '');
    } catch (error) {
      fail(response, 500, (error as Error).message);
    }
  }

  #answer(
    method: string,
    {pathname, searchParams}: URL,
    body: Record<string, unknown>,
    response: ServerResponse,
    type: string,
  ): void {
    const refusal = this.refusals.get(pathname);
    if (refusal !== undefined) return void response.writeHead(503, {'content-type': 'text/plain'}).end(refusal);
    const answer = this.answers.get(pathname);
    if (answer) return send(response, method === 'POST' ? 201 : 200, answer(body));
    const isObject = this.#objects.has(pathname);
    const given = body as Stored;
    if (method === 'GET' && searchParams.has('watch'))
      return this.#watch(pathname, Number(searchParams.get('resourceVersion')), response);
    if (method === 'GET')
      return isObject
        ? send(response, 200, this.#objects.get(pathname))
        : this.#getOrList(pathname, searchParams, response);
    if (method === 'POST') {
      const path = `${pathname}/${given.metadata.name ?? ''}`;
      if (this.#objects.has(path)) return fail(response, 409, 'AlreadyExists');
      return send(response, 201, this.#store(path, 'ADDED', given));
    }
    const found = this.#objects.get(pathname.replace(/\/status$/, ''));
    if (type.startsWith('application/apply-patch')) {
      const merged = found ? (merge(found, given) as Stored) : given;
      return send(response, found ? 200 : 201, this.#store(pathname, found ? 'MODIFIED' : 'ADDED', merged));
    }
    if (!found) return fail(response, 404, 'NotFound');
    if (method === 'DELETE') return send(response, 200, this.#remove(pathname));
    const {resourceVersion} = given.metadata ?? {};
    if (resourceVersion !== undefined && resourceVersion !== found.metadata.resourceVersion)
      return fail(response, 409, 'Conflict');
    const next = method === 'PATCH' ? (merge(found, given) as Stored) : given;
    send(response, 200, this.#store(pathname.replace(/\/status$/, ''), 'MODIFIED', next));
  }

  #getOrList(pathname: string, query: URLSearchParams, response: ServerResponse): void {
    const isCollection = /^\/api(s\/[^/]+)?\/[^/]+\/(namespaces\/[^/]+\/)?[^/]+$/.test(pathname);
    if (!isCollection) return fail(response, 404, 'NotFound');
    const [from, version] = (query.get('continue') ?? `0 ${this.#version}`).split(' ').map(Number) as [number, number];
    if (version < this.#oldest) return fail(response, 410, 'Expired');
    const all = [...this.#objects].filter(([path]) => isIn(path, pathname)).map(([, object]) => object);
    const limit = Number(query.get('limit') ?? all.length);
    const rest = from + limit < all.length ? {continue: `${from + limit} ${version}`} : {};
    send(response, 200, {
      kind: 'List',
      metadata: {resourceVersion: `${version}`, ...rest},
      items: all.slice(from, from + limit),
    });
  }

  #watch(collection: string, from: number, response: ServerResponse): void {
    response.writeHead(200, {'content-type': 'application/json'});
    response.flushHeaders();
    if (from < this.#oldest) {
      response.end(
        `${JSON.stringify({type: 'ERROR', object: {kind: 'Status', code: 410, reason: 'Expired', message: 'too old'}})}\n`,
      );
      return;
    }
    const watcher = {collection, response};
    this.#watchers.add(watcher);
    response.once('close', () => this.#watchers.delete(watcher));
    if (this.silent) return;
    for (const {version, path, line} of this.#told) if (version > from && isIn(path, collection)) response.write(line);
  }

  #store(path: string, type: 'ADDED' | 'MODIFIED', object: Stored): Stored {
    const before = this.#objects.get(path)?.metadata;
    const version = ++this.#version;
    const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\/[^/]+$/.exec(path) ?? [];
    const metadata = {
      uid: before?.uid ?? `uid-${version}`,
      generation: 1,
      ...object.metadata,
      ...(namespace !== undefined && {namespace}),
      resourceVersion: `${version}`,
    };
    const stored = {...object, metadata};
    this.#objects.set(path, stored);
    this.#tell(path, type, stored);
    return stored;
  }

  #remove(path: string): Stored | undefined {
    const found = this.#objects.get(path);
    if (!found) return undefined;
    this.#objects.delete(path);
    this.#tell(path, 'DELETED', {...found, metadata: {...found.metadata, resourceVersion: `${++this.#version}`}});
    return found;
  }

  #tell(path: string, type: string, object: Stored): void {
    const line = `${JSON.stringify({type, object})}\n`;
    this.#told.push({version: this.#version, path, line});
    if (this.silent) return;
    for (const {collection, response} of this.#watchers) if (isIn(path, collection)) response.write(line);
  }
}

/** `/api/v1/pods` holds those of all namespaces. */
function isIn(path: string, collection: string): boolean {
  const [, base = '', plural = ''] =
    /^(\/apis?(?:\/[^/]+){1,2})\/(?:namespaces\/[^/]+\/)?([^/]+)$/.exec(collection) ?? [];
  if (path.slice(0, path.lastIndexOf('/')) === collection) return true;
  return collection === `${base}/${plural}` && new RegExp(`^${base}/namespaces/[^/]+/${plural}/[^/]+$`).test(path);
}

/** @see https://www.rfc-editor.org/rfc/rfc7386 */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged = {...(typeof target === 'object' && target !== null ? target : {})} as Record<string, unknown>;
  for (const [name, value] of Object.entries(patch))
    if (value === null) delete merged[name];
    else merged[name] = merge(merged[name], value);
  return merged;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const [type, text] = typeof body === 'string' ? ['text/plain', body] : ['application/json', JSON.stringify(body)];
  response.writeHead(status, {'content-type': type}).end(text);
}

function fail(response: ServerResponse, code: number, reason: string): void {
  send(response, code, {kind: 'Status', status: 'Failure', code, reason, message: `${reason} (fake)`});
}
