import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {test} from 'node:test';
import {BLOCK_BYTES, newSumKey, sumOf, Sums} from '../store/sums.ts';
import {Proven} from './proven.ts';
import {Repeats, type Suspicion} from './repeats.ts';
import type {FilePart} from './send.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as const;
const MIB = 1 << 20;
const BLOCKS = 200;
const SIZE = BLOCKS * BLOCK_BYTES;
const all = (): Promise<readonly FilePart[]> => Promise.resolve([]);
const without = (at: number) => (): Promise<readonly FilePart[]> => Promise.resolve([{at, length: 2 * MIB}]);

const key = newSumKey();
const block = randomBytes(BLOCK_BYTES);
const verify = (): Promise<Sums> =>
  Promise.resolve(new Sums(key, Buffer.concat(Array.from({length: BLOCKS}, (_, at) => sumOf(key, at, block)))));

/** The blocks that would be checked before they leave. */
function doubted(suspicion: Suspicion): readonly number[] {
  assert.ok(suspicion instanceof Proven, 'not proven');
  return [...Array(BLOCKS).keys()].filter((at) => !suspicion.isSound(at * BLOCK_BYTES, BLOCK_BYTES));
}

async function proved(now?: () => number): Promise<Repeats> {
  const repeats = new Repeats(now);
  repeats.completed('client', DIGEST);
  assert.equal(await repeats.suspicion('client', DIGEST, all), 'hash');
  assert.ok(await repeats.prove(DIGEST, verify));
  return repeats;
}

test('Repeats suspects what one client asks for again, until it has proved right', async () => {
  const repeats = await proved();
  assert.deepEqual(doubted(await repeats.suspicion('client', DIGEST, all)), []);
});

test('Repeats trusts what was hashed as it arrived, while it is in memory and none of it came from the disk', async () => {
  for (const [memory, doubts, expected] of [
    [all, false, 'none'],
    [without(0), false, 'hash'],
    [all, true, 'hash'],
  ] as const) {
    const repeats = new Repeats();
    repeats.arrived(DIGEST);
    repeats.completed('client', DIGEST);
    if (doubts) repeats.doubt(DIGEST, 0, 1);
    assert.equal(await repeats.suspicion('client', DIGEST, memory), expected);
  }
});

test('Repeats does not trust what was hashed as it arrived, if some of it came from the disk meanwhile', async () => {
  const repeats = new Repeats();
  repeats.doubt(DIGEST, 0, 1);
  repeats.arrived(DIGEST);
  repeats.completed('client', DIGEST);
  assert.equal(await repeats.suspicion('client', DIGEST, all), 'hash');
});

test('of what was proven, what has left memory is in doubt until it was checked', async () => {
  const repeats = await proved();
  const suspicion = await repeats.suspicion('client', DIGEST, without(4 * MIB));
  assert.deepEqual(doubted(suspicion), [16, 17, 18, 19, 20, 21, 22, 23]);
  assert.ok(suspicion instanceof Proven);
  for (const at of [16, 17, 18]) assert.ok(suspicion.check(at, block, true));
  assert.deepEqual(doubted(await repeats.suspicion('client', DIGEST, all)), [19, 20, 21, 22, 23]);
});

test('what comes from the disk is in doubt, with what the kernel may have read ahead', async () => {
  const repeats = await proved();
  repeats.doubt(DIGEST, 2 * MIB, BLOCK_BYTES);
  const expected = Array.from({length: 65}, (_, at) => at + 8);
  const suspicion = await repeats.suspicion('client', DIGEST, all);
  assert.deepEqual(doubted(suspicion), expected);
  assert.ok(suspicion instanceof Proven);
  assert.ok(suspicion.check(8, block, false), 'its own check reads, too');
  assert.deepEqual(doubted(suspicion), expected.slice(1));
});

test('another byte or another place is not what was proven', async () => {
  const suspicion = await (await proved()).suspicion('client', DIGEST, all);
  assert.ok(suspicion instanceof Proven);
  const other = Buffer.from(block);
  other.writeUInt8(other.readUInt8(1000) ^ 1, 1000);
  assert.equal(suspicion.check(3, other, true), false);
  assert.equal(suspicion.check(3, block.subarray(1), true), false);
  assert.deepEqual(doubted(suspicion), [3]);
  const [first, second] = [sumOf(key, 0, block), sumOf(key, 1, block)];
  assert.ok(!first.equals(second), 'a block in the place of another');
});

test('what came from the disk while the file was hashed stays in doubt, and all of it after ten minutes', async () => {
  let now = 0;
  const repeats = await proved(() => now);
  await repeats.prove(DIGEST, () => {
    repeats.doubt(DIGEST, SIZE - 1, 1);
    return verify();
  });
  assert.equal(doubted(await repeats.suspicion('client', DIGEST, all)).length, BLOCKS);
  now = 1;
  await repeats.prove(DIGEST, verify);
  assert.equal(doubted(await repeats.suspicion('client', DIGEST, all)).length, 0);
  now = 600_002;
  assert.equal(doubted(await repeats.suspicion('client', DIGEST, all)).length, BLOCKS);
});

test('a file that is found wrong is hashed again for the next who suspects it', async () => {
  const repeats = new Repeats();
  repeats.completed('client', DIGEST);
  assert.equal(await repeats.prove(DIGEST, () => Promise.resolve(undefined)), false);
  assert.equal(await repeats.suspicion('client', DIGEST, all), 'hash');
});

test('Repeats does not suspect what another client was sent, and does not look where there is no suspicion', async () => {
  const repeats = new Repeats();
  repeats.completed('one', DIGEST);
  assert.equal(await repeats.suspicion('one', DIGEST, all), 'hash');
  assert.equal(await repeats.suspicion('two', DIGEST, () => assert.fail('looked')), 'none');
});
