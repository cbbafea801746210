import {statfs} from 'node:fs/promises';
import {humanSize} from './commands/human.ts';
import type {Limits, Usage} from './store/contract.ts';

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** @throws {Error} of `node:fs`. */
export async function readDiskSpace(folder: string): Promise<DiskSpace> {
  const {bavail, blocks, bsize} = await statfs(folder);
  return {freeBytes: bavail * bsize, totalBytes: blocks * bsize};
}

/**
 * What there is to say at the start about a disk that is below its watermark (design §5); `undefined` if it is not.
 * Not an error: pulls go on, and the cache fills again once there is room.
 */
export function lowDisk({freeBytes, totalBytes}: DiskSpace, limits: Limits, usage: Usage): string | undefined {
  const {minFree} = limits;
  const wantedBytes = 'bytes' in minFree ? minFree.bytes : minFree.share * totalBytes;
  const missingBytes = wantedBytes - freeBytes;
  if (missingBytes <= 0) return undefined;
  const state = `the disk has ${humanSize(freeBytes)} of ${humanSize(totalBytes)} free, and cache.minFreeDisk leaves ${humanSize(wantedBytes)} to others`;
  return usage.sizeBytes > missingBytes
    ? `${state}: the cache gives back ${humanSize(missingBytes)}`
    : `${state}: blobs pass through without being kept until there is room`;
}
