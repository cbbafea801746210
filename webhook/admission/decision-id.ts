import {randomFillSync} from 'node:crypto';

const BYTES = 6;
const pool = Buffer.alloc(BYTES * 512);
let used = pool.length;

/** Twelve digits of hex: short enough to be read out, and no other decision of a cluster's day has it. */
export function newDecisionId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool.toString('hex', used, (used += BYTES));
}
