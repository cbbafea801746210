import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {slabs} from '../../oci/slabs.ts';
import {poll} from '../../test/poll.ts';
import {newContent} from '../../test/store-rig.ts';
import {ask, newUpstreamRig} from '../../test/upstream-rig.ts';
import {pump, type PumpOptions} from './pump.ts';

const {bytes: BYTES} = newContent(16 << 20);

/** A blob of a registry through `pump`, its batches looked at when they have been written. */
async function pumped(options: Partial<PumpOptions> = {}): Promise<{got: Buffer; lent: number}> {
  await using rig = await newUpstreamRig();
  const digest = rig.fake.content.addBlob('acme/app', BYTES);
  const {body} = await rig.source().open(digest, 0, ask());
  const got: Buffer[] = [];
  let lent = 0;
  await pump(body, {
    skipBytes: 0,
    bufferBytes: () => 2 << 20,
    signal: new AbortController().signal,
    broken: (error) => error ?? new Error('broken'),
    write: async (batch) => {
      lent += batch.filter((chunk) => slabs.offsetOf(chunk) !== undefined).length;
      await delay(5); // a disk that takes its time
      got.push(Buffer.concat(batch));
    },
    ...options,
  });
  return {got: Buffer.concat(got), lent};
}

test('chunks are lent to the disk, unchanged until they are written, and given back', async () => {
  const {got, lent} = await pumped();
  assert.ok(got.equals(BYTES));
  assert.ok(lent > 0, 'nothing was lent');
  await poll('given back', () => slabs.busy === 0);
});

test('where nothing may wait, one chunk at a time is read, and all of them arrive', async () => {
  let most = 0;
  const got: Buffer[] = [];
  const write = async (batch: readonly Uint8Array[]): Promise<void> => {
    await delay(1);
    most = Math.max(most, batch.length);
    got.push(Buffer.concat(batch));
  };
  await pumped({bufferBytes: () => 0, write});
  assert.ok(Buffer.concat(got).equals(BYTES));
  assert.equal(most, 1);
});

test('bytes at the beginning that are not wanted are given back, too', async () => {
  for (const skipBytes of [1, 5 << 20, BYTES.length - 1, BYTES.length]) {
    const {got} = await pumped({skipBytes});
    assert.ok(got.equals(BYTES.subarray(skipBytes)), String(skipBytes));
    await poll('given back', () => slabs.busy === 0);
  }
});

test('what a failure leaves behind is given back', async () => {
  let writes = 0;
  const write = async (): Promise<void> => {
    await delay(1);
    if (++writes === 5) throw new Error('disk');
  };
  await assert.rejects(pumped({write}), /disk/);
  await poll('given back', () => slabs.busy === 0);
});

test('what an abort leaves behind is given back', async () => {
  const stop = new AbortController();
  const write = async (): Promise<void> => {
    await delay(1);
    setTimeout(() => stop.abort(new Error('left')), 10);
  };
  await assert.rejects(pumped({write, signal: stop.signal}), /left/);
  await poll('given back', () => slabs.busy === 0);
});
