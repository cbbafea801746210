import {Worker} from 'node:worker_threads';
import type {IndexDatabase} from './index-database.ts';
import type {IndexAnswer, IndexAsk, IndexQueries} from './index-worker.ts';

type Values<Q extends keyof IndexQueries> =
  Parameters<IndexQueries[Q]> extends [IndexDatabase, ...infer Rest] ? Rest : never;
type Result<Q extends keyof IndexQueries> = ReturnType<IndexQueries[Q]>;

/** Asks for which an answer is due. More means that the disk hangs: then it is no use to wait for it. */
const MAX_WAITING = 10_000;
const RESOURCE_LIMITS = {maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 8};

/** The index, in a thread of its own: SQLite blocks who calls it. Asks are answered in the order they were made. */
export class IndexClient {
  readonly #worker: Worker;
  /** Ask → who waits. */
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #opened = Promise.withResolvers<void>();
  readonly #onLost: (error: unknown) => void;
  #lastId = 0;
  #ended: Error | undefined;

  private constructor(path: string, onLost: (error: unknown) => void) {
    this.#onLost = onLost;
    // `.js` in a published package, `.ts` in a checkout: beside this file, whatever it is.
    const file = new URL(import.meta.url.replace(/index-client(\.[jt]s)$/, 'index-worker$1'));
    this.#worker = new Worker(file, {workerData: path, resourceLimits: RESOURCE_LIMITS});
    this.#worker.on('message', (answer: IndexAnswer) => this.#answered(answer));
    this.#worker.on('error', (error: Error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(new Error('Index thread ended')));
  }

  /**
   * @param onLost told when a corrupt index was replaced by an empty one, at once or later.
   * @throws {Error} of SQLite or `node:fs` if it cannot be opened at all.
   */
  static async open(path: string, onLost: (error: unknown) => void): Promise<IndexClient> {
    const client = new IndexClient(path, onLost);
    await client.#opened.promise;
    client.#worker.unref();
    return client;
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** @throws {Error} if the index cannot answer: the caller treats it as a miss. */
  async ask<Q extends keyof IndexQueries>(query: Q, ...values: Values<Q>): Promise<Result<Q>> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#waiting.size >= MAX_WAITING) throw new Error('Index does not answer');
    const id = ++this.#lastId;
    const wait = Promise.withResolvers<unknown>();
    this.#waiting.set(id, wait);
    if (this.#waiting.size === 1) this.#worker.ref();
    this.#worker.postMessage({id, query, values} satisfies IndexAsk);
    return (await wait.promise) as Result<Q>; // the worker runs this very query
  }

  /** After what has been asked. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.ref();
    this.#worker.postMessage('close');
    await exited;
  }

  #answered(answer: IndexAnswer): void {
    if ('lost' in answer) {
      this.#opened.resolve();
      if (answer.lost !== undefined) this.#onLost(answer.lost);
      return;
    }
    const wait = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('error' in answer) wait?.reject(answer.error);
    else wait?.resolve(answer.result);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#opened.reject(error);
    for (const wait of this.#waiting.values()) wait.reject(error);
    this.#waiting.clear();
  }
}
