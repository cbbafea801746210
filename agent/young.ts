/**
 * A chunk from the network is 64 KiB outside V8's heap and some hundred bytes on it. V8 collects its young generation when
 * that is full of the latter: where many megabytes of the former hang on it by then, it marks the whole heap instead, again
 * and again, while a blob arrives (docs/performance.md). So we say when. Small answers, whose garbage is on the heap, have a
 * young generation as large as suits them.
 */
const COLLECT_BYTES = 16 * 1024 * 1024;
/**
 * What the agent's process is started with, wherever it is (agent/handover.ts). V8 marks the heap when it has grown by so
 * much, chunks counted, since it did so last: by itself it would choose a few megabytes, less than hangs on chunks that
 * wait to be collected.
 */
export const YOUNG_FLAGS: readonly string[] = ['--max-semi-space-size=4', '--expose-gc', '--heap-growing-percent=200'];

let receivedBytes = 0;
let receivedAt = -Infinity;

/**
 * To be called for each chunk of a body that may be large. A collection takes less than a millisecond mostly.
 * @param bytes of it that V8 has to collect.
 */
export function chunkReceived(bytes: number): void {
  receivedAt = performance.now();
  receivedBytes += bytes;
  if (receivedBytes < COLLECT_BYTES) return;
  receivedBytes = 0;
  globalThis.gc?.({type: 'minor'});
}

/** When the last chunk of a body came, by `performance.now()`. */
export function lastReceivedAt(): number {
  return receivedAt;
}

/** Gives back what nothing refers to any more, and code that was not run lately: a pause of some 30 ms. */
export function collectAll(): void {
  globalThis.gc?.({type: 'major', flavor: 'last-resort', execution: 'sync'});
}
