import {formatDuration} from '../proc/config/duration.ts';
import type {UpstreamConfig} from './upstream-config.ts';

/** The entry as a file would say it. */
export function renderUpstream({freshForMs, staleIfError, ...same}: UpstreamConfig): object {
  const {host, url, mirrors, credentials, tls, ...rest} = same;
  const stale = Object.entries(staleIfError).map(([key, ms]: [string, number]) => [key, formatDuration(ms)]);
  // `mirrors` may not be said of "*", not even as an empty list.
  return {
    host,
    url,
    mirrors: mirrors.length === 0 ? undefined : mirrors,
    credentials,
    tls,
    freshFor: formatDuration(freshForMs),
    staleIfError: Object.fromEntries(stale),
    ...rest,
  };
}
