import {availableParallelism} from 'node:os';
import {Worker} from 'node:worker_threads';
import type {Algorithm} from '../../oci/digest.ts';
import {slabs} from '../../oci/slabs.ts';
import type {SharedFd} from './shared-fd.ts';
import {newSumKey, Sums, type SumKey} from './sums.ts';

/** To a worker: hash `fd` up to byte `upTo`; with `end`, then answer the result; with `drop`, forget the job. */
export interface HashAsk {
  readonly job: number;
  readonly fd: number;
  readonly algorithm: Algorithm;
  readonly upTo: number;
  /** Where in the slabs the file's bytes before `upTo` are as well: offset, length, offset, …; none: read the file. */
  readonly lent: readonly number[];
  readonly end: boolean;
  readonly drop: boolean;
  /** With the first ask of a job that has the whole file at once: a sum of each block with the result. */
  readonly withSums: boolean;
}
/** From a worker: how far it is, the result, that the job is forgotten, or why it ended. */
export type HashAnswer =
  | {readonly job: number; readonly at: number}
  | {readonly job: number; readonly hex: string; readonly sums: Uint8Array}
  | {readonly job: number; readonly dropped: true}
  | {readonly job: number; readonly error: Error};

export interface HashThreadData {
  /** What the network's sockets read into. */
  readonly shared: SharedArrayBuffer;
  readonly sumKey: SumKey;
}

const MAX_THREADS = 4;
const IDLE_MS = 60_000;
/** Of what its thread has not been told yet a job holds so much: a slow one reads the file later. */
const MAX_HELD_BYTES = 1024 * 1024;
/** A hash thread holds one buffer and nothing else: it needs no heap to speak of. */
const RESOURCE_LIMITS = {maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4};

interface Thread {
  readonly worker: Worker;
  /** Job number → job. */
  readonly jobs: Map<number, HashJob>;
  idleTimer: NodeJS.Timeout | undefined;
}

/**
 * Threads that hash files while they are written: from the memory that they are written from where a thread keeps up
 * (oci/slabs.ts), else by reading them, for the bytes are in the page cache anyway. Nothing is copied between threads.
 * Started when first needed, ended after a minute without work.
 */
export class HashPool {
  readonly #threads = new Set<Thread>();
  readonly #maxThreads: number;
  readonly #sumKey = newSumKey();
  #lastJob = 0;
  #closed = false;
  constructor(maxThreads = Math.min(MAX_THREADS, availableParallelism())) {
    this.#maxThreads = Math.max(1, maxThreads);
  }

