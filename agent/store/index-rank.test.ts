import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {type Digest, digestOf} from '../../oci/digest.ts';
import {blobQueries} from './index-blobs.ts';
import {IndexDatabase} from './index-database.ts';
import {rankQueries, type RankAsk} from './index-rank.ts';

const HOUR = 3600_000;

/** A blob or manifest of a made-up cache: `M1: {used: 3, below: ['L1']}`; names with L are blobs. Uses in hours. */
type Shelf = Record<string, {readonly used: number; readonly size?: number; readonly below?: readonly string[]}>;

interface Row {
  readonly name: string;
  readonly shelf: Shelf;
  readonly bytes?: number;
  readonly idleBefore?: number;
  readonly protect?: readonly string[];
  /** Names in the order they go. Each has 1 byte where the shelf does not say. */
  readonly goes: readonly string[];
}

const TWO_IMAGES: Shelf = {
  M1: {used: 1, below: ['Lbase', 'L1']},
  M2: {used: 2, below: ['Lbase', 'L2']},
  Lbase: {used: 1},
  L1: {used: 1},
  L2: {used: 2},
};
const INDEX: Shelf = {
  I: {used: 1, below: ['Mamd', 'Marm']},
  Mamd: {used: 1, below: ['Lamd']},
  Marm: {used: 1, below: ['Larm']},
  Lamd: {used: 1},
  Larm: {used: 1},
  Mother: {used: 2, below: ['Lother']},
  Lother: {used: 2},
};

const ROWS: readonly Row[] = [
  {
    name: 'the coldest image goes first, whole, and the base layer of the other stays',
    shelf: TWO_IMAGES,
    bytes: 1,
    goes: ['L1', 'M1'],
  },
  {
    name: 'an image goes with its base layer when it is the last',
    shelf: TWO_IMAGES,
    bytes: 5,
    goes: ['L1', 'L2', 'Lbase', 'M1', 'M2'],
  },
  {
    name: 'a HEAD of a manifest keeps layers that were not asked for since',
    shelf: {...TWO_IMAGES, M1: {used: 3, below: ['Lbase', 'L1']}},
    bytes: 1,
    goes: ['L2', 'M2'],
  },
  {
    name: 'a HEAD of an index keeps what is below its manifests',
    shelf: {...INDEX, I: {used: 3, below: ['Mamd', 'Marm']}},
    bytes: 1,
    goes: ['Lother', 'Mother'],
  },
  {name: 'a cold index goes with all below it', shelf: INDEX, bytes: 1, goes: ['I', 'Lamd', 'Larm', 'Mamd', 'Marm']},
  {
    name: 'a platform that was used lately outlives its cold index',
    shelf: {...INDEX, Mamd: {used: 3, below: ['Lamd']}},
    bytes: 2,
    goes: ['I', 'Larm', 'Marm'],
  },
  {
    name: 'a layer that only one image needs, used lately, keeps the image',
    shelf: {...TWO_IMAGES, L1: {used: 3}},
    bytes: 1,
    goes: ['L2', 'M2'],
  },
  {
    name: 'a layer that two images need says of neither that it is used',
    shelf: {...TWO_IMAGES, Lbase: {used: 5}},
    bytes: 1,
    goes: ['L1', 'M1'],
  },
  {
    name: 'a blob that nothing needs goes by its own use',
    shelf: {...TWO_IMAGES, Lloose: {used: 0.5}},
    bytes: 1,
    goes: ['Lloose'],
  },
  {
    name: 'a blob that nothing needs stays while others are colder',
    shelf: {...TWO_IMAGES, Lloose: {used: 1.5}},
    bytes: 3,
    goes: ['L1', 'Lloose', 'M1'],
  },
  {
    name: 'no more goes than is asked for',
    shelf: {La: {used: 1, size: 10}, Lb: {used: 2, size: 10}},
    bytes: 10,
    goes: ['La'],
  },
  {name: 'idle: only what nobody used since', shelf: TWO_IMAGES, idleBefore: 1.5, goes: ['L1', 'M1']},
  {
    name: 'idle: a base layer of a used image is not idle',
    shelf: {...TWO_IMAGES, Lbase: {used: 0}},
    idleBefore: 1.5,
    goes: ['L1', 'M1'],
  },
  {
    name: 'what is protected stays, with all below it',
    shelf: TWO_IMAGES,
    protect: ['M1'],
    bytes: 5,
    goes: ['L2', 'M2'],
  },
  {
    name: 'a protected platform outlives its index',
    shelf: INDEX,
    protect: ['Mamd'],
    bytes: 7,
    goes: ['I', 'Larm', 'Lother', 'Marm', 'Mother'],
  },
  {
    name: 'everything at the same time goes as images all the same',
    shelf: {M1: {used: 1, below: ['La']}, La: {used: 1}},
    bytes: 1,
    goes: ['La', 'M1'],
  },
  {name: 'a use in the future is only very recent', shelf: {La: {used: 1e6}, Lb: {used: 1}}, bytes: 1, goes: ['Lb']},
  {name: 'nothing goes where nothing is', shelf: {}, bytes: 1, goes: []},
];

