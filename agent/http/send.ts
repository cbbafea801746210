import {closeSync, read, readSync} from 'node:fs';
import type {ServerResponse} from 'node:http';
import type {Socket} from 'node:net';
import {promisify} from 'node:util';
import {descriptorOf, isLocal} from './client-socket.ts';
import type {Native} from './native.ts';
import {Pieces} from './pieces.ts';
import {Semaphore} from '../../oci/semaphore.ts';
import type {Span} from './span.ts';

const readAsync = promisify(read);
const nextTurn = promisify(setImmediate);

/** Goes with the head; most configs and many layers are no larger. */
const FIRST_BYTES = 64 << 10;
/** One ordinary write, with which libuv finds out when the socket has room again. */
const WAIT_BYTES = 16 << 10;
/** One call of sendfile(2): about what fills a socket, and short enough that clients take turns. */
const SENDFILE_BYTES = 2 << 20;
/** Without sendfile: what a client holds in memory. */
const STREAM_BYTES = 256 << 10;
/** From small to large: a client that waits holds no more than it is sent. */
const PIECES = [new Pieces(WAIT_BYTES), new Pieces(FIRST_BYTES), new Pieces(STREAM_BYTES)] as const;
/** Of a file that is only looked at, what is counted in one go: some hundred microseconds. */
const LOOK_BYTES = 32 << 20;
/** A client that takes nothing for this long has gone: containerd itself gives up after five minutes (P-01). */
const STALL_MS = 300_000;

/** The client left, or took nothing for too long. Nothing more can be sent, and nothing is wrong. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** How a sending ended before its end: the file's source failed. `at` is where the client is. */
export interface Interrupted {
  readonly at: number;
  readonly failure: Error;
}

/** Bytes were handed to the kernel. @param fromMemory they are known to have been in the page cache before. */
export type Sent = (bytes: number, fromMemory: boolean) => void;

/**
 * Sends parts of files. Whole blobs go by sendfile(2) from the page cache, not through JavaScript (design §4.4);
 * where the socket has no plain descriptor (TLS, other platforms) by reads and writes.
 */
export class Sender {
  readonly #native: Native | undefined;
  /** Calls in the thread pool: some threads stay free for stat, open and DNS (design §2, measured traps). */
  readonly #calls: Semaphore;
  /** By response: what makes slow clients few is seen here. */
  readonly #active = new Set<Transfer>();
  readonly #sweep: NodeJS.Timeout;

