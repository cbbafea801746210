import type {Digest} from '../../oci/digest.ts';
import {type Disk, evict, flushUses} from './disk.ts';
import type {StoreOperation} from './events.ts';
import {scrub, sweep} from './sweep.ts';

const FLUSH_MS = 1000;
const MAX_USES = 1000;
const TICK_MS = 60_000;
const SWEEP_MS = 24 * 3600_000;
/** The first scrub comes an hour after the start, when nodes that have just come up are busy no more. */
const FIRST_SCRUB_MS = 3600_000;
const SCRUB_MS = 7 * 24 * 3600_000;
/** What the wall clock may differ from a steady one between two ticks before it counts as set. */
const JUMP_MS = 3600_000;

/** What the store does by itself: last uses, age, free space, comparing files with the index, scrubbing. */
export class Upkeep {
  /** The first comparison of files and index. */
  readonly swept: Promise<void>;
  readonly #disk: Disk;
  readonly #stop = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** What runs in the background, so that closing can wait for it. */
  readonly #running = new Set<Promise<void>>();
  #clock: {readonly wall: number; readonly steady: number};

  constructor(disk: Disk) {
    this.#disk = disk;
    this.#clock = {wall: disk.now(), steady: disk.monotonic()};
    disk.onLost = () => void this.#background('sweep', () => this.#sweep());
    this.#every(FLUSH_MS, 'index', () => this.flush());
    this.#every(TICK_MS, 'evict', () => this.tick());
    this.#every(SWEEP_MS, 'sweep', () => this.#sweep());
    this.#timers.add(setTimeout(() => void this.#background('sweep', () => this.scrub()), FIRST_SCRUB_MS).unref());
    this.#every(SCRUB_MS, 'sweep', () => this.scrub());
    this.swept = this.#background('sweep', () => this.#sweep());
  }

  /** Never waits. Bounded: many uses at once are written at once. */
  touch(digest: Digest): void {
    this.#disk.uses.set(digest, this.#disk.now());
    if (this.#disk.uses.size === MAX_USES) void this.#background('index', () => this.flush());
  }

  async flush(): Promise<void> {
    await flushUses(this.#disk.index, this.#disk.uses);
  }

  /** After the limits have changed. */
  settle(): void {
    void this.#background('evict', () => this.#disk.room.settle());
  }

  /** Drops what nobody used for too long, and what is too much for the limits or the file system. */
  async tick(): Promise<void> {
    await this.#noticeJump();
    const {leftovers, quarantine, room, now} = this.#disk;
    leftovers.expire(now());
    quarantine.expire(now());
    await evict(this.#disk, Infinity, 'idle', now() - room.limits.maxIdleMs);
    await room.settle();
    this.#disk.ballast.take();
  }

  async scrub(bytesPerSecond?: number): Promise<void> {
    await scrub({...this.#disk, signal: this.#stop.signal}, bytesPerSecond);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#background('index', () => this.flush());
    await Promise.all(this.#running);
  }

  async #sweep(): Promise<void> {
    await sweep({...this.#disk, signal: this.#stop.signal}, this.#disk.now());
  }

  /** A clock that was set is no reason to think that all is old, or that nothing ever will be. */
  async #noticeJump(): Promise<void> {
    const clock = {wall: this.#disk.now(), steady: this.#disk.monotonic()};
    const jumpMs = clock.wall - this.#clock.wall - (clock.steady - this.#clock.steady);
    this.#clock = clock;
    if (Math.abs(jumpMs) < JUMP_MS) return;
    this.#disk.uses.clear();
    await this.#disk.index.ask('slide', jumpMs);
  }

  #every(ms: number, operation: StoreOperation, work: () => Promise<void>): void {
    let busy = false;
    const timer = setInterval(() => {
      if (busy) return;
      busy = true;
      void this.#background(operation, work).finally(() => (busy = false));
    }, ms);
    this.#timers.add(timer.unref());
  }

  #background(operation: StoreOperation, work: () => Promise<void>): Promise<void> {
    const run = work().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#disk.events.failed?.(operation, error);
    });
    this.#running.add(run);
    return run.finally(() => this.#running.delete(run));
  }
}
