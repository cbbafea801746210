/** Waits that double up to a bound, each somewhere in its upper half: many who failed together do not return together. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  /** How long to wait after one more failure, in ms. */
  next(): number {
    const wait = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#failures++, 20));
    return wait / 2 + (wait / 2) * this.#random();
  }

  reset(): void {
    this.#failures = 0;
  }
}
