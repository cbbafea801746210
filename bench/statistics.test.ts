import assert from 'node:assert/strict';
import {test} from 'node:test';
import {summarise} from './statistics.ts';

for (const {values, median} of [
  {values: [3], median: 3},
  {values: [10, 1, 2], median: 2},
  {values: [4, 1, 3, 2], median: 2.5},
])
  test(`the median of ${values.join(', ')} is ${median}`, () => {
    assert.equal(summarise(values).median, median);
  });

test('a summary has the extremes and how many there were', () => {
  assert.deepEqual(summarise([5, 7, 6]), {median: 6, min: 5, max: 7, count: 3});
});

test('no values have no summary', () => {
  assert.throws(() => summarise([]), RangeError);
});
