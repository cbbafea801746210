import {createCipheriv, createHash} from 'node:crypto';

const CHUNK_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** The same bytes for the same seed, which no compression makes smaller, in chunks: a layer of any size in no memory. */
export function* seededBytes(seed: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES)
    yield stream.update(ZEROS.subarray(0, Math.min(left, CHUNK_BYTES)));
}
