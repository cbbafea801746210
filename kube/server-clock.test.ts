import assert from 'node:assert/strict';
import {test} from 'node:test';
import {ServerClock} from './server-clock.ts';

const AT = Date.parse('2026-06-01T12:00:00Z');
const HOUR_MS = 3_600_000;

const CASES: readonly [name: string, date: string | undefined, sentMs: number, receivedMs: number, offsetMs: number][] =
  [
    ['the same second', 'Mon, 01 Jun 2026 12:00:00 GMT', AT + 100, AT + 120, 0],
    ['the end of that second', 'Mon, 01 Jun 2026 12:00:00 GMT', AT + 990, AT + 999, 0],
    ['an answer that was slow on its way', 'Mon, 01 Jun 2026 12:00:00 GMT', AT, AT + 4_900, 0],
    ['half a second off', 'Mon, 01 Jun 2026 12:00:00 GMT', AT - 500, AT - 490, 0],
    ['we are an hour behind', 'Mon, 01 Jun 2026 12:00:00 GMT', AT - HOUR_MS, AT - HOUR_MS + 20, HOUR_MS + 490],
    ['we are an hour ahead', 'Mon, 01 Jun 2026 12:00:00 GMT', AT + HOUR_MS, AT + HOUR_MS + 20, -HOUR_MS + 490],
    [
      'an answer that took too long to say anything',
      'Mon, 01 Jun 2026 12:00:00 GMT',
      AT + HOUR_MS,
      AT + HOUR_MS + 6_000,
      0,
    ],
    ['no date', undefined, AT + HOUR_MS, AT + HOUR_MS + 20, 0],
    ['no date that can be read', 'yesterday', AT + HOUR_MS, AT + HOUR_MS + 20, 0],
  ];

for (const [name, date, sentMs, receivedMs, offsetMs] of CASES) {
  test(`the API server's clock: ${name}`, () => {
    const clock = new ServerClock();
    clock.observe(date, sentMs, receivedMs);
    assert.equal(clock.offsetMs, offsetMs);
  });
}

test("the API server's clock: a clock of ours that was put right is believed again", () => {
  const clock = new ServerClock();
  clock.observe('Mon, 01 Jun 2026 12:00:00 GMT', AT - HOUR_MS, AT - HOUR_MS);
  assert.notEqual(clock.offsetMs, 0);
  clock.observe('Mon, 01 Jun 2026 12:00:00 GMT', AT, AT);
  assert.equal(clock.offsetMs, 0);
});
