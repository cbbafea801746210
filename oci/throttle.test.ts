import assert from 'node:assert/strict';
import {test} from 'node:test';
import {remainingOf, Throttle} from './throttle.ts';

const WALL = Date.parse('2026-01-01T00:00:00Z');

for (const [name, header, expected] of [
  ['none', undefined, 10_000],
  ['seconds', '7', 7000],
  ['a date', 'Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
  ['a date that is over', 'Wed, 31 Dec 2025 23:59:00 GMT', 10_000],
  ['zero', '0', 10_000],
  ['a day', '86400', 900_000],
  ['noise', 'soon', 10_000],
] as const)
  test(`Throttle with Retry-After of ${name} waits ${expected} ms`, () => {
    const clock = {ms: 0};
    const throttle = new Throttle(
      () => clock.ms,
      () => WALL,
    );
    assert.equal(throttle.waitMs, 0);
    assert.equal(throttle.told({headers: {'retry-after': header}}), expected);
    clock.ms = 1;
    assert.equal(throttle.waitMs, expected - 1);
    clock.ms = expected;
    assert.equal(throttle.waitMs, 0);
  });

test('remainingOf reads the count and nothing else (C-031)', () => {
  const read = (text: string | undefined): number | undefined => remainingOf({headers: {'ratelimit-remaining': text}});
  assert.deepEqual(['76;w=21600', ' 5', '', 'many', undefined].map(read), [76, 5, undefined, undefined, undefined]);
});
