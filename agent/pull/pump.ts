import type {Readable} from 'node:stream';
import type {LendingBody} from '../../oci/http1.ts';
import {slabs} from '../../oci/slabs.ts';
import {chunkReceived} from '../young.ts';

export interface PumpOptions {
  /** Bytes at the beginning that are not wanted. */
  readonly skipBytes: number;
  /** How much may wait while `write` is at work: asked for each chunk, for it may change. With 0 nothing is read then. */
  readonly bufferBytes: () => number;
  readonly signal: AbortSignal;
  /** Names what broke the body; called without an error when it just closed. */
  readonly broken: (error: Error | undefined) => Error;
  /** The chunks may be lent: they are valid until the promise has settled, or for as long as somebody else holds them. */
  readonly write: (batch: readonly Uint8Array[], bytes: number) => Promise<void>;
}

/**
 * Reads a body to its end and writes it in batches: chunks gather while the ones before are written, and the body is
 * held back when too many wait.
 * @throws what `broken` makes of it, what `write` throws, and the signal's reason.
 */
export async function pump(body: Readable, options: PumpOptions): Promise<void> {
  const {signal, write} = options;
  const queue = new Queue(body, options);
  const stop = (): void => void body.destroy(); // a body that stalls says nothing for long: its end wakes the loop
  signal.addEventListener('abort', stop, {once: true});
  try {
    for (;;) {
      signal.throwIfAborted();
      const batch = queue.take();
      if (batch !== undefined) await write(batch.chunks, batch.bytes).finally(() => slabs.giveBack(batch.chunks));
      else if (queue.over === undefined) await queue.moved();
      else break;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    body.destroy(); // also where writing failed
    queue.drop();
  }
  if (queue.over !== 'end') throw queue.over;
}

/** What has arrived and is not written yet. */
class Queue {
  readonly #body: Readable;
  readonly #bufferBytes: () => number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #dropped = false;
  #moved = Promise.withResolvers<void>();
  /** How the body ended; what is queued comes before it. */
  over: Error | 'end' | undefined;

  constructor(body: Readable, {skipBytes, bufferBytes, broken}: PumpOptions) {
    this.#body = body;
    this.#bufferBytes = bufferBytes;
    let skip = skipBytes;
    if ('lends' in body) (body as LendingBody).lends = true;
    body.on('data', (chunk: Uint8Array) => {
      chunkReceived(slabs.offsetOf(chunk) === undefined ? chunk.length : 0);
      const part = skip > 0 ? chunk.subarray(Math.min(skip, chunk.length)) : chunk;
      skip = Math.max(0, skip - chunk.length);
      if (part.length === 0 || this.#dropped) return slabs.giveBack([chunk]);
      this.#chunks.push(part);
      this.#bytes += part.length;
      if (this.#bytes >= bufferBytes()) body.pause();
      this.#moved.resolve();
    });
    body.once('end', () => this.#end('end'));
    body.once('error', (error: Error) => this.#end(broken(error)));
    body.once('close', () => this.#end(broken(undefined)));
    // It may have broken before anybody listened, and does not say so again.
    if (body.destroyed) this.#end(broken(body.errored ?? undefined));
  }

  take(): {chunks: Uint8Array[]; bytes: number} | undefined {
    if (this.#chunks.length === 0) return undefined;
    const taken = {chunks: this.#chunks, bytes: this.#bytes};
    this.#chunks = [];
    this.#bytes = 0;
    if (this.#bufferBytes() > 0) this.#goOn();
    return taken;
  }

  /** What is queued will not be written. */
  drop(): void {
    this.#dropped = true;
    slabs.giveBack(this.#chunks);
    this.#chunks = [];
  }

  /** With nothing left to take. */
  async moved(): Promise<void> {
    this.#goOn();
    await this.#moved.promise;
    this.#moved = Promise.withResolvers();
  }

  #goOn(): void {
    if (this.#body.isPaused()) this.#body.resume();
  }

  #end(how: Error | 'end'): void {
    this.over ??= how;
    this.#moved.resolve();
  }
}