  /** A hash of the file from its first byte on. It holds the descriptor until it has ended. */
  start(file: SharedFd, algorithm: Algorithm, {withSums = false} = {}): HashJob {
    if (this.#closed) throw new Error('Hash pool is closed');
    const thread = this.#leastBusy();
    const id = ++this.#lastJob;
    const release = file.retain();
    const job = new HashJob({
      send: (what) => thread.worker.postMessage({job: id, fd: file.fd, algorithm, withSums, ...what} satisfies HashAsk),
      ended: () => {
        release();
        thread.jobs.delete(id);
        this.#rest(thread);
      },
    });
    thread.jobs.set(id, job);
    return job;
  }

  /** Hash of a whole file in hexadecimal. */
  async hashFile(file: SharedFd, algorithm: Algorithm, sizeBytes: number): Promise<string> {
    return await this.start(file, algorithm).finish(sizeBytes);
  }

  /** The same, with the sums of its blocks. */
  async sumFile(
    file: SharedFd,
    algorithm: Algorithm,
    sizeBytes: number,
  ): Promise<{readonly hex: string; readonly sums: Sums}> {
    const {hex, sums} = await this.start(file, algorithm, {withSums: true}).hashed(sizeBytes);
    return {hex, sums: new Sums(this.#sumKey, sums)};
  }

  /** Ends the threads; jobs under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#threads].map(async (thread) => await this.#end(thread)));
  }

  #leastBusy(): Thread {
    let least: Thread | undefined;
    for (const thread of this.#threads) if (!least || thread.jobs.size < least.jobs.size) least = thread;
    if (least === undefined || (least.jobs.size > 0 && this.#threads.size < this.#maxThreads)) least = this.#spawn();
    clearTimeout(least.idleTimer);
    least.worker.ref();
    return least;
  }

  #spawn(): Thread {
    // `.js` in a published package, `.ts` in a checkout: beside this file, whatever it is.
    const file = new URL(import.meta.url.replace(/hash-pool(\.[jt]s)$/, 'hash-worker$1'));
    const workerData: HashThreadData = {shared: slabs.shared, sumKey: this.#sumKey};
    const worker = new Worker(file, {resourceLimits: RESOURCE_LIMITS, workerData});
    const thread: Thread = {worker, jobs: new Map(), idleTimer: undefined};
    worker.on('message', (answer: HashAnswer) => thread.jobs.get(answer.job)?.answered(answer));
    worker.on('error', (error: Error) => this.#lost(thread, error));
    worker.on('exit', () => this.#lost(thread, new Error('Hash thread ended')));
    this.#threads.add(thread);
    return thread;
  }

  /** The thread reads no more, so its jobs' descriptors are free. */
  #lost(thread: Thread, error: Error): void {
    this.#threads.delete(thread);
    clearTimeout(thread.idleTimer);
    for (const [job, {answered}] of thread.jobs) answered({job, error});
  }

  #rest(thread: Thread): void {
    if (thread.jobs.size > 0 || !this.#threads.has(thread)) return;
    thread.worker.unref();
    clearTimeout(thread.idleTimer);
    thread.idleTimer = setTimeout(() => void this.#end(thread), IDLE_MS).unref();
  }

  async #end(thread: Thread): Promise<void> {
    this.#threads.delete(thread);
    clearTimeout(thread.idleTimer);
    await thread.worker.terminate();
    this.#lost(thread, new Error('Hash pool is closed'));
  }
}

interface JobEnds {
  send(what: Pick<HashAsk, 'upTo' | 'lent' | 'end' | 'drop'>): void;
  ended(): void;
}

interface Hashed {
  readonly hex: string;
  readonly sums: Uint8Array;
}

/** One file's hash, following its writer. At most one message is on its way: what comes meanwhile is one step later. */
export class HashJob {
  readonly #ends: JobEnds;
  readonly #result = Promise.withResolvers<Hashed>();
  #upTo = 0;
  #sent = 0;
  /** The last bytes before `#upTo`, of which the thread does not know yet. */
  #held: readonly Uint8Array[] = [];
  /** Those that it is hashing. */
  #lent: readonly Uint8Array[] = [];
  #waiting = false;
  #finishing = false;
  #dropped = false;
  #done = false;
  constructor(ends: JobEnds) {
    this.#ends = ends;
    this.#result.promise.catch(() => {}); // told to whom calls finish(), which may be nobody
  }

  /**
   * The file can be read up to byte `upTo`.
   * @param chunks what was written last. Those that are in slabs are hashed from there; they are held as long.
   */
  follow(upTo: number, chunks: readonly Uint8Array[] = []): void {
    this.#upTo = upTo;
    this.#hold(chunks);
    if (!this.#waiting) this.#send();
  }

  /** @returns hash of the first `sizeBytes` in hexadecimal. @throws {Error} if they cannot be read, or after `drop`. */
  async finish(sizeBytes: number): Promise<string> {
    return (await this.hashed(sizeBytes)).hex;
  }

  /** As `finish`, with the sums of the blocks if the job was started to have them. */
  hashed(sizeBytes: number): Promise<Hashed> {
    this.#finishing = true;
    this.#upTo = sizeBytes;
    if (!this.#waiting) this.#send();
    return this.#result.promise;
  }

  /** Gives up. The descriptor is let go when the thread has answered that it reads no more. */
  drop(): void {
    if (this.#dropped || this.#done) return;
    this.#dropped = true;
    this.#release();
    this.#ends.send({upTo: 0, lent: [], end: false, drop: true});
  }

  /** For the pool: the thread's word. A bound function, since it is passed about. */
  readonly answered = (answer: HashAnswer): void => {
    if (this.#done) return;
    slabs.giveBack(this.#lent);
    this.#lent = [];
    if ('at' in answer) {
      this.#waiting = false;
      if (this.#upTo > this.#sent || this.#finishing) this.#send();
      return;
    }
    this.#done = true;
    this.#release();
    this.#ends.ended();
    if ('hex' in answer) this.#result.resolve(answer);
    else this.#result.reject('error' in answer ? answer.error : new Error('Hash was dropped'));
  };

  #send(): void {
    if (this.#done || this.#dropped) return;
    this.#waiting = true;
    this.#sent = this.#upTo;
    [this.#lent, this.#held] = [this.#held, []];
    const lent = this.#lent.flatMap((chunk) => [slabs.offsetOf(chunk) ?? 0, chunk.length]);
    this.#ends.send({upTo: this.#upTo, lent, end: this.#finishing, drop: false});
  }

  /** All or none: a thread that has to read some of them from the file reads the others there as well. */
  #hold(chunks: readonly Uint8Array[]): void {
    const held = [...this.#held, ...chunks];
    const isFew = held.reduce((sum, {length}) => sum + length, 0) <= MAX_HELD_BYTES;
    const isInSlabs = chunks.length > 0 && chunks.every((chunk) => slabs.offsetOf(chunk) !== undefined);
    if (this.#done || this.#dropped || !isFew || !isInSlabs) return this.#release();
    for (const chunk of chunks) slabs.hold(chunk);
    this.#held = held;
  }

  #release(): void {
    slabs.giveBack(this.#held);
    this.#held = [];
  }
}
