import assert from 'node:assert/strict';
import {test} from 'node:test';
import {lowDisk} from './low-disk.ts';
import type {Usage} from './store/contract.ts';

const GIB = 2 ** 30;
const NOTHING = {blobs: 0, manifests: 0, tags: 0, sizeBytes: 0, reservedBytes: 0};
const EMPTY: Usage = {...NOTHING, maxBytes: GIB, capacityBytes: GIB, diskFreeBytes: 0};

for (const {name, freeBytes, minFree, sizeBytes = 0, says} of [
  {name: 'above the share', freeBytes: 21 * GIB, minFree: {share: 0.2}, says: undefined},
  {name: 'at the share', freeBytes: 20 * GIB, minFree: {share: 0.2}, says: undefined},
  {
    name: 'below the share, the cache empty',
    freeBytes: 15 * GIB,
    minFree: {share: 0.2},
    says: /^the disk has 15\.0 GiB of 100 GiB free, .* leaves 20\.0 GiB to others: blobs pass through/,
  },
  {
    name: 'below the share, the cache too small',
    freeBytes: 15 * GIB,
    minFree: {share: 0.2},
    sizeBytes: GIB,
    says: /pass/,
  },
  {
    name: 'below the share, the cache large',
    freeBytes: 15 * GIB,
    minFree: {share: 0.2},
    sizeBytes: 30 * GIB,
    says: /the cache gives back 5\.00 GiB$/,
  },
  {name: 'below so many bytes', freeBytes: GIB, minFree: {bytes: 2 * GIB}, says: /leaves 2\.00 GiB .* pass through/},
]) {
  test(`lowDisk of a disk ${name}`, () => {
    const limits = {maxBytes: GIB, minFree, maxIdleMs: 1};
    const said = lowDisk({freeBytes, totalBytes: 100 * GIB}, limits, {...EMPTY, sizeBytes});
    if (says === undefined) assert.equal(said, undefined);
    else assert.match(String(said), says);
  });
}
