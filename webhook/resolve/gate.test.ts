import assert from 'node:assert/strict';
import {test} from 'node:test';
import {BusyError, Gate} from './gate.ts';

const never = new AbortController().signal;

test('at most so many at a time, in their order; another registry is not held up', async () => {
  const gate = new Gate(2, 10);
  const begun: number[] = [];
  const {promise: open, resolve: release} = Promise.withResolvers<void>();
  const run = (registry: string, i: number) =>
    gate.run(registry, never, async () => {
      begun.push(i);
      await open;
    });
  const all = [1, 2, 3, 4].map((i) => run('a.example', i));
  all.push(run('b.example', 5));
  await new Promise(setImmediate);
  assert.deepEqual(begun, [1, 2, 5]);
  release();
  await Promise.all(all);
  assert.deepEqual(begun, [1, 2, 5, 3, 4]);
});

test('who leaves the queue takes no place, and one who finds it full is told at once', async () => {
  const gate = new Gate(1, 1);
  const {promise: open, resolve: release} = Promise.withResolvers<void>();
  const first = gate.run('a.example', never, () => open);
  const leaving = new AbortController();
  const second = gate.run('a.example', leaving.signal, () => Promise.resolve());
  await assert.rejects(
    gate.run('a.example', never, () => Promise.resolve()),
    BusyError,
  );
  leaving.abort(new Error('left'));
  await assert.rejects(second, /left/);
  const third = gate.run('a.example', never, () => Promise.resolve('third'));
  release();
  await first;
  assert.equal(await third, 'third');
  assert.equal(await gate.run('a.example', never, () => Promise.resolve('free')), 'free');
});

test('a question that fails gives its place back', async () => {
  const gate = new Gate(1, 1);
  await assert.rejects(
    gate.run('a.example', never, () => Promise.reject(new Error('no'))),
    /no/,
  );
  assert.equal(await gate.run('a.example', never, () => Promise.resolve('yes')), 'yes');
});
