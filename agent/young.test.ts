import assert from 'node:assert/strict';
import {test} from 'node:test';
import {chunkReceived} from './young.ts';

test('the young generation is collected after every 16 MiB of chunks, and not for those of no weight', (t) => {
  const found: string[] = [];
  const {gc} = globalThis;
  globalThis.gc = ((options: {type: string}) => void found.push(options.type)) as unknown as typeof gc;
  t.after(() => (globalThis.gc = gc));
  for (let i = 0; i < 100; i++) chunkReceived(0);
  for (let i = 0; i < 33; i++) chunkReceived(1 << 20);
  assert.deepEqual(found, ['minor', 'minor']);
});
