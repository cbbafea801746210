import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Repeats} from './repeats.ts';

const digest = `sha256:${'a'.repeat(64)}` as const;

test('Repeats suspects a file that one client asks for again after an unverified send, and ever less while it proves right', () => {
  const repeats = new Repeats();
  const asked = Array.from({length: 12}, () => {
    const verify = repeats.suspects('client', digest);
    repeats.completed('client', digest, verify);
    return verify ? 'v' : '.';
  });
  assert.equal(asked.join(''), '.v..v....v..');
});

test('Repeats does not suspect what another client was sent', () => {
  const repeats = new Repeats();
  repeats.completed('one', digest, false);
  assert.equal(repeats.suspects('one', digest), true);
  assert.equal(repeats.suspects('two', digest), false);
});