describe('rank', () => {
  for (const row of ROWS)
    test(row.name, () => {
      const index = newIndex(row.shelf);
      rankQueries.protect(index, (row.protect ?? []).map(digestFor));
      assert.deepEqual(ranked(index, row.shelf, row).toSorted(), [...row.goes]);
      index.close();
    });

  test('goes in steps when its time is up, and comes to the same', () => {
    const index = newIndex(TWO_IMAGES);
    const gone: Digest[] = [];
    for (let more = true; more;) {
      const answer = rankQueries.rank(index, {bytes: Infinity, idleBefore: undefined, now: 9 * HOUR, budgetMs: 0});
      blobQueries.drop(index, answer.digests, true);
      gone.push(...answer.digests);
      more = answer.more;
    }
    const names = new Map(Object.keys(TWO_IMAGES).map((name) => [digestFor(name), name]));
    assert.deepEqual(gone.map((digest) => names.get(digest) ?? digest).toSorted(), Object.keys(TWO_IMAGES).toSorted());
    index.close();
  });

  test('slide keeps order and ages; clamp brings what lies in the future to end now', () => {
    const index = newIndex({La: {used: 5}, Lb: {used: 7}});
    rankQueries.slide(index, 10 * HOUR);
    assert.deepEqual(uses(index), [15 * HOUR, 17 * HOUR]);
    rankQueries.clamp(index, 4 * HOUR);
    assert.deepEqual(uses(index), [2 * HOUR, 4 * HOUR]);
    rankQueries.clamp(index, 9 * HOUR);
    assert.deepEqual(uses(index), [2 * HOUR, 4 * HOUR]);
    index.close();
  });
});

function ranked(index: IndexDatabase, shelf: Shelf, row: Row): string[] {
  const names = new Map(Object.keys(shelf).map((name) => [digestFor(name), name]));
  const idleBefore = row.idleBefore === undefined ? undefined : row.idleBefore * HOUR;
  const ask: RankAsk = {bytes: row.bytes ?? Infinity, idleBefore, now: 1e6 * HOUR, budgetMs: 10_000};
  return rankQueries.rank(index, ask).digests.map((digest) => names.get(digest) ?? digest);
}

function newIndex(shelf: Shelf): IndexDatabase {
  const index = new IndexDatabase(':memory:');
  for (const [name, {used, size = 1, below = []}] of Object.entries(shelf)) {
    const kind = name.startsWith('L') ? 'blob' : 'manifest';
    const row = {digest: digestFor(name), kind, sizeBytes: size, mediaType: undefined, stamp: ''} as const;
    blobQueries.commit(index, row, below.map(digestFor), undefined, used * HOUR);
  }
  return index;
}

function uses(index: IndexDatabase): number[] {
  return index.all('SELECT used_at FROM blobs ORDER BY used_at').map((row) => Number(row['used_at']));
}

function digestFor(name: string): Digest {
  return digestOf(Buffer.from(name));
}
