import {parentPort, workerData} from 'node:worker_threads';
import {blobQueries} from './index-blobs.ts';
import {type IndexDatabase, isCorrupt, moveAside, openIndex} from './index-database.ts';
import {imageQueries} from './index-images.ts';
import {nameQueries} from './index-names.ts';
import {rankQueries} from './index-rank.ts';

/** All that can be asked of the index. Each takes the database and arguments that can be cloned. */
const QUERIES = {...blobQueries, ...nameQueries, ...rankQueries, ...imageQueries} as const;

export type IndexQueries = typeof QUERIES;
export interface IndexAsk {
  readonly id: number;
  readonly query: keyof IndexQueries;
  readonly values: readonly unknown[];
}
/** `lost`: the index was corrupt and has been replaced by an empty one. Sent once after start, too. */
export type IndexAnswer =
  | {readonly id: number; readonly result: unknown}
  | {readonly id: number; readonly error: Error}
  | {readonly lost: unknown};

if (parentPort !== null) serve(String(workerData));

function serve(path: string): void {
  let {database, lost} = openIndex(path);
  parentPort?.postMessage({lost} satisfies IndexAnswer);
  parentPort?.on('message', (ask: IndexAsk | 'close') => {
    if (ask === 'close') {
      database.close();
      parentPort?.close();
      return;
    }
    try {
      answer(ask.id, database, ask);
    } catch (error) {
      if (!isCorrupt(error)) return fail(ask.id, error);
      try {
        ({database, lost} = replace(path, database, error));
        parentPort?.postMessage({lost} satisfies IndexAnswer);
        answer(ask.id, database, ask);
      } catch (again) {
        fail(ask.id, again);
      }
    }
  });
}

function replace(path: string, database: IndexDatabase, lost: unknown): {database: IndexDatabase; lost: unknown} {
  database.close();
  moveAside(path);
  return {database: openIndex(path).database, lost};
}

function answer(id: number, database: IndexDatabase, ask: IndexAsk): void {
  // The client's `ask` is typed by the same table: query and values fit together.
  const query = QUERIES[ask.query] as (index: IndexDatabase, ...values: readonly unknown[]) => unknown;
  parentPort?.postMessage({id, result: query(database, ...ask.values)} satisfies IndexAnswer);
}

function fail(id: number, error: unknown): void {
  parentPort?.postMessage({id, error: error instanceof Error ? error : new Error(String(error))} satisfies IndexAnswer);
}
