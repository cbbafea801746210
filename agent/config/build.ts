import {statfs} from 'node:fs/promises';
import {dirname, resolve} from 'node:path';
import {DEFAULT_LISTENER} from './merge.ts';
import {parseAddress} from './address.ts';
import type {Settings, UpstreamSettings} from './schema.ts';
import type {AgentConfig, CredentialConfig, ListenerConfig, StaleIfError, TlsConfig, UpstreamConfig} from './shape.ts';
import {ANY_UPSTREAM} from './upstream-host.ts';

const DAY_MS = 86_400_000;
const GIB = 1024 ** 3;

/** What counts where nothing is said; `shown` in the schema says the same in words, and a test holds them equal. */
const DEFAULTS = {
  adminListen: {host: '127.0.0.1', port: 5057},
  data: './data',
  maxBytes: 50 * GIB,
  minFree: {share: 0.2},
  maxIdleMs: 30 * DAY_MS,
  defaultUpstream: 'docker.io',
  /** A little under the 30 s that Kubernetes gives a pod to end. */
  drainMs: 25_000,
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

/** Puts the defaults in. */
export async function newAgentConfig(settings: Settings): Promise<AgentConfig> {
  const dataDir = resolve(settings.data ?? DEFAULTS.data);
  const defaultUpstream = settings.defaultUpstream ?? DEFAULTS.defaultUpstream;
  const common = settings.upstreams?.find(({host}) => host === ANY_UPSTREAM);
  return {
    listeners: listenersOf(settings).map(newListener),
    adminListen: settings.adminListen ?? DEFAULTS.adminListen,
    dataDir,
    limits: {
      maxBytes: settings.cache?.maxSize ?? Math.min(DEFAULTS.maxBytes, await quarterOfDisk(dataDir)),
      minFree: settings.cache?.minFreeDisk ?? DEFAULTS.minFree,
      maxIdleMs: settings.cache?.maxIdle ?? DEFAULTS.maxIdleMs,
    },
    defaultUpstream: defaultUpstream === 'none' ? undefined : defaultUpstream,
    allowPrivateUpstreams: settings.allowPrivateUpstreams ?? false,
    upstreams: (settings.upstreams ?? []).map((upstream) => newUpstream(upstream, common)),
    log: {level: settings.log?.level ?? 'info', format: settings.log?.format ?? 'auto'},
    drainMs: settings.drain ?? DEFAULTS.drainMs,
  };
}

type ListenerSettings = NonNullable<Settings['listeners']>[number];

function listenersOf(settings: Settings): readonly ListenerSettings[] {
  return settings.listeners ?? [{address: parseAddress(DEFAULT_LISTENER.address)}];
}

function newListener(listener: ListenerSettings): ListenerConfig {
  return {
    ...listener.address,
    door: 'runtime',
    secretFile: listener.secretFile,
    anyLocalProcess: listener.anyLocalProcess ?? false,
  };
}

/** @param common the entry of `*`, whose values hold where this one says nothing. */
function newUpstream(own: UpstreamSettings, common: UpstreamSettings | undefined): UpstreamConfig {
  const all: Partial<UpstreamSettings> = {...common, ...own};
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

function newCredentials(said: NonNullable<UpstreamSettings['credentials']>): CredentialConfig {
  return {
    username: said.username,
    passwordFile: said.passwordFile,
    dockerConfigFile: said.dockerConfigFile,
    credentialHelper: said.credentialHelper,
    realms: said.realms ?? [],
  };
}

function newTls(said: NonNullable<UpstreamSettings['tls']>): TlsConfig {
  return {
    caFile: said.caFile,
    certFile: said.certFile,
    keyFile: said.keyFile,
    insecureSkipVerify: said.insecureSkipVerify ?? false,
  };
}

function newStaleIfError(said: NonNullable<UpstreamSettings['staleIfError']>): StaleIfError {
  const {down, timeout, tooManyRequests, serverError, notFound} = DEFAULTS.staleIfError;
  return {
    down: said.down ?? down,
    timeout: said.timeout ?? timeout,
    tooManyRequests: said.tooManyRequests ?? tooManyRequests,
    serverError: said.serverError ?? serverError,
    notFound: said.notFound ?? notFound,
  };
}

/** In whole MiB, of the file system that the folder is on or will be on; 50 GiB where nothing can be learnt. */
async function quarterOfDisk(folder: string): Promise<number> {
  try {
    const {blocks, bsize} = await statfs(folder);
    return Math.max(1, Math.floor((blocks * bsize) / 4 / 1024 ** 2)) * 1024 ** 2;
  } catch {
    return folder === dirname(folder) ? DEFAULTS.maxBytes : quarterOfDisk(dirname(folder));
  }
}
