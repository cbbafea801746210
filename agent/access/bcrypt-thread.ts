import {Worker} from 'node:worker_threads';
import type {CompareAnswer, CompareAsk} from './bcrypt-worker.ts';

/** Comparisons that wait; each takes about a tenth of a second, so who comes later had better come again. */
const MAX_WAITING = 32;
const IDLE_MS = 60_000;
const RESOURCE_LIMITS = {maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8};

/** Too many logins at once: nothing was compared. */
export class BusyError extends Error {
  override readonly name = 'BusyError';
}

interface Job {
  resolve(same: boolean): void;
  reject(error: Error): void;
}

/** The thread in which passwords are compared, so that no pull waits for one. Started when first needed, ended when idle. */
export class BcryptThread {
  #worker: Worker | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  /** Job number → job. */
  readonly #jobs = new Map<number, Job>();
  #lastJob = 0;

  /** @throws {BusyError} */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#jobs.size >= MAX_WAITING) throw new BusyError('Too many logins at the same time');
    clearTimeout(this.#idleTimer);
    const worker = (this.#worker ??= this.#spawn());
    worker.ref();
    const job = ++this.#lastJob;
    return new Promise((resolve, reject) => {
      this.#jobs.set(job, {resolve, reject});
      worker.postMessage({job, password, hash} satisfies CompareAsk);
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idleTimer);
    await this.#worker?.terminate();
  }

  #spawn(): Worker {
    // `.js` in a published package, `.ts` in a checkout: beside this file, whatever it is.
    const file = new URL(import.meta.url.replace(/bcrypt-thread(\.[jt]s)$/, 'bcrypt-worker$1'));
    const worker = new Worker(file, {resourceLimits: RESOURCE_LIMITS});
    worker.on('message', ({job, same}: CompareAnswer) => {
      this.#jobs.get(job)?.resolve(same);
      this.#jobs.delete(job);
      if (this.#jobs.size === 0) this.#rest(worker);
    });
    worker.on('error', (error: Error) => this.#lost(worker, error));
    worker.on('exit', () => this.#lost(worker, new Error('The thread that compares passwords ended')));
    return worker;
  }

  #rest(worker: Worker): void {
    worker.unref();
    this.#idleTimer = setTimeout(() => void worker.terminate(), IDLE_MS).unref();
  }

  #lost(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const job of this.#jobs.values()) job.reject(error);
    this.#jobs.clear();
  }
}
