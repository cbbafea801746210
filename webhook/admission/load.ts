/** Reviews that wait for a registry cost little; these are for the day when something is very wrong. */
const MAX_IN_FLIGHT = 2_000;
/** Of bodies that are read or decided about: parsed, they are several times as large. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Most pods are a tenth of it. They always have room: large bodies that somebody only announces must not keep them out. */
const SMALL = 64 * 1024;
/** Who has waited so long to be read will not be answered in time. */
const MAX_LAG_MS = 2_000;
const TICK_MS = 50;

export type ShedReason = 'in-flight' | 'bytes' | 'lag';

/** What this process has to do at the moment. Beyond it, it says so at once, while the API server can still ask another. */
export class Load implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #inFlight = 0;
  #bytes = 0;
  #lastTick = performance.now();
  /** The longest that the event loop was late, lately. */
  #lagMs = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get lagMs(): number {
    return this.#lagMs;
  }

  /** @returns why not, or how to leave again. */
  enter(bytes: number): ShedReason | (() => void) {
    if (this.#inFlight >= MAX_IN_FLIGHT) return 'in-flight';
    if (bytes > SMALL && this.#bytes + bytes > MAX_BYTES && this.#bytes > 0) return 'bytes';
    if (this.#lagMs > MAX_LAG_MS) return 'lag';
    this.#inFlight++;
    this.#bytes += bytes;
    return () => {
      this.#inFlight--;
      this.#bytes -= bytes;
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Halves with each tick, so that one long pause is forgotten within a second. */
  #tick(): void {
    const now = performance.now();
    const late = Math.max(0, now - this.#lastTick - TICK_MS);
    this.#lastTick = now;
    this.#lagMs = Math.max(late, this.#lagMs / 2);
  }
}
