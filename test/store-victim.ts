import {createHash} from 'node:crypto';
import {keep, linkTo, ROOMY, StoreRig} from './store-rig.ts';
import {digestOf} from '../oci/digest.ts';

/** Blobs that a process fills a store with, more than fit: each `SIZE` bytes that follow from its number. */
export const COUNT = 6;
export const SIZE = 300_000;
export const LIMITS = {...ROOMY, maxBytes: 1_000_000};

export function contentOf(number: number): Buffer {
  const block = createHash('sha512').update(`content ${number}`).digest();
  return Buffer.concat(Array.from({length: SIZE / 50}, () => block.subarray(0, 50)));
}

/** Run as a program: `store-victim.ts DIR`, to be killed at the point that NOOST_FAULT names. Says `done` if it was not. */
async function fill(path: string): Promise<void> {
  const rig = await StoreRig.open(path, {limits: LIMITS});
  for (let number = 0; number < COUNT; number++) {
    rig.clock.now += 1;
    const bytes = contentOf(number);
    await keep(rig.store, bytes, {link: linkTo(digestOf(bytes)), sizeBytes: SIZE});
  }
  await rig.store.close();
  console.log('done');
}

if (import.meta.main) await fill(process.argv[2] ?? '');
