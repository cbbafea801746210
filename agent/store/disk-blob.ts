import {type BigIntStats, constants, fstatSync, openSync} from 'node:fs';
import type {Digest} from '../../oci/digest.ts';
import type {ContentKind, OpenBlob} from './contract.ts';
import type {BlobRow} from './index-blobs.ts';
import {SharedFd} from './shared-fd.ts';

/** A whole blob's open file. */
export class DiskBlob implements OpenBlob {
  readonly digest: Digest;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  readonly mediaType: string | undefined;
  /** For who reads it from another thread while the opener may close it. */
  readonly file: SharedFd;
  #open = true;
  constructor(row: BlobRow, file: SharedFd) {
    this.digest = row.digest;
    this.kind = row.kind;
    this.sizeBytes = row.sizeBytes;
    this.mediaType = row.mediaType;
    this.file = file;
  }
  get fd(): number {
    return this.file.fd;
  }
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.file.release();
  }
}

/**
 * Opens a file of ours for reading; `undefined` if there is none.
 *
 * Synchronous on purpose: on a local file system open and fstat take some ten microseconds together, less than
 * the way to the thread pool and back, and a warm pull needs no more than these two.
 * @throws {Error} of `node:fs` for anything but absence.
 */
export function openFile(path: string): SharedFd | undefined {
  try {
    return new SharedFd(openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export function statFile(file: SharedFd): BigIntStats {
  return fstatSync(file.fd, {bigint: true});
}

/** What must be as it was for a file to be served unread: with its size, it catches truncation, emptying and tampering. */
export function stampOf(stat: BigIntStats): string {
  return `${stat.mtimeNs}.${stat.ctimeNs}`;
}
