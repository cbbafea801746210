import assert from 'node:assert/strict';
import {test} from 'node:test';
import {fault, parseFaults} from './fault.ts';

test('fault does nothing where NOOST_FAULT names no point', () => {
  fault('store.append');
});

test('parseFaults reads points, acts and passes', () => {
  assert.deepEqual(parseFaults('a.b=kill,c=ENOSPC@3'), [
    {point: 'a.b', act: 'kill', at: undefined, passes: 0},
    {point: 'c', act: 'ENOSPC', at: 3, passes: 0},
  ]);
  assert.deepEqual(parseFaults(''), []);
});

for (const text of ['a', 'a=', 'a=stop', 'a=ENOTHING', 'a=kill@0', 'A=kill', 'a=kill@x', '=kill'])
  test(`parseFaults refuses ${text}`, () => {
    assert.throws(() => parseFaults(text), SyntaxError);
  });
