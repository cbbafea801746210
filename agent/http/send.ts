import type {ServerResponse} from 'node:http';
import type {Server, Socket} from 'node:net';
import {promisify} from 'node:util';
import {descriptorOf, listenerOf} from './client-socket.ts';
import type {Native} from './native.ts';
import {Semaphore} from '../../oci/semaphore.ts';
import type {Span} from './span.ts';
import {ClientGone, type Interrupted, type Sent, STALL_MS, Transfer} from './transfer.ts';

const nextTurn = promisify(setImmediate);

/** Of a file that is only looked at, what is counted in one go. */
const LOOK_BYTES = 2 << 20;
/** And so much before others have their turn: some hundred microseconds. */
const TURN_BYTES = 16 * LOOK_BYTES;

/** A part of a file, in bytes. */
export interface FilePart {
  readonly at: number;
  readonly length: number;
}

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

  /** Of connections that a listening server will accept. None of them may leave the machine: there is no network to spare. */
  neverPace(server: Server): void {
    const listener = listenerOf(server);
    if (listener !== undefined) this.#native?.ignoreCongestion(listener);
  }

  /**
   * Sends the span as the response's body; its head must have been written with its Content-Length. The response
   * is not ended.
   * @returns what failed in the middle, or `undefined` when all of it was sent.
   * @throws {ClientGone}, {WrongBytesError} and fs errors of reading.
   */
  async send(res: ServerResponse, span: Span, sent: Sent): Promise<Interrupted | undefined> {
    const socket = await socketOf(res);
    const transfer = new Transfer(socket, res, sent);
    this.#active.add(transfer);
    try {
      const from = await transfer.sendEarly(span);
      const plain = this.#native === undefined ? undefined : descriptorOf(socket);
      if (plain === undefined || this.#native === undefined) return await transfer.stream(span, from, this.#native);
      return await transfer.sendfile(span, from, this.#native, plain, this.#calls);
    } finally {
      this.#active.delete(transfer);
      transfer.dispose();
    }
  }

  /** The parts of a file that are not in the page cache as a whole; all of them where that cannot be told. */
  async missing(fd: number, sizeBytes: number): Promise<readonly FilePart[]> {
    const parts = [];
    for (let at = 0; at < sizeBytes; at += LOOK_BYTES) {
      const length = Math.min(LOOK_BYTES, sizeBytes - at);
      if (at > 0 && at % TURN_BYTES === 0) await nextTurn();
      if (this.#native?.resident(fd, at, length) !== true) parts.push({at, length});
    }
    return parts;
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
