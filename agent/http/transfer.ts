import {closeSync, read, readSync} from 'node:fs';
import type {ServerResponse} from 'node:http';
import type {Socket} from 'node:net';
import {promisify} from 'node:util';
import type {Semaphore} from '../../oci/semaphore.ts';
import {BLOCK_BYTES} from '../store/sums.ts';
import type {Native} from './native.ts';
import {Pieces} from './pieces.ts';
import type {Span} from './span.ts';

const readAsync = promisify(read);
const nextTurn = promisify(setImmediate);

/** Goes with the head; most configs and many layers are no larger. */
const FIRST_BYTES = 64 << 10;
/** One ordinary write, with which libuv finds out what is the matter with a socket. */
const WAIT_BYTES = 16 << 10;
/** One call of sendfile(2): about what fills a socket, and short enough that clients take turns. */
const SENDFILE_BYTES = 2 << 20;
/** Without sendfile, and of what is checked: what a client holds in memory. */
const STREAM_BYTES = BLOCK_BYTES;
/** From small to large: a client that waits holds no more than it is sent. */
const PIECES = [new Pieces(WAIT_BYTES), new Pieces(FIRST_BYTES), new Pieces(STREAM_BYTES)] as const;
/** A client that takes nothing for this long has gone: containerd itself gives up after five minutes (P-01). */
export const STALL_MS = 300_000;

/** The client left, or took nothing for too long. Nothing more can be sent, and nothing is wrong. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** What was read from the disk is not what was proven. Nothing of it was sent. */
export class WrongBytesError extends Error {
  override readonly name = 'WrongBytesError';
}

/** How a sending ended before its end: the file's source failed. `at` is where the client is. */
export interface Interrupted {
  readonly at: number;
  readonly failure: Error;
}

/**
 * Bytes from `at` on were handed to the kernel.
 * @param sound they are known to have been in the page cache before, or were checked.
 */
export type Sent = (bytes: number, sound: boolean, at: number) => void;

