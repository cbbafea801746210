import {executionAsyncResource} from 'node:async_hooks';

let kept: unknown;

/**
 * Keeps `process.nextTick` fast, which Node calls four times for each small answer. V8 forgets the shape of its objects
 * when it collects the heap while none is waiting, takes the next for a different one, and from then on makes each by
 * its slowest way, for as long as the process lives: one that is kept keeps the shape (docs/performance.md). To be called
 * once, at the start.
 */
export function keepTicksFast(): void {
  process.nextTick(() => {
    kept ??= executionAsyncResource();
  });
}
