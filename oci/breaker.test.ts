import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Breaker} from './breaker.ts';

function newBreaker(): {breaker: Breaker; clock: {ms: number}; changes: boolean[]} {
  const clock = {ms: 0};
  const changes: boolean[] = [];
  const breaker = new Breaker({now: () => clock.ms, random: () => 0.5, changed: (open) => changes.push(open)});
  return {breaker, clock, changes};
}

function fail(breaker: Breaker, times: number): void {
  for (let i = 0; i < times; i++) if (breaker.enter() === 0) breaker.failed();
}

test('Breaker opens after ten failures in a row, and not before', () => {
  const {breaker, changes} = newBreaker();
  fail(breaker, 9);
  breaker.succeeded();
  fail(breaker, 9);
  assert.equal(breaker.enter(), 0);
  breaker.failed();
  assert.equal(breaker.enter(), 1000);
  assert.deepEqual(changes, [true]);
});

test('Breaker lets one request through when its time is over, and closes if that succeeds', () => {
  const {breaker, clock, changes} = newBreaker();
  fail(breaker, 10);
  clock.ms = 1000;
  assert.equal(breaker.enter(), 0);
  assert.ok(breaker.enter() > 0, 'only one');
  breaker.succeeded();
  assert.equal(breaker.enter(), 0);
  assert.deepEqual(changes, [true, false]);
});

test('Breaker waits longer each time, up to ten seconds, and says only once that it is open', () => {
  const {breaker, clock, changes} = newBreaker();
  fail(breaker, 10);
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const wait = breaker.enter();
    waits.push(wait);
    clock.ms += wait;
    fail(breaker, 1);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000]);
  assert.deepEqual(changes, [true]);
});

test('Breaker lets the next one try if the one that was let through has left', () => {
  const {breaker, clock} = newBreaker();
  fail(breaker, 10);
  clock.ms = 1000;
  assert.equal(breaker.enter(), 0);
  breaker.left();
  assert.equal(breaker.enter(), 0);
});

test('Breaker does not count stragglers of the time before as new openings', () => {
  const {breaker} = newBreaker();
  for (let i = 0; i < 20; i++) breaker.enter();
  for (let i = 0; i < 20; i++) breaker.failed();
  assert.equal(breaker.enter(), 1000);
});
