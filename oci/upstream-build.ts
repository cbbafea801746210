import type {StaleIfError, UpstreamConfig} from './upstream-config.ts';
import {ANY_UPSTREAM} from './upstream-host.ts';
import type {SaidUpstream} from './upstream-schema.ts';
import type {CredentialSettings, TlsSettings} from './upstream-settings.ts';

const DAY_MS = 86_400_000;

/** What counts where nothing is said; `shown` in the schema says the same in words, and a test holds them equal. */
const DEFAULTS = {
  freshForMs: 30_000,
  maxConnections: 32,
  staleIfError: {
    down: 30 * DAY_MS,
    timeout: 30 * DAY_MS,
    tooManyRequests: 30 * DAY_MS,
    serverError: 30 * DAY_MS,
    notFound: 0,
  },
} as const;

/** Puts the defaults in: first what the entry of `*` says, then ours. */
export function newUpstreamConfigs(said: readonly SaidUpstream[]): readonly UpstreamConfig[] {
  const common = said.find(({host}) => host === ANY_UPSTREAM);
  return said.map((upstream) => newUpstream(upstream, common));
}

/** @param common the entry of `*`, whose values hold where this one says nothing. */
function newUpstream(own: SaidUpstream, common: SaidUpstream | undefined): UpstreamConfig {
  const all: Partial<SaidUpstream> = {...common, ...own};
  const tls = {...common?.tls, ...own.tls};
  return {
    host: own.host,
    url: own.url,
    mirrors: own.mirrors ?? [],
    credentials: all.credentials === undefined ? undefined : newCredentials(all.credentials),
    tls: Object.keys(tls).length === 0 ? undefined : newTls(tls),
    freshForMs: all.freshFor ?? DEFAULTS.freshForMs,
    staleIfError: newStaleIfError({...common?.staleIfError, ...own.staleIfError}),
    maxConnections: all.maxConnections ?? DEFAULTS.maxConnections,
    offline: all.offline ?? false,
    cache: all.cache ?? 'always',
  };
}

function newCredentials(said: NonNullable<SaidUpstream['credentials']>): CredentialSettings {
  return {
    username: said.username,
    passwordFile: said.passwordFile,
    dockerConfigFile: said.dockerConfigFile,
    credentialHelper: said.credentialHelper,
    realms: said.realms ?? [],
  };
}

function newTls(said: NonNullable<SaidUpstream['tls']>): TlsSettings {
  return {
    caFile: said.caFile,
    certFile: said.certFile,
    keyFile: said.keyFile,
    insecureSkipVerify: said.insecureSkipVerify ?? false,
  };
}

function newStaleIfError(said: NonNullable<SaidUpstream['staleIfError']>): StaleIfError {
  const {down, timeout, tooManyRequests, serverError, notFound} = DEFAULTS.staleIfError;
  return {
    down: said.down ?? down,
    timeout: said.timeout ?? timeout,
    tooManyRequests: said.tooManyRequests ?? tooManyRequests,
    serverError: said.serverError ?? serverError,
    notFound: said.notFound ?? notFound,
  };
}
