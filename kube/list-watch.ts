import {setTimeout as delay} from 'node:timers/promises';
import {Backoff} from './backoff.ts';
import type {KubeClient} from './client.ts';
import {orAborted} from './connection.ts';
import {isExpired, KubeError} from './error.ts';
import {SILENT, type KubeLog} from './log.ts';
import {key, keyOf, type KubeObject, type ResourceType} from './object.ts';
import type {WatchEvent} from './watch.ts';

/** What became of one object. A relist tells only what really differs. */
export interface Change<T> {
  readonly type: 'added' | 'modified' | 'deleted';
  /** Of a deleted one, the last that was known. */
  readonly object: T;
}

export interface ListWatchOptions<T extends KubeObject> {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly type: ResourceType;
  /** None given: all of them. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** What is kept of each object: leave out what nobody reads. `metadata` has to keep name, namespace and resourceVersion. */
  readonly keep?: (object: T) => T;
  /** After the cache has changed; of the first list only once all of it is there. What it throws is logged. */
  readonly onChange?: (change: Change<T>) => void;
  /** After each list, the first among them. */
  readonly onSynced?: () => void;
  readonly log?: KubeLog;
  /** More objects than this and the list is refused, said aloud, and tried again later. @default 50_000 */
  readonly maxItems?: number;
  /** @default 500 */
  readonly pageSize?: number;
  /**
   * A watch that is silent for so long is opened anew. Bookmarks come once a minute; below that the server is asked to
   * end the watch itself in time, so a dead connection is found within this. @default 90_000
   */
  readonly maxSilenceMs?: number;
  /** @default 10_000 */
  readonly maxBackoffMs?: number;
  readonly random?: () => number;
}

const DEFAULT_MAX_ITEMS = 50_000;
const DEFAULT_SILENCE_MS = 90_000;
/** Bookmarks come every minute, if the server keeps its word. */
const BOOKMARK_MS = 70_000;
/** How long a watch that is kept alive by bookmarks lasts, at most; client-go takes five to ten minutes. */
const WATCH_SECONDS = 480;

/**
 * All objects of one kind, kept current. It heals: a watch that ends, breaks, falls silent or has expired (410) is
 * resumed or begun anew, with back-off and for ever; meanwhile the cache says what was known.
 */
