import type {UpstreamEvents} from '../oci/upstream-settings.ts';
import type {Log} from '../proc/log.ts';
import type {Metrics} from './metrics.ts';
import type {PullEvents} from './pull/context.ts';
import type {FlightEvents} from './pull/flight-parts.ts';
import type {StoreEvents} from './store/events.ts';

/** How often it is said that there is no room; the metric counts each time. */
const SAY_FULL_MS = 600_000;

/** What happens in the rooms, as metrics and log lines. */
export interface Events {
  readonly upstream: UpstreamEvents;
  readonly store: StoreEvents;
  readonly pull: PullEvents;
  readonly flight: FlightEvents;
  /** Why the data folder cannot be used, if so. */
  degraded(): string | undefined;
}

/** @param now a clock that does not jump, in ms. */
export function newEvents(metrics: Metrics, log: Log, now: () => number = () => performance.now()): Events {
  let degraded: string | undefined;
  let saidFullAt = -Infinity;
  return {
    degraded: () => degraded,
    upstream: upstreamEvents(metrics, log),
    store: {
      ...storeEvents(metrics, log),
      degraded: (cause) => {
        degraded = cause === undefined ? undefined : textOf(cause);
        if (degraded === undefined) log.info('the data folder can be used again');
        else log.error('the data folder cannot be used: images pass through without being kept', {error: degraded});
      },
    },
    pull: {
      integrity: (upstream) => {
        metrics.digestMismatch.inc({upstream});
        log.warn('content had another digest or size than it was asked for by', {upstream});
      },
      storeFailed: (operation, error) => {
        metrics.storeFailures.inc({operation});
        log.debug('the cache could not help', {operation, error: textOf(error)});
      },
    },
    flight: {
      received: (source, bytes) => metrics.received(source, bytes),
      resumed: () => metrics.resumes.inc({side: 'upstream'}),
      failed: (reason) => {
        metrics.fillFailures.inc({reason});
        // Else nobody sees that nothing is kept: pulls work. Where the folder is at fault, that has been said.
        if (reason !== 'store' || degraded !== undefined || now() - saidFullAt < SAY_FULL_MS) return;
        saidFullAt = now();
        log.warn('the cache has no room for a blob: it passes through without being kept (cache.maxSize, minFreeDisk)');
      },
      notKept: (error) => {
        metrics.storeFailures.inc({operation: 'commit'});
        log.warn('a blob was right but could not be kept', {error: textOf(error)});
      },
    },
  };
}

function upstreamEvents(metrics: Metrics, log: Log): UpstreamEvents {
  return {
    request: (upstream, outcome, durationMs) => {
      metrics.upstreamRequests.inc({upstream, code: String(outcome)});
      metrics.upstreamDuration.times({upstream}).observe(durationMs / 1000);
    },
    token: (upstream, outcome) => metrics.tokenFetches.inc({upstream, outcome}),
    credentialsFailed: (upstream, message) => {
      log.warn('credentials cannot be used', {upstream, error: message});
    },
    rateLimitRemaining: (upstream, remaining) => {
      metrics.rateLimitRemaining.set({upstream}, remaining);
    },
    ssrfDenied: (where) => metrics.ssrfDenied.inc({where}),
    breaker: (upstream, open) => {
      metrics.upstreamOpen.set({upstream}, open ? 1 : 0);
      if (open) log.warn('an upstream fails repeatedly: it is asked less often until it answers', {upstream});
      else log.info('an upstream answers again', {upstream});
    },
  };
}

function storeEvents(metrics: Metrics, log: Log): StoreEvents {
  return {
    evicted: (reason, blobs, sizeBytes) => {
      metrics.cacheEvictions.inc({reason}, blobs);
      metrics.cacheEvictedBytes.inc({reason}, sizeBytes);
      log.debug('dropped from the cache', {reason, blobs, sizeBytes});
    },
    quarantined: (digest) => {
      metrics.quarantined.inc();
      log.error('a blob on disk was wrong: it was put aside and will be fetched again', {digest});
    },
    failed: (operation, error) => {
      metrics.storeFailures.inc({operation});
      log.warn('the cache could not help', {operation, error: textOf(error)});
    },
    rebuilt: (error) => {
      log.error('the index was unreadable: it is built again from the files', {error: textOf(error)});
    },
  };
}

function textOf(error: unknown): string {
  const text =
    error instanceof Error
      ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}`
      : String(error);
  return text.slice(0, 500);
}
