import {constants, fchmod, fstatSync, fsync, ftruncate, openSync, unlinkSync, writev} from 'node:fs';
import {dirname} from 'node:path';
import {promisify} from 'node:util';
import {type Digest, splitDigest} from '../../oci/digest.ts';
import {IntegrityError} from '../../oci/error.ts';
import {fault} from '../../proc/fault.ts';
import {bytesOf, restAfter} from './chunks.ts';
import {type Ingest, StoreFullError} from './contract.ts';
import {stampOf, statFile} from './disk-blob.ts';
import {moveInto, syncFolder} from './durable.ts';
import type {Folder} from './folder.ts';
import type {HashJob, HashPool} from './hash-pool.ts';
import type {BlobRow} from './index-blobs.ts';
import type {Reservation} from './room.ts';
import {SharedFd} from './shared-fd.ts';

/** Room for a blob of unknown size doubles between these, so that a small one drives nothing out for nothing. */
const FIRST_BYTES = 1024 * 1024;
export const GROW_BYTES = 64 * 1024 * 1024;
/** writev(2) takes no more buffers than this (IOV_MAX). */
const MAX_BUFFERS = 1024;

const [writevAt, sync, setMode, truncate] = [
  promisify(writev),
  promisify(fsync),
  promisify(fchmod),
  promisify(ftruncate),
];

export type CommitAs = Parameters<Ingest['commit']>[0];

/** What an ingest needs of the store it belongs to. */
export interface IngestParts {
  /** Of the file until it is whole. */
  readonly path: string;
  readonly folder: Folder;
  readonly pool: HashPool;
  readonly reservation: Reservation;
  readonly maxBytes: number;
  /** The disk is full although there is room by our count: drops something. @returns whether it could. */
  relieve(bytes: number): Promise<boolean>;
  /** Resolves when no eviction is removing a file of this name any more. */
  vacant(digest: Digest): Promise<void>;
  indexed(row: BlobRow, children: readonly Digest[], link: CommitAs['link']): Promise<void>;
  /** It has ended; `keptBytes` of its file are left for a resume. */
  ended(keptBytes: number): void;
}