  constructor(options: {readonly native: Native | undefined; readonly threads: number}) {
    this.#native = options.native;
    this.#calls = new Semaphore(Math.max(2, options.threads - 4));
    this.#sweep = setInterval(() => {
      for (const transfer of this.#active) transfer.checkStall();
    }, STALL_MS / 10);
    this.#sweep.unref();
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  /**
   * Sends the span as the response's body; its head must have been written with its Content-Length. The response
   * is not ended.
   * @returns what failed in the middle, or `undefined` when all of it was sent.
   * @throws {ClientGone} and fs errors of reading.
   */
  async send(res: ServerResponse, span: Span, sent: Sent): Promise<Interrupted | undefined> {
    const socket = await socketOf(res);
    const transfer = new Transfer(socket, res, sent);
    this.#active.add(transfer);
    try {
      const plain = this.#native === undefined ? undefined : descriptorOf(socket);
      if (plain === undefined || this.#native === undefined)
        return await transfer.stream(span, span.start, this.#native);
      // Only for one alone: of several, what is sent and not yet taken would not fit into the processor's cache.
      if (this.#active.size === 1 && span.end - span.start > SENDFILE_BYTES && isLocal(socket))
        this.#native.ignoreCongestion(plain);
      return await transfer.sendfile(span, this.#native, plain, this.#calls);
    } finally {
      this.#active.delete(transfer);
      transfer.dispose();
    }
  }

  /** Whether all of a file is in the page cache; `false` where that cannot be told. */
  async inMemory(fd: number, sizeBytes: number): Promise<boolean> {
    for (let at = 0; at < sizeBytes; at += LOOK_BYTES) {
      if (at > 0) await nextTurn();
      if (this.#native?.resident(fd, at, Math.min(LOOK_BYTES, sizeBytes - at)) !== true) return false;
    }
    return true;
  }

  /** Writes bytes that come from elsewhere, at the pace of the client. @throws {ClientGone} */
  async write(res: ServerResponse, bytes: Uint8Array): Promise<void> {
    if (res.destroyed || res.socket?.destroyed === true) throw new ClientGone('The client left');
    if (res.write(bytes)) return;
    const socket = await socketOf(res);
    const transfer = new Transfer(socket, res, () => undefined);
    this.#active.add(transfer);
    try {
      await transfer.drained();
    } finally {
      this.#active.delete(transfer);
      transfer.dispose();
    }
  }
}

/** One response on its way. */
class Transfer {
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

  /** Reads and writes; the way without a plain descriptor. */
  async stream(span: Span, from: number, native: Native | undefined): Promise<Interrupted | undefined> {
    for (let at = from; at < span.end;) {
      const stop = await this.#available(span, at);
      if (stop !== undefined) return stop;
      const length = Math.min(span.limit() - at, STREAM_BYTES);
      at += await this.#writePiece(span, at, length, native?.resident(span.fd, at, length) ?? false);
    }
    this.#head();
    return undefined;
  }

  /**
   * By sendfile(2) on a duplicate of the socket's descriptor: libuv may close its own at any time, and the number
   * would be somebody else's (design §4.4). When the socket is full, an ordinary write waits for room; so it does
   * for errors, which it tells better.
   */
  async sendfile(span: Span, native: Native, descriptor: number, calls: Semaphore): Promise<Interrupted | undefined> {
    const out = native.dup(descriptor);
    if (out < 0) return this.stream(span, span.start, native);
    this.#shutdown = () => {
      native.shutdown(out);
    };
    if (this.#isGone) this.#shutdown();
    try {
      return await this.#pump(span, out, native, calls);
    } finally {
      this.#shutdown = undefined;
      closeSync(out); // no call is under way: each was awaited
    }
  }

  async #pump(span: Span, out: number, native: Native, calls: Semaphore): Promise<Interrupted | undefined> {
    let piece = FIRST_BYTES; // the first goes with the head, by an ordinary write: nothing may overtake the head
    for (let at = span.start; at < span.end;) {
      const stop = await this.#available(span, at);
      if (stop !== undefined) return stop;
      const length = Math.min(span.limit() - at, SENDFILE_BYTES);
      const inMemory = native.resident(span.fd, at, length);
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
        this.#sent(sent, inMemory);
        at += sent;
      }
      if (sent < length) piece = WAIT_BYTES;
      else if (inMemory) await nextTurn(); // a client that takes all we give must not have the loop for itself
    }
    this.#head();
    return undefined;
  }

  /** Waits until something may leave; sends the head meanwhile. */
  async #available(span: Span, at: number): Promise<Interrupted | undefined> {
    while (at >= span.limit()) {
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
    if (this.#isGone) throw new ClientGone('The client left');
    const written = Promise.withResolvers<void>();
    this.#socket.cork();
    this.#head();
    // Not through the response: sendfile(2) goes around it, too. The Content-Length frames the body.
    this.#socket.write(buffer.subarray(0, bytesRead), (error) => {
      if (error) written.reject(new ClientGone('The client left', {cause: error}));
      else written.resolve();
    });
    this.#socket.uncork();
    await this.#patiently(written.promise);
    pieces.giveBack(buffer); // all of it is with the kernel, or encrypted; after an error it is left to V8
    this.#sent(bytesRead, inMemory);
    return bytesRead;
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

/** The response's socket; a pipelined request gets it when the answers before it have left. */
async function socketOf(res: ServerResponse): Promise<Socket> {
  if (res.socket !== null) return res.socket;
  if (res.destroyed || res.closed) throw new ClientGone('The client left');
  const {promise, resolve, reject} = Promise.withResolvers<Socket>();
  const closed = (): void => {
    reject(new ClientGone('The client left'));
  };
  res.once('socket', resolve);
  res.once('close', closed);
  try {
    return await promise;
  } finally {
    res.off('socket', resolve);
    res.off('close', closed);
  }
}