/** One response on its way. */
export class Transfer {
  readonly #socket: Socket;
  readonly #res: ServerResponse;
  readonly #sent: Sent;
  readonly #onClose = (): void => {
    this.#isGone = true;
    this.#interrupt?.();
    this.#shutdown?.();
  };
  #interrupt: (() => void) | undefined;
  #isGone = false;
  #shutdown: (() => void) | undefined;
  #started = false;
  /** When the client last took something; `undefined` while it is us who have nothing. */
  #waitingSince: number | undefined;

  constructor(socket: Socket, res: ServerResponse, sent: Sent) {
    this.#socket = socket;
    this.#res = res;
    this.#sent = sent;
    if (socket.destroyed) this.#onClose();
    else socket.once('close', this.#onClose);
  }

  dispose(): void {
    this.#socket.off('close', this.#onClose);
  }

  checkStall(): void {
    if (this.#waitingSince !== undefined && performance.now() - this.#waitingSince > STALL_MS) this.#socket.destroy();
  }

  async drained(): Promise<void> {
    const drain = Promise.withResolvers<void>();
    this.#res.once('drain', drain.resolve);
    try {
      await this.#patiently(drain.promise);
    } finally {
      this.#res.off('drain', drain.resolve);
    }
  }

  /** Sends what may leave before the file has it. @returns from where on the file is to be sent. */
  async sendEarly(span: Span): Promise<number> {
    const {start, end} = span;
    if (start < end) await this.#available(span, start); // a failure is met again by what goes on from here
    const early = earlyAt(span, start);
    if (early === undefined) return start;
    await this.#writeBytes(early);
    this.#sent(early.length, true, start);
    return start + early.length;
  }

  /** Reads and writes; the way without a plain descriptor. */
  async stream(span: Span, from: number, native: Native | undefined): Promise<Interrupted | undefined> {
    for (let at = from; at < span.end;) {
      const stop = await this.#available(span, at);
      if (stop !== undefined) return stop;
      const length = Math.min(span.limit() - at, STREAM_BYTES);
      const inMemory = native?.resident(span.fd, at, length) ?? false;
      at += isSound(span, at, length, inMemory)
        ? await this.#writePiece(span, at, length, inMemory)
        : await this.#writeChecked(span, at, native);
    }
    this.#head();
    return undefined;
  }

  /**
   * By sendfile(2) on a duplicate of the socket's descriptor: libuv may close its own at any time, and the number
   * would be somebody else's (design §4.4). When the socket is full, `Readiness` waits for room; where there was none
   * after all, an ordinary write does: it tells errors.
   */
  async sendfile(
    span: Span,
    from: number,
    native: Native,
    descriptor: number,
    calls: Semaphore,
  ): Promise<Interrupted | undefined> {
    const out = native.dup(descriptor);
    if (out < 0) return this.stream(span, from, native);
    this.#shutdown = () => {
      native.shutdown(out);
    };
    if (this.#isGone) this.#shutdown();
    try {
      return await this.#pump(span, from, out, native, calls);
    } finally {
      this.#shutdown = undefined;
      native.readiness.forget(out);
      closeSync(out); // no call is under way: each was awaited
    }
  }

  async #pump(
    span: Span,
    from: number,
    out: number,
    native: Native,
    calls: Semaphore,
  ): Promise<Interrupted | undefined> {
    let refused = false; // the last call moved nothing: the socket was full, or there is an error
    // The first goes with the head, by an ordinary write: nothing may overtake the head.
    let piece = from === span.start ? FIRST_BYTES : 0;
    for (let at = from; at < span.end;) {
      const stop = await this.#available(span, at);
      if (stop !== undefined) return stop;
      const length = Math.min(span.limit() - at, SENDFILE_BYTES);
      const inMemory = native.resident(span.fd, at, length);
      if (!isSound(span, at, length, inMemory)) {
        at += await this.#writeChecked(span, at, native);
        piece = 0;
        continue;
      }
      if (piece > 0 || length <= WAIT_BYTES) {
        at += await this.#writePiece(span, at, Math.max(piece, WAIT_BYTES), inMemory);
        piece = 0;
        continue;
      }
      // From memory it takes less time than handing it to a thread would (docs/performance.md); the disk is waited for there.
      const sent = inMemory
        ? native.sendfileNow(out, span.fd, at, length)
        : await calls.run(() => native.sendfile(out, span.fd, at, length));
      if (this.#isGone) throw new ClientGone('The client left');
      if (sent > 0) {
        this.#sent(sent, inMemory, at);
        at += sent;
      }
      const isStuck = refused && sent <= 0;
      refused = sent <= 0;
      if (sent === length) {
        if (inMemory) await nextTurn(); // a client that takes all we give must not have the loop for itself
        continue;
      }
      const room = isStuck ? undefined : this.#room(native, out);
      if (room === undefined) piece = WAIT_BYTES;
      else await room;
      this.#waitingSince = undefined;
    }
    this.#head();
    return undefined;
  }

  /** Until the socket takes more; `undefined` where the system does not tell. One promise: this is what clients mostly wait for. */
  #room(native: Native, out: number): Promise<void> | undefined {
    const {promise, resolve, reject} = Promise.withResolvers<void>();
    if (!native.readiness.watch(out, resolve)) return undefined;
    this.#waitingSince = performance.now();
    this.#interrupt = () => {
      reject(new ClientGone('The client left'));
    };
    return promise;
  }

  /** Waits until something may leave; sends the head meanwhile. */
  async #available(span: Span, at: number): Promise<Interrupted | undefined> {
    while (at >= span.limit() && earlyAt(span, at) === undefined) {
      const failure = span.failure();
      if (failure !== undefined) return {at, failure};
      this.#head();
      await this.#until(span.moved());
    }
    return undefined;
  }

  #head(): void {
    if (this.#started) return;
    this.#started = true;
    this.#res.flushHeaders();
  }

  async #writePiece(span: Span, at: number, most: number, inMemory: boolean): Promise<number> {
    const length = Math.min(span.limit() - at, most);
    const pieces = PIECES.find(({bytes}) => bytes >= length) ?? PIECES[2];
    const buffer = pieces.take();
    const bytesRead = inMemory
      ? readSync(span.fd, buffer, 0, length, at)
      : (await readAsync(span.fd, buffer, 0, length, at)).bytesRead;
    if (bytesRead === 0) throw new Error('The file is shorter than the index says');
    await this.#writeBytes(buffer.subarray(0, bytesRead));
    pieces.giveBack(buffer); // all of it is with the kernel, or encrypted; after an error it is left to V8
    this.#sent(bytesRead, inMemory, at);
    return bytesRead;
  }

  /** What is left of the block that `at` is in. Checked are the very bytes that leave, not what a later read may bring. */
  async #writeChecked({fd, end, checks}: Span, at: number, native: Native | undefined): Promise<number> {
    const block = Math.floor(at / BLOCK_BYTES);
    const start = block * BLOCK_BYTES;
    const length = Math.min(BLOCK_BYTES, end - start);
    const buffer = PIECES[2].take();
    const inMemory = native?.resident(fd, start, length) ?? false;
    const {bytesRead} = await readAsync(fd, buffer, 0, length, start);
    const bytes = buffer.subarray(0, bytesRead);
    if (bytesRead < length || checks?.check(block, bytes, inMemory) !== true)
      throw new WrongBytesError('The blob on disk has another digest than it had');
    await this.#writeBytes(bytes.subarray(at - start));
    PIECES[2].giveBack(buffer);
    this.#sent(start + length - at, true, at);
    return start + length - at;
  }

  async #writeBytes(bytes: Uint8Array): Promise<void> {
    if (this.#isGone) throw new ClientGone('The client left');
    const written = Promise.withResolvers<void>();
    this.#socket.cork();
    this.#head();
    // Not through the response: sendfile(2) goes around it, too. The Content-Length frames the body.
    this.#socket.write(bytes, (error) => {
      if (error) written.reject(new ClientGone('The client left', {cause: error}));
      else written.resolve();
    });
    this.#socket.uncork();
    await this.#patiently(written.promise);
  }

  async #patiently(promise: Promise<void>): Promise<void> {
    this.#waitingSince = performance.now();
    try {
      await this.#until(promise);
    } finally {
      this.#waitingSince = undefined;
    }
  }

  /** Waits for something, or for the client's leaving. Not by a race with one long-lived promise: that would keep every round. */
  async #until(promise: Promise<void>): Promise<void> {
    if (this.#isGone) throw new ClientGone('The client left');
    await new Promise<void>((resolve, reject) => {
      this.#interrupt = () => {
        reject(new ClientGone('The client left'));
      };
      promise.then(resolve, reject);
    });
  }
}

/** What may leave of a span's beginning before its file has it. */
function earlyAt(span: Span, at: number): Uint8Array | undefined {
  const early = at === span.start ? span.early?.() : undefined;
  return early === undefined || early.length === 0 ? undefined : early;
}

function isSound({checks}: Span, at: number, length: number, inMemory: boolean): boolean {
  return checks === undefined || (inMemory && checks.isSound(at, length));
}
