import {once} from 'node:events';
import type {ProcessLog} from './log.ts';

/** Resolves with SIGTERM or SIGINT. Called before anything is begun: a signal then must not end us half-way. */
export function stopSignal(): Promise<unknown> {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => {
      stop.abort();
    });
  return once(stop.signal, 'abort');
}

/**
 * What nobody caught. A promise that was dropped concerns one request, and the others must not pay for it; after an
 * exception out of a callback nothing can be relied on: the log is written and the process ends, to be started anew.
 */
export function onBug(log: Pick<ProcessLog, 'error' | 'close'>, count: () => void): void {
  const tell = (error: unknown): void => {
    count();
    log.error('unexpected error: please report it', {error: String((error as Error | undefined)?.stack ?? error)});
  };
  process.on('unhandledRejection', tell);
  process.on('uncaughtException', (error) => {
    tell(error);
    void log.close().finally(() => process.exit(1));
  });
}
