import {read} from 'node:fs';
import {setTimeout as delay} from 'node:timers/promises';
import {promisify} from 'node:util';
import {newHash} from '../../oci/digest.ts';
import {IntegrityError, UpstreamError} from '../../oci/error.ts';
import type {Authority, BlobAnswer} from '../../oci/source.ts';
import {chunkReceived} from '../young.ts';
import {openFirst, type BlobPlan} from './plan.ts';

const readAsync = promisify(read);
const MAX_TRIES = 4;
const PREFIX_CHUNK = 1 << 20;

/** The beginning of a blob that is on disk already, when the disk filled up on the way. */
export interface Prefix {
  readonly fd: number;
  readonly bytes: number;
  /** What was sent before the disk had all of it, which it never had: then `bytes` is 0. */
  readonly early?: Uint8Array | undefined;
}

/**
 * A blob that passes through without being kept: for a full or broken disk, `cache: never`, and content whose
 * right to be shown must be proven by having it (design §4.3, §8). It is hashed here, on the serving thread: the
 * way of last resort. The last byte is withheld like a flight's.
 */
export class Through {
  readonly authority: Authority;
  readonly sizeBytes: number | undefined;
  /** Called once the bytes were right, before the last is given out. */
  proven: ((sizeBytes: number) => Promise<void>) | undefined;
  readonly #plan: BlobPlan;
  readonly #signal: AbortSignal;
  readonly #prefix: Prefix;
  readonly #received: (bytes: number) => void;
  #answer: BlobAnswer;

  private constructor(plan: BlobPlan, answer: BlobAnswer, options: Options) {
    this.#plan = plan;
    this.#answer = answer;
    this.#signal = options.signal;
    this.#prefix = options.prefix ?? {fd: -1, bytes: 0};
    this.#received = options.received;
    this.authority = answer.authority;
    this.sizeBytes = answer.sizeBytes;
  }

  /** Resolves when the first source has answered. @throws {UpstreamError} */
  static async open(plan: BlobPlan, options: Options): Promise<Through> {
    const {early, bytes = 0} = options.prefix ?? {};
    const {answer} = await openFirst(plan, early?.length ?? bytes, options.signal);
    return new Through(plan, answer, options);
  }

  /** Gives up before `bytes` was read. */
  close(): void {
    this.#answer.body.destroy();
  }

  /**
   * The whole blob. With a known size the last byte comes only after the digest was right; without, the
   * generator returns only then.
   * @throws {UpstreamError | IntegrityError}
   */
  async *bytes(): AsyncGenerator<Uint8Array> {
    const {digest} = this.#plan;
    const hash = newHash(digest);
    let at = 0;
    let held: Uint8Array | undefined;
    for await (const chunk of this.#raw()) {
      chunkReceived(chunk.length);
      hash.update(chunk);
      at += chunk.length;
      if (this.sizeBytes !== undefined && at > this.sizeBytes)
        throw new IntegrityError(`${digest} is longer than the ${this.sizeBytes} bytes that were announced`);
      if (at !== this.sizeBytes) yield chunk;
      else {
        held = chunk.subarray(-1);
        if (chunk.length > 1) yield chunk.subarray(0, -1);
      }
    }
    const actual = `${digest.slice(0, digest.indexOf(':'))}:${hash.digest('hex')}`;
    if (actual !== digest || (this.sizeBytes !== undefined && at !== this.sizeBytes))
      throw new IntegrityError(`Wanted ${digest} of ${this.sizeBytes ?? 'any'} bytes, got ${actual} of ${at}`);
    await this.proven?.(at);
    if (held !== undefined) yield held;
  }

  async *#raw(): AsyncGenerator<Uint8Array> {
    const {early} = this.#prefix;
    let at = early?.length ?? 0;
    if (early !== undefined) yield early;
    for (; at < this.#prefix.bytes;) {
      const length = Math.min(PREFIX_CHUNK, this.#prefix.bytes - at);
      const {bytesRead, buffer} = await readAsync(this.#prefix.fd, Buffer.allocUnsafe(length), 0, length, at);
      if (bytesRead === 0) throw new UpstreamError('down', this.#plan.name.registry, 'The beginning on disk is gone');
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    for (let tries = 0; ;) {
      const before = at;
      try {
        for await (const chunk of rest(this.#answer, at)) {
          this.#received(chunk.length);
          at += chunk.length;
          yield chunk;
        }
        if (this.sizeBytes === undefined || at >= this.sizeBytes) return;
        throw new UpstreamError('down', this.#plan.name.registry, 'The blob ended before its length');
      } catch (error) {
        this.#answer.body.destroy();
        this.#signal.throwIfAborted();
        tries = at > before ? 1 : tries + 1;
        if (tries >= MAX_TRIES) throw error;
        if (tries > 1) await delay(200 * 2 ** tries * (0.5 + Math.random()), undefined, {signal: this.#signal});
        this.#answer = (await openFirst(this.#plan, at, this.#signal)).answer;
      }
    }
  }
}

interface Options {
  readonly signal: AbortSignal;
  readonly prefix?: Prefix;
  /** Called with the bytes that came from a source. */
  readonly received: (bytes: number) => void;
}

/** What of an answer comes at or after `at`: a source may have ignored the range. */
async function* rest(answer: BlobAnswer, at: number): AsyncGenerator<Uint8Array> {
  let skip = at - answer.offset;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    if (skip >= chunk.length) skip -= chunk.length;
    else {
      yield skip > 0 ? chunk.subarray(skip) : chunk;
      skip = 0;
    }
  }
}
