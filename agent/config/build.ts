import {statfs} from 'node:fs/promises';
import {dirname, resolve} from 'node:path';
import {newUpstreamConfigs} from '../../oci/upstream-build.ts';
import {parseAddress} from '../../proc/config/address.ts';
import {DEFAULT_LISTENER} from './merge.ts';
import type {Settings} from './schema.ts';
import {secretFileIn} from '../node/node-secret.ts';
import type {AgentConfig, HostedConfig, KubernetesConfig, ListenerConfig, NodeConfig} from './shape.ts';

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
  names: ['**'],
  /** What every client takes (P-24). */
  maxManifestBytes: 4 * 1024 ** 2,
  maxBlobBytes: 16 * GIB,
  uploadExpiryMs: DAY_MS,
} as const;

/** Puts the defaults in. */
export async function newAgentConfig(settings: Settings): Promise<AgentConfig> {
  const dataDir = resolve(settings.data ?? DEFAULTS.data);
  const defaultUpstream = settings.defaultUpstream ?? DEFAULTS.defaultUpstream;
  const node = newNode(settings.node ?? {});
  const listeners = listenersOf(settings).map((one) => withSecret(newListener(one), node, dataDir));
  return {
    listeners,
    adminListen: settings.adminListen ?? DEFAULTS.adminListen,
    dataDir,
    limits: {
      maxBytes: settings.cache?.maxSize ?? Math.min(DEFAULTS.maxBytes, await quarterOfDisk(dataDir)),
      minFree: settings.cache?.minFreeDisk ?? DEFAULTS.minFree,
      maxIdleMs: settings.cache?.maxIdle ?? DEFAULTS.maxIdleMs,
    },
    defaultUpstream: defaultUpstream === 'none' ? undefined : defaultUpstream,
    allowPrivateUpstreams: settings.allowPrivateUpstreams ?? false,
    deniedRanges: settings.deniedRanges ?? [],
    upstreams: newUpstreamConfigs(settings.upstreams ?? []),
    node,
    hosted: listeners.some(({door}) => door === 'direct') ? newHosted(settings.hosted ?? {}) : undefined,
    kubernetes: newKubernetes(settings.kubernetes ?? {}),
    log: {level: settings.log?.level ?? 'info', format: settings.log?.format ?? 'auto'},
    drainMs: settings.drain ?? DEFAULTS.drainMs,
  };
}

function newKubernetes(said: NonNullable<Settings['kubernetes']>): KubernetesConfig {
  const pullSecrets = (said.pullSecrets ?? []).map((text) => {
    const slash = text.indexOf('/');
    return {namespace: slash < 0 ? undefined : text.slice(0, slash), name: text.slice(slash + 1)};
  });
  return {pullSecrets, protectImagesInUse: said.protectImagesInUse ?? true, events: said.events ?? true};
}

type ListenerSettings = NonNullable<Settings['listeners']>[number];

function listenersOf(settings: Settings): readonly ListenerSettings[] {
  return settings.listeners ?? [{address: parseAddress(DEFAULT_LISTENER.address)}];
}

function newListener(listener: ListenerSettings): ListenerConfig {
  return {
    ...listener.address,
    door: listener.door ?? 'runtime',
    secretFile: listener.secretFile,
    anyLocalProcess: listener.anyLocalProcess ?? false,
    tls: newTls(listener.tls),
    insecure: listener.insecure ?? false,
    users: {htpasswdFile: listener.users?.htpasswdFile, anonymous: listener.users?.anonymous ?? 'none'},
  };
}

/** An agent that writes the runtime's files has a secret of its own making, unless another proof was said. */
function withSecret(listener: ListenerConfig, {configure}: NodeConfig, dataDir: string): ListenerConfig {
  const {door, secretFile, anyLocalProcess} = listener;
  if (configure === 'none' || door !== 'runtime' || secretFile !== undefined || anyLocalProcess) return listener;
  return {...listener, secretFile: secretFileIn(dataDir)};
}

function newNode(said: NonNullable<Settings['node']>): NodeConfig {
  return {
    configure: said.configure ?? 'none',
    hostRoot: said.hostRoot ?? '/',
    containerdConfig: said.containerdConfig,
    certsDir: said.certsDir,
    registries: said.registries,
    order: said.order ?? 'first',
  };
}

function newTls({certFile, keyFile}: ListenerSettings['tls'] & object = {}): ListenerConfig['tls'] {
  return certFile === undefined || keyFile === undefined ? undefined : {certFile, keyFile}; // rules.ts: both or none
}

function newHosted(said: NonNullable<Settings['hosted']>): HostedConfig {
  return {
    names: said.names ?? DEFAULTS.names,
    host: said.host,
    immutableTags: said.immutableTags ?? [],
    maxManifestBytes: said.maxManifestSize ?? DEFAULTS.maxManifestBytes,
    maxBlobBytes: said.maxBlobSize ?? DEFAULTS.maxBlobBytes,
    uploadExpiryMs: said.uploadExpiry ?? DEFAULTS.uploadExpiryMs,
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
