import {once} from 'node:events';
import type {ProcessLog} from '../proc/log.ts';
import type {Metrics} from './metrics.ts';

/**
 * What nobody caught. A promise that was dropped concerns one request, and the others must not pay for it; after an
 * exception out of a callback nothing can be relied on: the log is written and the process ends, to be started anew.
 */
export function watchForBugs({log, metrics}: {readonly log: ProcessLog; readonly metrics: Metrics}): void {
  const tell = (error: unknown): void => {
    metrics.unexpectedErrors.inc();
    log.error('unexpected error: please report it', {error: String((error as Error | undefined)?.stack ?? error)});
  };
  process.on('unhandledRejection', tell);
  process.on('uncaughtException', (error) => {
    tell(error);
    void log.close().finally(() => process.exit(1));
  });
}

/** Settles with the first SIGTERM or SIGINT. */
export function stopSignal(): Promise<unknown> {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => {
      stop.abort();
    });
  return once(stop.signal, 'abort');
}
