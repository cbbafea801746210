import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Guesses} from './guesses.ts';

function newClock(): {now: number; read: () => number} {
  const clock = {now: 1_000_000, read: () => clock.now};
  return clock;
}

/** How many guesses are let through before the first that has to wait. */
function until(guesses: Guesses, next: (i: number) => [address: string, user: string], most = 1000): number {
  for (let i = 0; i < most; i++) if (guesses.take(...next(i)) > 0) return i;
  return most;
}

test('Guesses: one name can be tried ten times from anywhere, then once in six seconds', () => {
  const clock = newClock();
  const guesses = new Guesses(clock.read);
  assert.equal(
    until(guesses, (i) => [`10.0.0.${i}`, 'alice']),
    10,
  );
  assert.equal(guesses.take('10.0.1.1', 'alice'), 6_000);
  clock.now += 5_999;
  assert.equal(guesses.take('10.0.1.1', 'alice'), 1);
  clock.now += 1;
  assert.equal(guesses.take('10.0.1.1', 'alice'), 0);
  assert.ok(guesses.take('10.0.1.1', 'alice') > 0);
  assert.equal(guesses.take('10.0.1.1', 'bob'), 0, 'another name is not concerned');
});

test('Guesses: a name that does not exist is slowed down like one that does', () => {
  const guesses = new Guesses(newClock().read);
  assert.equal(
    until(guesses, () => ['10.0.0.1', 'nobody']),
    10,
  );
});

test('Guesses: one address can try fifty names, and an IPv6 network counts as one', () => {
  const guesses = new Guesses(newClock().read);
  assert.equal(
    until(guesses, (i) => ['10.0.0.1', `user${i}`]),
    50,
  );
  assert.equal(
    until(guesses, (i) => [`2001:db8::${i.toString(16)}`, `user-${i}`]),
    50,
  );
  assert.equal(guesses.take('2001:db8:0:1::1', 'someone'), 0, 'the next network');
  assert.ok(guesses.take('::ffff:10.0.0.1', 'someone') > 0, 'the same IPv4 address');
});

test('Guesses: what was right is given back, and who guesses a name does not lock its owner out', () => {
  const guesses = new Guesses(newClock().read);
  for (let i = 0; i < 200; i++) {
    assert.equal(guesses.take('10.0.0.1', 'alice'), 0);
    guesses.right('10.0.0.1', 'alice');
  }
  until(guesses, (i) => [`10.9.${i}.1`, 'alice']);
  assert.ok(guesses.take('10.9.9.9', 'alice') > 0, 'the attacker waits');
  assert.equal(guesses.take('10.0.0.1', 'alice'), 0, 'alice, where she is known, does not');
});
