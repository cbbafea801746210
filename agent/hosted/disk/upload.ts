import {constants, fstatSync, ftruncate, openSync, writev} from 'node:fs';
import {promisify} from 'node:util';
import {type Algorithm, type Digest, splitDigest} from '../../../oci/digest.ts';
import {IntegrityError} from '../../../oci/error.ts';
import {fault} from '../../../proc/fault.ts';
import {StoreFullError} from '../../store/contract.ts';
import {restAfter} from '../../store/chunks.ts';
import type {HashJob, HashPool} from '../../store/hash-pool.ts';
import {SharedFd} from '../../store/shared-fd.ts';
import type {LetGo, UploadBytes} from '../contract.ts';
import type {DiskSpace} from './space.ts';

const [writevAt, truncate] = [promisify(writev), promisify(ftruncate)];
/** writev(2) takes no more buffers than this (IOV_MAX). */
const MAX_BUFFERS = 1024;

export interface DiskUploadParts {
  readonly path: string;
  readonly algorithm: Algorithm;
  pool(): HashPool;
  readonly space: DiskSpace;
  /** Puts the file into its place among the blobs. @returns what holds it there. */
  publish(digest: Digest, path: string, file: SharedFd, mayDiscard: boolean): Promise<LetGo>;
  /** The request is over; the file may be wanted by the next one. */
  closed(upload: DiskUpload): void;
}

/** The file of one upload. It stays open, and its hash where it is, from one request to the next. */
export class DiskUpload implements UploadBytes {
  readonly #parts: DiskUploadParts;
  readonly #file: SharedFd;
  /** Follows the writer from the first byte of this process on. */
  #hash: HashJob | undefined;
  #offset: number;
  #ended = false;

  /** Goes on where the file ends. @throws {Error} of `node:fs`. */
  constructor(parts: DiskUploadParts) {
    this.#parts = parts;
    this.#file = new SharedFd(openSync(parts.path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
    this.#offset = fstatSync(this.#file.fd).size;
  }

  get offset(): number {
    return this.#offset;
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    for (let rest = chunks; rest.length > 0;) {
      const some = rest.slice(0, MAX_BUFFERS);
      const count = await this.#write(some);
      this.#offset += count;
      (this.#hash ??= this.#newHash()).follow(this.#offset);
      rest = restAfter(rest, count);
    }
  }

  async rewind(offset: number): Promise<void> {
    if (offset >= this.#offset) return;
    await truncate(this.#file.fd, offset);
    this.#offset = offset;
    this.#hash?.drop();
    this.#hash = undefined;
  }

  async commit(digest: Digest, mayTell: boolean): Promise<LetGo> {
    const hex = await this.#finishHash(splitDigest(digest).algorithm);
    fault('hosted.upload.hashed');
    if (hex !== splitDigest(digest).hex)
      throw new IntegrityError(`The upload's ${this.#offset} bytes have another digest than ${digest}`);
    return await this.#parts.publish(digest, this.#parts.path, this.#file, mayTell);
  }

  close(): Promise<void> {
    this.#parts.closed(this);
    return Promise.resolve();
  }

  /** Lets the file go; what is there stays. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hash?.drop();
    this.#file.release();
  }

  async #write(chunks: readonly Uint8Array[]): Promise<number> {
    const bytes = chunks.reduce((sum, {length}) => sum + length, 0);
    await this.#parts.space.expect(bytes);
    for (let relieved = false; ; relieved = true) {
      try {
        fault('hosted.upload.append');
        const {bytesWritten} = await writevAt(this.#file.fd, chunks, this.#offset);
        if (bytesWritten > 0 || bytes === 0) return bytesWritten;
        throw Object.assign(new Error('ENOSPC: nothing was written'), {code: 'ENOSPC'});
      } catch (error) {
        const isFull = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
        if (!isFull) throw error;
        if (relieved || !(await this.#parts.space.relieve(bytes)))
          throw new StoreFullError('The disk of this registry is full', {cause: error});
      }
    }
  }

  /** Of another algorithm than was followed: the file is read once more. */
  async #finishHash(algorithm: Algorithm): Promise<string> {
    const hash = this.#hash;
    if (hash !== undefined && algorithm === this.#parts.algorithm) {
      this.#hash = undefined;
      const hex = await hash.finish(this.#offset).catch(() => undefined); // the thread died: no reason to upload again
      if (hex !== undefined) return hex;
    }
    return await this.#parts.pool().hashFile(this.#file, algorithm, this.#offset);
  }

  #newHash(): HashJob {
    return this.#parts.pool().start(this.#file, this.#parts.algorithm);
  }
}
