import {matchUpstream} from './match.ts';
import type {UpstreamFailure} from './error.ts';
import type {RepositoryName} from './source.ts';
import type {StaleIfError, UpstreamConfig} from './upstream-config.ts';

/** How the cache treats one upstream's answers (design §4.2). */
export type Policy = Pick<UpstreamConfig, 'freshForMs' | 'staleIfError' | 'offline' | 'cache'> & {
  /** Whether the node has credentials for it: a password, or a client certificate. */
  readonly hasCredentials: boolean;
};

const DAY = 86_400_000;
const DEFAULTS: Policy = {
  freshForMs: 30_000,
  staleIfError: {down: 30 * DAY, timeout: 30 * DAY, tooManyRequests: 30 * DAY, serverError: 30 * DAY, notFound: 0},
  offline: false,
  cache: 'always',
  hasCredentials: false,
};

const policies = new WeakMap<UpstreamConfig, Policy>();
/** Configured upstreams → repository, an object that lives as long as its requests repeat → policy. */
const found = new WeakMap<readonly UpstreamConfig[], WeakMap<RepositoryName, Policy>>();

/** @param upstreams never changed: a reload brings others. */
export function policyFor(upstreams: readonly UpstreamConfig[], name: RepositoryName): Policy {
  let byName = found.get(upstreams);
  if (byName === undefined) found.set(upstreams, (byName = new WeakMap()));
  let policy = byName.get(name);
  if (policy === undefined) byName.set(name, (policy = lookUp(upstreams, name)));
  return policy;
}

function lookUp(upstreams: readonly UpstreamConfig[], name: RepositoryName): Policy {
  const match = matchUpstream(upstreams, name);
  if (match === undefined) return DEFAULTS;
  const known = policies.get(match);
  if (known !== undefined) return known;
  const policy = {...match, hasCredentials: match.credentials !== undefined || match.tls?.certFile !== undefined};
  policies.set(match, policy);
  return policy;
}

/**
 * For how long after its last confirmation a tag may be served although the upstream failed so, in ms.
 * Never after 401 or 403: who was locked out stays out (C-070).
 */
export function staleForMs(stale: StaleIfError, failure: UpstreamFailure): number {
  switch (failure) {
    case 'down':
    case 'timeout':
    case 'tooManyRequests':
    case 'serverError':
    case 'notFound':
      return stale[failure];
    case 'protocol': // an answer that is none: as good as an error of the server
      return stale.serverError;
    case 'unauthorized':
    case 'refused':
      return 0;
  }
}
