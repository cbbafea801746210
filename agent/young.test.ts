import assert from 'node:assert/strict';
import {test, type TestContext} from 'node:test';
import {chunkReceived, settleHeap} from './young.ts';

/** What was collected while the time is ours. */
function newClock(t: TestContext): {readonly found: readonly string[]; readonly pass: (ms: number) => void} {
  const found: string[] = [];
  const {gc} = globalThis;
  globalThis.gc = ((options: {type: string}) => void found.push(options.type)) as unknown as typeof gc;
  t.after(() => (globalThis.gc = gc));
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  t.mock.timers.enable({apis: ['setInterval']});
  const pass = (ms: number): void => {
    for (const until = now + ms; now < until;) {
      now += 100;
      t.mock.timers.tick(100);
    }
  };
  return {found, pass};
}

test('what starting took is collected once, half a second after it', (t) => {
  const {found, pass} = newClock(t);
  settleHeap();
  pass(400);
  assert.deepEqual(found, []);
  pass(100);
  assert.deepEqual(found, ['major']);
  pass(60_000);
  assert.deepEqual(found, ['major']);
});

test('while bodies arrive it waits, and for five seconds of quiet after them', (t) => {
  const {found, pass} = newClock(t);
  settleHeap();
  for (let i = 0; i < 10; i++) {
    chunkReceived(0);
    pass(1_000);
  }
  assert.deepEqual(found, []);
  pass(5_000);
  assert.deepEqual(found, ['major']);
});

test('the young generation is collected after every 16 MiB of chunks, and not for those of no weight', (t) => {
  const {found} = newClock(t);
  for (let i = 0; i < 100; i++) chunkReceived(0);
  for (let i = 0; i < 33; i++) chunkReceived(1 << 20);
  assert.deepEqual(found, ['minor', 'minor']);
});
