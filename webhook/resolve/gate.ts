import {LRUCache} from 'lru-cache';

/** No place in the queue, or none in time. */
export class BusyError extends Error {
  override readonly name = 'BusyError';
}

interface Lane {
  free: number;
  readonly waiting: Set<() => void>;
}

/** At most so many questions to one registry at a time, and a bounded number that wait. One slow registry holds up no other. */
export class Gate {
  readonly #permits: number;
  readonly #maxWaiting: number;
  /** Registry → its lane. One that is in use is never dropped: whoever holds it holds the object. */
  readonly #lanes = new LRUCache<string, Lane>({max: 1000});

  constructor(permits: number, maxWaiting: number) {
    this.#permits = permits;
    this.#maxWaiting = maxWaiting;
  }

  /** @throws {BusyError} if too many wait already; the signal's reason if it ends while waiting. */
  async run<T>(registry: string, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    const lane = this.#lane(registry);
    if (lane.free > 0) lane.free--;
    else await this.#wait(lane, registry, signal);
    try {
      return await ask();
    } finally {
      const [next] = lane.waiting;
      if (next === undefined) lane.free++;
      else {
        lane.waiting.delete(next);
        next();
      }
    }
  }

  #lane(registry: string): Lane {
    const held = this.#lanes.get(registry);
    if (held !== undefined) return held;
    const lane = {free: this.#permits, waiting: new Set<() => void>()};
    this.#lanes.set(registry, lane);
    return lane;
  }

  #wait(lane: Lane, registry: string, signal: AbortSignal): Promise<void> {
    if (lane.waiting.size >= this.#maxWaiting)
      throw new BusyError(`too many questions to ${registry} wait for an answer already`);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        lane.waiting.delete(onTurn);
        reject(signal.reason as Error); // signals of ours end with errors
      };
      const onTurn = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, {once: true});
      lane.waiting.add(onTurn);
    });
  }
}