export class ListWatch<T extends KubeObject> implements AsyncDisposable {
  readonly #options: ListWatchOptions<T>;
  readonly #log: KubeLog;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  readonly #firstSync = Promise.withResolvers<void>();
  #objects = new Map<string, T>();
  #synced = false;
  #failure: Error | undefined;
  #heardAt = performance.now();
  /** The newest version that a list or a watch has told: a watch is resumed from it. */
  #resumable: string | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ListWatchOptions<T>) {
    this.#options = options;
    this.#log = options.log ?? SILENT;
    this.#backoff = new Backoff(200, options.maxBackoffMs ?? 10_000, options.random);
    this.#firstSync.promise.catch(() => {});
  }

  /** Begins, once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Whether all objects were listed at least once. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Why the API server cannot be followed at the moment. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** How long ago the server last said anything: the cache may be older than this, never newer. */
  get silentForMs(): number {
    return performance.now() - this.#heardAt;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(key(name, namespace));
  }

  /** In no order that means anything. */
  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Waits for the first list. @throws the signal's reason, or an error if it is stopped before. */
  whenSynced(signal: AbortSignal): Promise<void> {
    return orAborted(this.#firstSync.promise, signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('Stopped'));
    this.#firstSync.reject(new Error(`The watch of ${this.#options.type.plural} was stopped`));
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(): Promise<void> {
    const {signal} = this.#stop;
    let version: string | undefined;
    while (!signal.aborted) {
      try {
        version ??= await this.#list(signal);
        version = await this.#watch(version, signal);
      } catch (error) {
        if (signal.aborted) return;
        // What is resumed from is the last version seen; expired, everything is listed anew.
        version = isExpired(error) ? undefined : this.#resumable;
        await this.#wait(error as Error, signal);
      }
    }
  }

  async #wait(error: Error, signal: AbortSignal): Promise<void> {
    const {plural} = this.#options.type;
    const isOrdinary = isExpired(error) || (error instanceof KubeError && error.reason === 'Silent');
    if (isOrdinary && this.#backoff.failures === 0)
      this.#log.debug(`the watch of ${plural} begins anew`, {reason: error.message});
    else if (this.#failure === undefined)
      this.#log.warn(`${plural} cannot be followed, which is tried again`, {reason: error.message});
    if (!isOrdinary) this.#failure = error;
    await delay(this.#backoff.next(), undefined, {signal}).catch(() => {});
  }

  #heard(): void {
    this.#heardAt = performance.now();
    if (this.#failure) this.#log.info(`${this.#options.type.plural} are followed again`);
    this.#failure = undefined;
  }

  async #list(signal: AbortSignal): Promise<string> {
    const {client, type, namespace, labelSelector, fieldSelector, pageSize = 500, keep} = this.#options;
    const maxItems = this.#options.maxItems ?? DEFAULT_MAX_ITEMS;
    const found = new Map<string, T>();
    let from: string | undefined;
    for (;;) {
      const ask = {
        namespace,
        labelSelector,
        fieldSelector,
        limit: pageSize,
        continue: from,
        signal,
        deadlineMs: 30_000,
      };
      const page = await client.list<T>(type, ask);
      for (const item of page.items) found.set(keyOf(item), keep ? keep(item) : item);
      if (found.size > maxItems) throw new KubeError(0, 'TooLarge', `There are more than ${maxItems} ${type.plural}`);
      from = page.metadata.continue;
      if (from !== undefined && from !== '') continue;
      this.#heard();
      this.#replace(found);
      this.#synced = true;
      this.#firstSync.resolve();
      this.#tell(() => this.#options.onSynced?.());
      return (this.#resumable = page.metadata.resourceVersion ?? '');
    }
  }

  #replace(found: Map<string, T>): void {
    const old = this.#objects;
    this.#objects = found;
    for (const [name, object] of found) {
      const before = old.get(name);
      if (!before) this.#changed('added', object);
      else if (before.metadata.resourceVersion !== object.metadata.resourceVersion) this.#changed('modified', object);
    }
    for (const [name, object] of old) if (!found.has(name)) this.#changed('deleted', object);
  }

  /** @returns the version to go on from, when the server has ended the watch in good order. */
  async #watch(version: string, signal: AbortSignal): Promise<string> {
    const {client, type, namespace, labelSelector, fieldSelector, random = Math.random} = this.#options;
    const silenceMs = this.#options.maxSilenceMs ?? DEFAULT_SILENCE_MS;
    const seconds =
      silenceMs < BOOKMARK_MS ? Math.max(1, Math.floor(silenceMs / 1000) - 5) : WATCH_SECONDS * (0.5 + random() / 2);
    const begun = performance.now();
    const ask = {namespace, labelSelector, fieldSelector, resourceVersion: version, signal};
    const events = client.watch<T>(type, {...ask, timeoutSeconds: Math.ceil(seconds), maxSilenceMs: silenceMs});
    for await (const event of events) {
      this.#heard();
      this.#backoff.reset();
      this.#apply(event);
      this.#resumable = event.object.metadata.resourceVersion ?? this.#resumable;
    }
    // A server that ends every watch at once must not be asked in a loop.
    if (performance.now() - begun > 1000) this.#backoff.reset();
    else await delay(this.#backoff.next(), undefined, {signal}).catch(() => {});
    return this.#resumable ?? version;
  }

  #apply({type, object}: WatchEvent<T>): void {
    if (type === 'BOOKMARK') return this.#checkOrder(object);
    const name = keyOf(object);
    if (type === 'DELETED') {
      this.#objects.delete(name);
      this.#changed('deleted', object);
      return;
    }
    const maxItems = this.#options.maxItems ?? DEFAULT_MAX_ITEMS;
    if (!this.#objects.has(name) && this.#objects.size >= maxItems)
      throw new KubeError(410, 'Expired', `There are more than ${maxItems} ${this.#options.type.plural}`);
    const kept = this.#options.keep ? this.#options.keep(object) : object;
    const isNew = !this.#objects.has(name);
    this.#objects.set(name, kept);
    this.#changed(isNew ? 'added' : 'modified', kept);
  }

  /** A server whose data was put back to an earlier day would otherwise tell us nothing until it has caught up. */
  #checkOrder({metadata}: T): void {
    const [before, now] = [this.#resumable ?? '', metadata.resourceVersion ?? ''];
    if (/^\d+$/.test(before) && /^\d+$/.test(now) && BigInt(now) < BigInt(before))
      throw new KubeError(410, 'Expired', `The API server went back from version ${before} to ${now}`);
  }

  #changed(type: Change<T>['type'], object: T): void {
    this.#tell(() => this.#options.onChange?.({type, object}));
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.warn(`a change of ${this.#options.type.plural} could not be taken in`, {error});
    }
  }
}
