/** After this many failures in a row an origin is taken for down. */
const FAILURES = 10;
const FIRST_MS = 1000;
const LONGEST_MS = 10_000;

/**
 * Stops asking an origin that does not answer, and heals by itself: after a growing, jittered time one request is
 * let through, and what becomes of it decides. Statuses do not count: a server that answers is there.
 */
export class Breaker {
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #changed: (open: boolean) => void;
  #failures = 0;
  #openings = 0;
  #closedAt = 0;
  #probing = false;

  constructor(options: {now: () => number; random: () => number; changed: (open: boolean) => void}) {
    this.#now = options.now;
    this.#random = options.random;
    this.#changed = options.changed;
  }

  /** How long the caller has to wait; 0 lets it through, and then it must report `succeeded`, `failed` or `left`. */
  enter(): number {
    if (this.#openings === 0) return 0;
    const leftMs = this.#closedAt - this.#now();
    if (leftMs > 0 || this.#probing) return Math.max(leftMs, 1);
    this.#probing = true;
    return 0;
  }

  succeeded(): void {
    if (this.#openings > 0) this.#changed(false);
    this.#failures = 0;
    this.#openings = 0;
    this.#probing = false;
  }

  failed(): void {
    this.#failures++;
    const reopens = this.#probing;
    this.#probing = false;
    if (!reopens && (this.#failures < FAILURES || this.#openings > 0)) return;
    if (this.#openings === 0) this.#changed(true);
    const growing = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#openings);
    this.#openings = Math.min(this.#openings + 1, 16);
    this.#closedAt = this.#now() + growing * (0.8 + 0.4 * this.#random());
  }

  /** The request was given up for a reason that says nothing of the origin. */
  left(): void {
    this.#probing = false;
  }
}
