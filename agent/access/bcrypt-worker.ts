import {parentPort} from 'node:worker_threads';
import {compareSync} from 'bcryptjs';

/** To the worker: does the password have this hash? */
export interface CompareAsk {
  readonly job: number;
  readonly password: string;
  readonly hash: string;
}
export interface CompareAnswer {
  readonly job: number;
  readonly same: boolean;
}

// It takes a tenth of a second and does nothing else meanwhile: hence a thread of its own.
parentPort?.on('message', ({job, password, hash}: CompareAsk) => {
  parentPort?.postMessage({job, same: compareSync(password, hash)} satisfies CompareAnswer);
});
