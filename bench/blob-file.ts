import {createCipheriv, createHash} from 'node:crypto';
import {open, stat} from 'node:fs/promises';
import type {Digest} from '../oci/digest.ts';

/**
 * Every generated blob repeats its first so many bytes, so that the load generator compares what it receives with
 * something that stays in the processor's cache. A prime above 256 KiB: bytes that are right but in the wrong place
 * differ, unless they are wrong by a multiple of just this.
 */
export const PERIOD_BYTES = 262_147;
const WRITE_PERIODS = 16;

/** A blob on disk, made of nothing but its name. */
export interface BlobFile {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Writes a blob that is the same on every machine: AES-128-CTR under a key made of `name`, repeated. */
export async function writeBlobFile(path: string, name: string, sizeBytes: number): Promise<BlobFile> {
  const digest = digestOfBlob(name, sizeBytes);
  const there = await stat(path).catch(() => undefined);
  if (there?.size !== sizeBytes) {
    await using file = await open(path, 'w');
    for (const chunk of chunksOf(name, sizeBytes)) await file.appendFile(chunk);
    await file.sync();
  }
  return {path, digest, sizeBytes};
}

export function digestOfBlob(name: string, sizeBytes: number): Digest {
  const hash = createHash('sha256');
  for (const chunk of chunksOf(name, sizeBytes)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

function* chunksOf(name: string, sizeBytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(name).digest().subarray(0, 16);
  const period = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(
    Buffer.alloc(Math.min(PERIOD_BYTES, sizeBytes)),
  );
  const chunk = sizeBytes > PERIOD_BYTES ? Buffer.concat(Array.from({length: WRITE_PERIODS}, () => period)) : period;
  for (let left = sizeBytes; left > 0; left -= chunk.length)
    yield left < chunk.length ? chunk.subarray(0, left) : chunk;
}
