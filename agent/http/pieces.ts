/** Bytes of buffers that wait to be used again. */
const MAX_KEPT_BYTES = 4 << 20;

/**
 * Buffers that pieces of files go through, used again and again. A new one for each piece is memory that V8 does not see
 * but counts: at a gigabyte a second it collects all the time, which took more than half of the processor (docs/performance.md).
 */
export class Pieces {
  /** The size of each. */
  readonly bytes: number;
  readonly #free: Buffer[] = [];
  constructor(bytes: number) {
    this.bytes = bytes;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** Only when nothing reads it any more: what a broken connection may still hold is not given back. */
  giveBack(buffer: Buffer): void {
    if ((this.#free.length + 1) * this.bytes <= MAX_KEPT_BYTES) this.#free.push(buffer);
  }
}
