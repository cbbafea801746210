import {createHash, type Hash} from 'node:crypto';
import {readSync} from 'node:fs';
import {parentPort, workerData} from 'node:worker_threads';
import type {HashAnswer, HashAsk, HashThreadData} from './hash-pool.ts';
import {BLOCK_BYTES, sumOf} from './sums.ts';

/** How much of one file is hashed before another has its turn and messages are looked at. */
const SLICE_BYTES = 32 * BLOCK_BYTES;

interface Job {
  readonly fd: number;
  readonly hash: Hash;
  /** Of the blocks before `at`, where they are wanted: then the file is read from its first byte to its last. */
  readonly sums: Buffer[] | undefined;
  at: number;
  upTo: number;
  end: boolean;
}

/** Large enough that the system call does not count, small enough for the processor's cache. */
const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
const {shared, sumKey} = workerData as HashThreadData;
/** Job number → job. */
const jobs = new Map<number, Job>();
/** Jobs with something to do. */
const ready = new Set<number>();
let scheduled = false;

parentPort?.on('message', (ask: HashAsk) => {
  if (ask.drop) {
    jobs.delete(ask.job);
    ready.delete(ask.job);
    answer({job: ask.job, dropped: true});
    return;
  }
  const job = jobs.get(ask.job) ?? newJob(ask);
  job.upTo = ask.upTo;
  job.end = ask.end;
  hashLent(job, ask.lent);
  jobs.set(ask.job, job);
  ready.add(ask.job);
  schedule();
});

function newJob({fd, algorithm, withSums}: HashAsk): Job {
  return {fd, hash: createHash(algorithm), sums: withSums ? [] : undefined, at: 0, upTo: 0, end: false};
}

function schedule(): void {
  if (scheduled || ready.size === 0) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    for (const id of ready) advance(id);
    schedule();
  });
}

function advance(id: number): void {
  const job = jobs.get(id);
  if (job === undefined) return;
  try {
    readSlice(job);
  } catch (error) {
    settle(id, {job: id, error: error instanceof Error ? error : new Error(String(error))});
    return;
  }
  if (job.at < job.upTo) return;
  ready.delete(id);
  if (job.end) settle(id, {job: id, hex: job.hash.digest('hex'), sums: Buffer.concat(job.sums ?? [])});
  else answer({job: id, at: job.at});
}

/** Only what comes next: where it does not reach back to where the job is, all of it is read from the file. */
function hashLent(job: Job, lent: readonly number[]): void {
  const bytes = lent.reduce((sum, each, at) => sum + (at % 2 === 1 ? each : 0), 0);
  if (bytes === 0 || job.at !== job.upTo - bytes) return;
  for (let at = 0; at < lent.length; at += 2) job.hash.update(Buffer.from(shared, lent[at], lent[at + 1]));
  job.at = job.upTo;
}

function readSlice(job: Job): void {
  const until = Math.min(job.upTo, job.at + SLICE_BYTES);
  while (job.at < until) {
    const bytes = buffer.subarray(0, Math.min(BLOCK_BYTES, until - job.at));
    fill(bytes, job);
    job.hash.update(bytes);
    job.sums?.push(sumOf(sumKey, job.at / BLOCK_BYTES, bytes));
    job.at += bytes.length;
  }
}

function fill(bytes: Buffer, {fd, at, upTo}: Job): void {
  for (let count = 0, have = 0; have < bytes.length; have += count) {
    count = readSync(fd, bytes, have, bytes.length - have, at + have);
    if (count === 0) throw Object.assign(new Error(`File ends at ${at + have} of ${upTo}`), {code: 'ESHORT'});
  }
}

function settle(id: number, message: HashAnswer): void {
  jobs.delete(id);
  ready.delete(id);
  answer(message);
}

function answer(message: HashAnswer): void {
  parentPort?.postMessage(message);
}
