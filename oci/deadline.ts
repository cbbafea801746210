/**
 * Runs `work` with a signal that ends when `signal` does, if there is one, or after `ms`; its timer does not outlive the
 * work. The reason of the second is an error named `TimeoutError`.
 */
export async function withDeadline<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(new DOMException('Out of time', 'TimeoutError')), ms);
  try {
    return await work(signal === undefined ? timer.signal : AbortSignal.any([signal, timer.signal]));
  } finally {
    clearTimeout(timeout);
  }
}

/** `promise`, unless the signal ends first: then its reason is thrown, and the promise goes on for others. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error); // signals of ours end with errors
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, {once: true});
    promise.then(
      (value) => {
        signal.removeEventListener('abort', abort);
        resolve(value);
      },
      (error: Error) => {
        signal.removeEventListener('abort', abort);
        reject(error);
      },
    );
  });
}
