import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {closeSync, fsyncSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync} from 'node:fs';
import {join} from 'node:path';
import {after, describe, it} from 'node:test';
import koffi from 'koffi';
import {newResident, type Resident} from './resident.ts';

const KIB = 1024;
/** Pages come and go together in folios of up to 2 MiB. */
const UNIT = 4 * KIB ** 2;
const BYTES = 8 * UNIT + 5;
const TMPFS_MAGIC = 0x01021994;

const folder = mkdtempSync('/var/tmp/noost-resident-'); // by convention on a disk
assert.notEqual(statfsSync(folder).type, TMPFS_MAGIC, 'needs /var/tmp on a disk: from tmpfs no page is dropped');
after(() => {
  rmSync(folder, {recursive: true});
});

type Cases = readonly (readonly [at: number, length: number, expected: boolean])[];

const WAYS = [
  {way: 'counted', resident: newResident(koffi.load(null))},
  {way: 'by samples, as before Linux 6.5', resident: newResident(koffi.load(null), {counted: false})},
];

for (const {way, resident} of WAYS)
  describe(`what is in the page cache, ${way}`, () => {
    const of = (title: string, prepare: (path: string) => void, cases: Cases): void => {
      it(title, () => {
        withFile(prepare, resident, cases);
      });
    };

    of('is all of a file that was just written, to its last, partial page', () => undefined, [
      [0, BYTES, true],
      [UNIT, 2 * UNIT, true],
      [BYTES - 5, 5, true],
      [4 * KIB + 1, 1, true],
    ]);
    of('is nothing of a file whose pages were dropped', (path) => drop(path, 0, 0), [
      [0, BYTES, false],
      [0, 1, false],
      [BYTES - 5, 5, false],
    ]);
    of('is not a part with a gap', (path) => drop(path, 2, 2), [
      [0, BYTES, false],
      [UNIT, 2 * UNIT, false],
      [3 * UNIT, UNIT + 1, false],
      [0, 2 * UNIT, true],
      [4 * UNIT, 4 * UNIT + 5, true],
    ]);
    of('is not a part whose end is missing', (path) => drop(path, 6, 0), [
      [0, BYTES, false],
      [4 * UNIT, 3 * UNIT, false],
      [0, 6 * UNIT, true],
    ]);
    of('is nothing beyond the end of the file', () => undefined, [[BYTES, 1, false]]);
  });

function withFile(prepare: (path: string) => void, resident: Resident, cases: Cases): void {
  const path = join(folder, 'file');
  const written = openSync(path, 'w');
  writeSync(written, Buffer.alloc(BYTES, 7));
  fsyncSync(written); // what is dirty cannot be dropped
  closeSync(written);
  const fd = openSync(path, 'r');
  try {
    for (const [at, length, expected] of cases) {
      prepare(path); // each time: to ask for a page that is not there has the kernel fetch it
      assert.equal(resident(fd, at, length), expected, `${length} bytes at ${at}`);
    }
  } finally {
    closeSync(fd);
    rmSync(path);
  }
}

/** Drops pages by posix_fadvise(2). @param units 0: to the end. */
function drop(path: string, from: number, units: number): void {
  // dd's way to say it: nothing is copied, `nocache` alone drops what skip and count name.
  execFileSync('dd', [
    `if=${path}`,
    'iflag=nocache',
    `bs=${UNIT}`,
    `skip=${from}`,
    `count=${units}`,
    'status=none',
    'of=/dev/null',
  ]);
}
