import type {Socket} from 'node:net';

/** What one read(2) may bring. Larger ones took no less time (docs/performance.md). */
export const SLAB_BYTES = 256 << 10;
/** All of them together; what nobody has used yet is not there for the kernel either. */
const SLABS = 32;
/** What a socket reads into until it is seen to bring more at once: as much as Node gives it by itself. */
const PLAIN_BYTES = 64 << 10;

/** A piece of the shared memory: free when no socket may still bring something of it and nobody holds a part. */
interface Slab {
  readonly bytes: Buffer;
  /** The one whose socket may still bring something of it. */
  reader: SlabReader | undefined;
  holds: number;
}

/**
 * Memory that large bodies are read into, used again and again. A new buffer for each read is memory that has to be
 * found, faulted in and collected: half of what receiving took (docs/performance.md). It is shared with the threads that
 * hash, which are told of places in it and copy nothing.
 *
 * A chunk in it is valid while somebody holds it: whoever is lent one calls `hold`, and `giveBack` when done with it. A
 * forgotten hold costs a slab, and with all of them lost the speed; a chunk is never overwritten while it is held.
 */
export class Slabs {
  #shared: SharedArrayBuffer | undefined;
  readonly #all: Slab[] = [];
  /** The last one used is used next: its bytes are in the processor's cache. */
  readonly #free: Slab[] = [];

  /** For threads. */
  get shared(): SharedArrayBuffer {
    return (this.#shared ??= new SharedArrayBuffer(SLABS * SLAB_BYTES));
  }
  /** How many are in use. */
  get busy(): number {
    return this.#all.length - this.#free.length;
  }

  /** For a socket to read into; `undefined` when all are in use. The caller calls `parsed` once. */
  take(reader: SlabReader): Buffer | undefined {
    const slab = this.#free.pop() ?? this.#another();
    if (slab !== undefined) slab.reader = reader;
    return slab?.bytes;
  }

  /** Whose socket brought the chunk. `undefined` where that is not known, and not worth to be. */
  readerOf(chunk: Uint8Array): SlabReader | undefined {
    return this.#of(chunk)?.reader ?? readers.get(chunk.buffer);
  }

  /** Nothing of what was read into it is on its way any more: what is left of it is held. */
  parsed(bytes: Buffer): void {
    const slab = this.#of(bytes);
    if (slab === undefined) return;
    slab.reader = undefined;
    this.#rest(slab);
  }

  /** Where a chunk lies in `shared`; `undefined` for one that is memory of its own. */
  offsetOf(chunk: Uint8Array): number | undefined {
    return chunk.buffer === this.#shared ? chunk.byteOffset : undefined;
  }

  hold(chunk: Uint8Array): void {
    const slab = this.#of(chunk);
    if (slab !== undefined) slab.holds++;
  }

  /** Does nothing for chunks that are memory of their own. */
  giveBack(chunks: Iterable<Uint8Array>): void {
    for (const chunk of chunks) {
      const slab = this.#of(chunk);
      if (slab === undefined) continue;
      slab.holds--;
      this.#rest(slab);
    }
  }

  #of(chunk: Uint8Array): Slab | undefined {
    const offset = this.offsetOf(chunk);
    return offset === undefined ? undefined : this.#all[Math.floor(offset / SLAB_BYTES)];
  }

  #rest(slab: Slab): void {
    if (slab.reader === undefined && slab.holds === 0) this.#free.push(slab);
  }

  #another(): Slab | undefined {
    const count = this.#all.length;
    if (count === SLABS) return undefined;
    const slab = {bytes: Buffer.from(this.shared, count * SLAB_BYTES, SLAB_BYTES), reader: undefined, holds: 0};
    this.#all.push(slab);
    return slab;
  }
}

/** Of this process: all sockets and hash threads have the same. */
export const slabs = new Slabs();

/** The memory of a chunk that a socket brought → its reader. */
const readers = new WeakMap<ArrayBufferLike, SlabReader>();

/**
 * What a socket reads into: a slab while nothing but a body can come and each read brings much, else memory as Node would
 * take it. Parsers keep parts of a head until they have all of it: they must not find something else there.
 * @see net.Socket, option `onread`
 */
export class SlabReader {
  readonly #slabs: Slabs;
  #socket: Socket | undefined;
  #next: Buffer;
  /** What the socket has read and may not have handed on yet. */
  #unparsed: Buffer[] = [];
  /** So many bytes of a body are sure to come before anything else. */
  #bodyBytes = 0;

  constructor(from: Slabs) {
    this.#slabs = from;
    this.#next = this.#plain();
  }

  /** For `net.connect`; Node calls `callback` on the socket, then `buffer`. */
  get onread(): {buffer: () => Buffer; callback: (this: Socket, count: number, buffer: Uint8Array) => boolean} {
    // oxlint-disable-next-line typescript/no-this-alias -- `this` of the callback is the socket
    const reader = this;
    return {
      buffer: () => reader.#next,
      callback(count) {
        return reader.#received(this, count);
      },
    };
  }

  /** A parser's word: `bytes` of a body are to come after what it has now been given. */
  expectBody(bytes: number): void {
    this.#bodyBytes = bytes - (this.#socket?.readableLength ?? 0);
  }

  /** @returns whether the socket is to be read on. */
  #received(socket: Socket, count: number): boolean {
    if (this.#socket === undefined) {
      this.#socket = socket;
      socket.once('close', () => this.#closed());
    }
    if (socket.readableLength === 0) this.#parsed();
    this.#bodyBytes -= count;
    return socket.push(this.#cut(count));
  }

  /** What was read, and what to read into next. */
  #cut(count: number): Buffer {
    const read = this.#next;
    const chunk = read.subarray(0, count);
    const isSlab = this.#slabs.offsetOf(read) !== undefined;
    if (isSlab) this.#unparsed.push(read);
    else if (count < PLAIN_BYTES) return Buffer.from(chunk); // or it would hold all of it; and the same memory again
    const isWorthIt = count >= PLAIN_BYTES && this.#bodyBytes >= SLAB_BYTES;
    this.#next = (isWorthIt ? this.#slabs.take(this) : undefined) ?? this.#plain();
    return chunk;
  }

  #parsed(): void {
    for (const slab of this.#unparsed) this.#slabs.parsed(slab);
    this.#unparsed = [];
  }

  #closed(): void {
    this.#parsed();
    this.#slabs.parsed(this.#next);
    this.#next = this.#plain(); // given back once
  }

  #plain(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(PLAIN_BYTES);
    readers.set(bytes.buffer, this);
    return bytes;
  }
}
