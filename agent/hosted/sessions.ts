import {randomBytes} from 'node:crypto';
import {OciError} from '../../oci/error.ts';
import type {Algorithm} from '../../oci/digest.ts';
import type {Caller} from '../access/caller.ts';
import type {Driver, UploadBytes, UploadRecord} from './contract.ts';

/** Uploads that one user may have begun and not ended: each is a file. Beyond, the oldest that rests goes. */
const MAX_UPLOADS = 1_000;
/** A request whose client has sent nothing for so long makes way for another one of the same upload. */
const STALLED_MS = 5_000;

/** A request that is at an upload. */
interface Turn {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
  lastByteAt: number;
}

/** An upload while one request is at it. */
export interface OpenUpload {
  readonly record: UploadRecord;
  readonly bytes: UploadBytes;
  /** Aborted when another request of the same upload takes over. */
  readonly signal: AbortSignal;
  /** Bytes have come. */
  readonly progressed: () => void;
  /** It is not gone on with: it goes when the request lets go of it. */
  readonly over: () => void;
}

/** Uploads under way: whose they are, and one request at each at a time. */
export class Sessions {
  readonly #driver: Driver;
  readonly #now: () => number;
  readonly #turns = new Map<string, Turn>();
  /** User → ids that this process has begun and not ended, the oldest first; those of an earlier one expire. */
  readonly #begun = new Map<string, Set<string>>();

  constructor(driver: Driver, now: () => number) {
    this.#driver = driver;
    this.#now = now;
  }

  /** Requests that are at an upload now. */
  get active(): number {
    return this.#turns.size;
  }

  /** A user who begins more than so many and ends none loses the oldest, and keeps nobody else from pushing. */
  async begin(repository: string, caller: Caller, algorithm: Algorithm | undefined): Promise<UploadRecord> {
    const id = randomBytes(18).toString('base64url');
    const record = {id, repository, identity: caller.identity, algorithm, startedAt: this.#now()};
    const own = this.#begun.get(record.identity ?? '') ?? new Set();
    this.#begun.set(record.identity ?? '', own.add(id));
    const resting = own.size > MAX_UPLOADS ? [...own].find((one) => one !== id && !this.#turns.has(one)) : undefined;
    if (resting !== undefined) {
      own.delete(resting); // at once: who begins others meanwhile must not choose the same
      await this.#end(resting);
    }
    try {
      await this.#driver.metadata.putUpload(record);
    } catch (error) {
      own.delete(id);
      throw error;
    }
    return record;
  }

  /** @throws {OciError} BLOB_UPLOAD_UNKNOWN also for another's, or under another name. */
  async find(id: string, repository: string, caller: Caller): Promise<UploadRecord> {
    const record = await this.#driver.metadata.upload(id);
    if (record === undefined || record.repository !== repository || record.identity !== caller.identity)
      throw unknown();
    return record;
  }

  /**
   * Opens an upload for one request and closes it after. Another one that is getting ahead keeps it; one that hangs, as
   * after a broken connection, is cut off.
   * @throws {OciError} RANGE_INVALID if another one is at it. BLOB_UPLOAD_UNKNOWN if that has ended it.
   */
  async at<T>(record: UploadRecord, work: (upload: OpenUpload) => Promise<T>): Promise<T> {
    return await this.#alone(record, async (turn) => {
      const bytes = await this.#driver.content.upload(record.id, record.algorithm);
      let isOver = false;
      const progressed = (): void => {
        turn.lastByteAt = this.#now();
      };
      const over = (): void => {
        isOver = true;
      };
      try {
        return await work({record, bytes, signal: turn.abort.signal, progressed, over});
      } finally {
        await bytes.close();
        if (isOver) await this.#end(record.id);
      }
    });
  }

  /** @throws as `at` does. */
  async cancel(record: UploadRecord): Promise<void> {
    await this.#alone(record, async () => await this.#end(record.id));
  }

  /** Drops one unless a request is at it. @returns bytes freed. */
  async drop(id: string): Promise<number | undefined> {
    return this.#turns.has(id) ? undefined : await this.#end(id);
  }

  async #alone<T>(record: UploadRecord, work: (turn: Turn) => Promise<T>): Promise<T> {
    const {id} = record;
    for (let turn = this.#turns.get(id); turn !== undefined; turn = this.#turns.get(id)) {
      if (this.#now() - turn.lastByteAt < STALLED_MS)
        throw new OciError('RANGE_INVALID', 'Another request is at this upload');
      turn.abort.abort(new OciError('RANGE_INVALID', 'Another request went on with this upload'));
      await turn.ended;
    }
    const {promise: ended, resolve} = Promise.withResolvers<void>();
    const turn: Turn = {abort: new AbortController(), ended, lastByteAt: this.#now()};
    this.#turns.set(id, turn);
    try {
      // Who had it before may have ended it.
      if ((await this.#driver.metadata.upload(id)) === undefined) throw unknown();
      return await work(turn);
    } finally {
      this.#turns.delete(id);
      resolve();
    }
  }

  /** It became a blob, or is of no use. @returns bytes freed. */
  async #end(id: string): Promise<number> {
    const freed = await this.#driver.content.dropUpload(id);
    await this.#driver.metadata.removeUpload(id);
    for (const own of this.#begun.values()) own.delete(id);
    return freed;
  }
}

function unknown(): OciError {
  return new OciError('BLOB_UPLOAD_UNKNOWN', 'There is no such upload: it was ended, cancelled or has expired');
}
