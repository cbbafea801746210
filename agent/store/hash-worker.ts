import {createHash, type Hash} from 'node:crypto';
import {readSync} from 'node:fs';
import {parentPort, workerData} from 'node:worker_threads';
import type {HashAnswer, HashAsk} from './hash-pool.ts';

/** Large enough that the system call does not count, small enough for the processor's cache. */
const BUFFER_BYTES = 256 * 1024;
/** How much of one file is hashed before another has its turn and messages are looked at. */
const SLICE_BYTES = 32 * BUFFER_BYTES;

interface Job {
  readonly fd: number;
  readonly hash: Hash;
  at: number;
  upTo: number;
  end: boolean;
}

const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
/** What the network's sockets read into. */
const shared = workerData as SharedArrayBuffer;
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
  const job = jobs.get(ask.job) ?? {fd: ask.fd, hash: createHash(ask.algorithm), at: 0, upTo: 0, end: false};
  job.upTo = ask.upTo;
  job.end = ask.end;
  hashLent(job, ask.lent);
  jobs.set(ask.job, job);
  ready.add(ask.job);
  schedule();
});

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
  if (job.end) settle(id, {job: id, hex: job.hash.digest('hex')});
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
    const count = readSync(job.fd, buffer, 0, Math.min(BUFFER_BYTES, until - job.at), job.at);
    if (count === 0) throw Object.assign(new Error(`File ends at ${job.at} of ${job.upTo}`), {code: 'ESHORT'});
    job.hash.update(buffer.subarray(0, count));
    job.at += count;
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
