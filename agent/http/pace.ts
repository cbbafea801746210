/** Shorter waits the clock does not keep, and a client that fast is met by the next turn of the loop. */
const MIN_WAIT_MS = 2;
/** A client that slow costs little anyway; and a wrong guess is a pause of so long. */
const MAX_WAIT_MS = 30;

/**
 * How fast a client takes what it is sent: when half of what waits in its socket will have been taken. To be told by the
 * kernel that there is room takes an ordinary write each time, more than what is sent then (docs/performance.md).
 */
export class Pace {
  #bytes = 0;
  #fullAt: number | undefined;
  #bytesPerMs: number | undefined;
  readonly #now: () => number;
  constructor(now = (): number => performance.now()) {
    this.#now = now;
  }

  moved(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Something else than the client was waited for: what it could have taken meanwhile is not known. */
  interrupted(): void {
    this.#fullAt = undefined;
  }

  /**
   * The socket takes no more.
   * @param queuedBytes what it holds.
   * @returns after how many ms to send more; `undefined`: the kernel has to say.
   */
  full(queuedBytes: number): number | undefined {
    const now = this.#now();
    const [since, bytes] = [this.#fullAt, this.#bytes];
    this.#fullAt = now;
    this.#bytes = 0;
    if (since === undefined || now === since) return undefined;
    const latest = bytes / (now - since);
    this.#bytesPerMs = ((this.#bytesPerMs ?? latest) + latest) / 2;
    const wait = Math.floor(queuedBytes / 2 / this.#bytesPerMs);
    return wait >= MIN_WAIT_MS && wait <= MAX_WAIT_MS ? wait : undefined;
  }
}
