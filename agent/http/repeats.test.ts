import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Repeats} from './repeats.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as const;
const there = (): Promise<boolean> => Promise.resolve(true);
const evicted = (): Promise<boolean> => Promise.resolve(false);

test('Repeats suspects a file that one client asks for again, until it has proved right', async () => {
  const repeats = new Repeats();
  const asked = [];
  for (let i = 0; i < 6; i++) {
    const verify = await repeats.suspects('client', DIGEST, there);
    repeats.completed('client', DIGEST, verify);
    asked.push(verify ? 'v' : '.');
  }
  assert.equal(asked.join(''), '.v....');
});

test('Repeats suspects it again when it has left memory, and when it came from the disk unhashed since', async () => {
  const repeats = new Repeats();
  repeats.completed('client', DIGEST, true);
  assert.equal(await repeats.suspects('client', DIGEST, there), false);
  assert.equal(await repeats.suspects('client', DIGEST, evicted), true);
  repeats.doubt(DIGEST);
  assert.equal(await repeats.suspects('client', DIGEST, there), true, 'what is in memory now was not hashed');
  repeats.completed('client', DIGEST, true);
  assert.equal(await repeats.suspects('client', DIGEST, there), false);
});

test('Repeats does not suspect what another client was sent, and does not look where there is no suspicion', async () => {
  const repeats = new Repeats();
  repeats.completed('one', DIGEST, false);
  assert.equal(await repeats.suspects('one', DIGEST, there), true);
  assert.equal(await repeats.suspects('two', DIGEST, () => assert.fail('looked')), false);
});