/** A blob on its way in: `ingest/<algorithm>-<hex>[.<owner>].part`. */
export class DiskIngest implements Ingest {
  readonly digest: Digest;
  readonly resumedBytes: number;
  readonly #parts: IngestParts;
  readonly #sizeBytes: number | undefined;
  readonly #path: string;
  readonly #file: SharedFd;
  #hash: HashJob;
  #writtenBytes: number;
  /** The file's length: more than is written after a restart. */
  #lengthBytes: number;
  /** Writes and what must not overtake them, one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #state: 'open' | 'committing' | 'ended' = 'open';
  readonly #settled = Promise.withResolvers<void>();

  /** @throws {Error} of `node:fs`. */
  constructor(digest: Digest, sizeBytes: number | undefined, parts: IngestParts) {
    this.digest = digest;
    this.#sizeBytes = sizeBytes;
    this.#parts = parts;
    this.#path = parts.path;
    this.#file = new SharedFd(openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
    this.#lengthBytes = fstatSync(this.#file.fd).size;
    const resumable = resumableBytes(this.#lengthBytes);
    // More than there should be cannot be a beginning of it: overwritten from the start.
    this.resumedBytes = resumable > (sizeBytes ?? parts.maxBytes) ? 0 : resumable;
    this.#writtenBytes = this.resumedBytes;
    this.#hash = this.#newHash();
    this.#written(this.resumedBytes);
  }

  get fd(): number {
    return this.#file.fd;
  }
  get writtenBytes(): number {
    return this.#writtenBytes;
  }
  /** Resolves when it has been committed or given up; a look-up meanwhile waits for this. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }
  get isCommitting(): boolean {
    return this.#state === 'committing';
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#next(async () => {
      const bytes = bytesOf(chunks);
      if (this.#sizeBytes !== undefined && this.#writtenBytes + bytes > this.#sizeBytes)
        throw new IntegrityError(`More than the ${this.#sizeBytes} bytes of ${this.digest}`);
      await this.#reserve(this.#writtenBytes + bytes);
      await this.#write(chunks.filter(({length}) => length > 0));
    });
  }

  restart(): Promise<void> {
    // The file is not shortened: whoever reads it finds the bytes that are there, right or wrong, but never an end
    // where there was none. What is too much is cut off by `verify`.
    return this.#next(() => {
      this.#hash.drop();
      this.#hash = this.#newHash();
      this.#writtenBytes = 0;
      return Promise.resolve();
    });
  }

  verify(sizeBytes: number | undefined): Promise<void> {
    return this.#next(async () => {
      fault('store.verify');
      const hex = await this.#finishHash();
      const wanted = sizeBytes ?? this.#sizeBytes ?? this.#writtenBytes;
      if (hex !== splitDigest(this.digest).hex || this.#writtenBytes !== wanted)
        throw new IntegrityError(`Wanted ${this.digest} of ${wanted} bytes, got ${hex} of ${this.#writtenBytes}`);
      if (this.#lengthBytes > this.#writtenBytes) await truncate(this.fd, this.#writtenBytes);
      this.#lengthBytes = this.#writtenBytes;
    });
  }

  async commit(what: CommitAs): Promise<void> {
    let row: BlobRow;
    try {
      row = await this.#next(async () => {
        this.#state = 'committing';
        return await this.#publish(what);
      });
    } catch (error) {
      this.#end(0); // after a failed fsync the pages may be lost and marked clean: nothing to resume from
      throw error;
    }
    try {
      await this.#parts.indexed(row, what.children, what.link);
      fault('store.commit.indexed');
    } finally {
      this.#end(undefined);
    }
  }

  async abandon(keep: boolean): Promise<void> {
    if (this.#state !== 'open') return;
    await this.#queue;
    this.#end(keep ? this.#writtenBytes : 0);
  }

  retain(): () => void {
    return this.#file.retain();
  }

  /** Everything is on disk under its name when this resolves, in the order that survives a crash (design §5). */
  async #publish(what: CommitAs): Promise<BlobRow> {
    await setMode(this.fd, 0o444);
    await sync(this.fd);
    fault('store.commit.synced');
    await this.#parts.vacant(this.digest);
    const path = this.#parts.folder.blob(this.digest);
    await moveInto(this.#path, path);
    try {
      fault('store.commit.renamed');
      await syncFolder(dirname(path));
    } catch (error) {
      removeQuietly(path); // or it would be there without being counted
      throw error;
    }
    const stat = statFile(this.#file); // after the rename, which changes ctime
    return {
      digest: this.digest,
      kind: what.kind,
      sizeBytes: this.#writtenBytes,
      mediaType: what.mediaType,
      stamp: stampOf(stat),
    };
  }

  async #reserve(bytes: number): Promise<void> {
    if (bytes <= this.#parts.reservation.bytes()) return;
    const held = this.#parts.reservation.bytes();
    const step = this.#sizeBytes === undefined ? firstRoom(this.#parts.maxBytes, held) : GROW_BYTES;
    try {
      await this.#parts.reservation.grow(Math.min(this.#sizeBytes ?? Infinity, Math.max(bytes, held + step)));
    } catch (error) {
      if (!(error instanceof StoreFullError)) throw fullError(error);
      await this.#parts.reservation.grow(bytes); // a small rest may fit where a large step does not
    }
  }

  async #write(chunks: readonly Uint8Array[]): Promise<void> {
    for (let rest = chunks; rest.length > 0;) {
      const some = rest.slice(0, MAX_BUFFERS);
      const count = await this.#writeSome(some);
      rest = restAfter(rest, count);
      this.#written(this.#writtenBytes + count, count === bytesOf(some) ? some : []); // a part: hashed from the file
    }
  }

  async #writeSome(chunks: readonly Uint8Array[]): Promise<number> {
    for (let relieved = false; ; relieved = true) {
      try {
        fault('store.append');
        const {bytesWritten} = await writevAt(this.fd, chunks, this.#writtenBytes);
        if (bytesWritten > 0) return bytesWritten;
        throw Object.assign(new Error('ENOSPC: nothing was written'), {code: 'ENOSPC'});
      } catch (error) {
        const isFull = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
        if (!isFull || relieved || !(await this.#parts.relieve(GROW_BYTES))) throw fullError(error);
      }
    }
  }

  /** @param chunks the last of them. */
  #written(bytes: number, chunks: readonly Uint8Array[] = []): void {
    this.#writtenBytes = bytes;
    this.#lengthBytes = Math.max(this.#lengthBytes, bytes);
    this.#parts.reservation.wrote(bytes);
    if (bytes > 0) this.#hash.follow(bytes, chunks);
  }

  /** A hash thread that died is no reason to fetch the blob again. */
  async #finishHash(): Promise<string> {
    try {
      return await this.#hash.finish(this.#writtenBytes);
    } catch {
      this.#hash = this.#newHash();
      return await this.#hash.finish(this.#writtenBytes);
    }
  }

  #newHash(): HashJob {
    return this.#parts.pool.start(this.#file, splitDigest(this.digest).algorithm);
  }

  /** @param kept bytes that stay for a resume; 0 removes the file; `undefined`: it has another name now. */
  #end(kept: number | undefined): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#hash.drop();
    if (kept === 0) removeQuietly(this.#path);
    this.#parts.reservation.release();
    this.#file.release();
    this.#parts.ended(kept ?? 0);
    this.#settled.resolve();
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      if (this.#state !== 'open') throw new Error(`Ingest of ${this.digest} has ended`);
      return work();
    });
    this.#queue = result.catch(() => {}); // told to who asked for it
    return result;
  }
}

/**
 * How much of a left-over is used: all but its last byte. Where an earlier process was killed after the last byte
 * had come, the source is then still asked for something that exists (a range from the end on is a 416).
 */
export function resumableBytes(lengthBytes: number): number {
  return Math.max(0, lengthBytes - 1);
}

/** How much room to ask for beyond `bytes` where the size is not known. @param maxBytes of the whole cache. */
export function firstRoom(maxBytes: number, bytes = 0): number {
  return Math.min(GROW_BYTES, Math.max(FIRST_BYTES, bytes), Math.ceil(maxBytes / 16));
}

/** For the caller one thing: the disk cannot help. */
function fullError(error: unknown): StoreFullError {
  if (error instanceof StoreFullError) return error;
  return new StoreFullError('The blob cannot be written', {cause: error});
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone, or the disk is broken: then it is found again at the next start.
  }
}
