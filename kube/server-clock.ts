/** An answer that took longer says too little of the time at which it was written. */
const MAX_TOOK_MS = 5_000;
/** Clocks that differ by less are taken for the same: `Date` has whole seconds. */
const SAME_MS = 1_000;

/**
 * What the time is for the API server, from the `Date` of its answers: it is who checks our certificates, and all replicas
 * read the same. A clock of our own that is right is not touched.
 */
export class ServerClock {
  #offsetMs = 0;

  /** How much later it is there than here; 0 if the two agree as far as can be told. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** @param date the answer's, written at some time between `sentMs` and `receivedMs` of our own clock. */
  observe(date: string | undefined, sentMs: number, receivedMs: number): void {
    const told = date === undefined ? Number.NaN : Date.parse(date);
    const tookMs = receivedMs - sentMs;
    if (Number.isNaN(told) || tookMs < 0 || tookMs > MAX_TOOK_MS) return;
    const [least, most] = [told - receivedMs, told + 1_000 - sentMs];
    const agree = least <= SAME_MS && most >= -SAME_MS;
    this.#offsetMs = agree ? 0 : Math.round((least + most) / 2);
  }
}
