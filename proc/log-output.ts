import {closeSync, constants, createWriteStream, fstatSync, openSync} from 'node:fs';
import {Socket} from 'node:net';
import type {Writable} from 'node:stream';

/** Takes lines and never waits for who reads them. */
export interface LogOutput {
  /** Written soon, or dropped and counted where the buffer is full. */
  write(line: string): void;
  readonly droppedLines: number;
  /** Called when what waited has been written after lines were dropped, with how many they were. */
  onRecovered: ((lines: number) => void) | undefined;
  /** Writes what is buffered, for at most `waitMs`. */
  close(waitMs: number): Promise<void>;
}

/** Lines of this time are written together, up to BATCH bytes: a write a turn of the loop cost more than the lines. */
const FLUSH_MS = 20;
const BATCH = 64 * 1024;
/** Of a UTF-16 unit in UTF-8. */
const MAX_UNIT_BYTES = 3;

/**
 * An output to `fd` that buffers at most `maxBufferedBytes`. Pipes are written through the event loop, not through
 * the thread pool: a thread blocked in write(2) on a pipe that nobody reads would keep the process from ending.
 */
export function newLogOutput(fd: number, maxBufferedBytes: number): LogOutput {
  const kind = fstatSync(fd);
  if (kind.isFIFO())
    return new BufferedOutput(new Socket({fd: reopened(fd), readable: false}).unref(), maxBufferedBytes);
  if (kind.isSocket()) return new BufferedOutput(new Socket({fd, readable: false}).unref(), maxBufferedBytes);
  if (fd === 1 && process.stdout.isTTY) return new BufferedOutput(process.stdout, maxBufferedBytes);
  return new BufferedOutput(createWriteStream('', {fd, autoClose: false}), maxBufferedBytes);
}

/**
 * A descriptor of our own for the same pipe, because "non-blocking" belongs to the open file and not to the
 * descriptor: our parent, or stderr, may share this one. `fd` itself where that is not allowed.
 */
function reopened(fd: number): number {
  try {
    const own = openSync(`/proc/self/fd/${String(fd)}`, constants.O_WRONLY | constants.O_NONBLOCK);
    if (fstatSync(own).isFIFO()) return own;
    closeSync(own);
  } catch {
    // Another user's pipe, or no /proc: the shared one has to do.
  }
  return fd;
}

class BufferedOutput implements LogOutput {
  readonly #stream: Writable;
  readonly #maxBytes: number;
  /** Bytes and not strings: strings that wait are copied by every collection of the young generation. */
  readonly #batch = Buffer.allocUnsafeSlow(BATCH);
  #batched = 0;
  #flushing: NodeJS.Timeout | undefined;
  /** Bytes handed to the stream and not yet written. */
  #inFlight = 0;
  #droppedLines = 0;
  #unreported = 0;
  #closed = false;
  onRecovered: ((lines: number) => void) | undefined;

  constructor(stream: Writable, maxBytes: number) {
    this.#stream = stream;
    this.#maxBytes = maxBytes;
    stream.on('error', () => (this.#closed = true)); // EPIPE: nobody reads any more, and there is nobody to tell
  }

  get droppedLines(): number {
    return this.#droppedLines;
  }

  write(line: string): void {
    // A unit is at most three bytes; counting it as one keeps this cheap and the bound within a factor.
    if (this.#closed || this.#inFlight + this.#batched + line.length > this.#maxBytes) {
      this.#droppedLines++;
      this.#unreported++;
      return;
    }
    const mostBytes = line.length * MAX_UNIT_BYTES;
    if (mostBytes > BATCH - this.#batched) this.#flush();
    if (mostBytes > BATCH) return this.#send(Buffer.from(line));
    this.#batched += this.#batch.write(line, this.#batched);
    this.#flushing ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  async close(waitMs: number): Promise<void> {
    this.#flush();
    if (this.#stream === process.stdout) return; // a terminal: written synchronously, and not ours to end
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#closed ? 0 : waitMs);
      const settle = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#stream.once('close', settle);
      this.#stream.once('finish', settle);
      this.#stream.end();
    });
    this.#closed = true;
    if (this.#stream instanceof Socket) this.#stream.destroy(); // a file's descriptor is not ours to close
  }

  #flush(): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (this.#batched === 0 || this.#closed) return;
    const bytes = Buffer.from(this.#batch.subarray(0, this.#batched)); // a copy: the stream keeps it for as long as it likes
    this.#batched = 0;
    this.#send(bytes);
  }

  #send(bytes: Buffer): void {
    this.#inFlight += bytes.length;
    this.#stream.write(bytes, () => this.#written(bytes.length));
  }

  #written(length: number): void {
    this.#inFlight -= length;
    if (this.#inFlight > 0 || this.#unreported === 0) return;
    const lines = this.#unreported;
    this.#unreported = 0;
    this.onRecovered?.(lines);
  }
}
