import assert from 'node:assert/strict';
import {test} from 'node:test';
import {matchesEtag, parseRange} from './range.ts';

const show = (header: string | undefined, size: number): string => {
  const range = parseRange(header, size);
  return range.kind === 'part' ? `${range.start}-${range.end - 1}` : range.kind;
};

for (const [header, size, expected] of [
  [undefined, 2048, 'full'],
  ['bytes=500-1499', 2048, '500-1499'],
  ['bytes=500-', 2048, '500-2047'],
  ['bytes=-500', 2048, '1548-2047'],
  ['bytes=-5000', 2048, '0-2047'],
  ['bytes=2000-5000', 2048, '2000-2047'],
  ['bytes=0-', 2048, '0-2047'], // P-10
  ['bytes=0-', 0, 'full'], // P-10: never 416
  ['bytes=500-0', 2048, 'unsatisfiable'], // F-006
  ['bytes=5000-10000', 2048, 'unsatisfiable'],
  ['bytes=2048-', 2048, 'unsatisfiable'],
  ['bytes=-0', 2048, 'unsatisfiable'],
  ['bytes=99999999999999999999-', 2048, 'unsatisfiable'],
  ['bytes=1-99999999999999999999', 2048, '1-2047'],
  ['bytes=0-1,5-6', 2048, 'full'], // in full, which is allowed
  ['items=0-1', 2048, 'full'],
  ['bytes=-', 2048, 'full'],
  ['bytes=a-b', 2048, 'full'],
] as const)
  test(`parseRange() answers ${expected} to ${header ?? 'no header'} of ${size} bytes`, () => {
    assert.equal(show(header, size), expected);
  });

for (const [header, matches] of [
  [undefined, false],
  ['"sha256:a"', true],
  ['W/"sha256:a"', true],
  ['sha256:a', true],
  ['"x", "sha256:a"', true],
  ['*', true],
  ['"sha256:b"', false],
] as const)
  test(`matchesEtag() says ${matches} of If-None-Match ${header ?? 'absent'} (A-083)`, () => {
    assert.equal(matchesEtag(header, 'sha256:a'), matches);
  });
