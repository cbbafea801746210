import assert from 'node:assert/strict';
import {test} from 'node:test';
import {didYouMean, nearest} from './nearest.ts';

const WORDS = ['cache', 'cache-size', 'listen', 'ls', 'agent'];
const TYPED: readonly (readonly [typed: string, meant: string | undefined])[] = [
  ['cahce', 'cache'],
  ['Cache', 'cache'],
  ['cach-size', 'cache-size'],
  ['lisetn', 'listen'],
  ['l', 'ls'],
  ['agnet', 'agent'],
  ['zebra', undefined],
  ['', undefined],
  ['x'.repeat(100_000), undefined],
];

for (const [typed, meant] of TYPED) {
  test(`nearest takes ${JSON.stringify(typed.slice(0, 20))} for ${String(meant)}`, () => {
    assert.equal(nearest(typed, WORDS), meant);
  });
}

test('didYouMean says nothing where nothing is near', () => {
  assert.equal(didYouMean('zebra', WORDS), '');
  assert.equal(didYouMean('cahce', WORDS), '; did you mean cache?');
});
