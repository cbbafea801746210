import {stringify} from 'yaml';
import {renderUpstream} from '../../oci/upstream-render.ts';
import {formatAddress} from '../../proc/config/address.ts';
import {formatDuration} from '../../proc/config/duration.ts';
import {formatSize} from '../../proc/config/size.ts';
import type {AgentConfig, HostedConfig, ListenerConfig} from './shape.ts';

/** The effective configuration as a file that says the same. It holds names of secret files, never a secret. */
export function renderAgentConfig(config: AgentConfig): string {
  return stringify(
    {
      listeners: config.listeners.map(renderListener),
      adminListen: formatAddress(config.adminListen),
      data: config.dataDir,
      cache: {
        maxSize: formatSize(config.limits.maxBytes),
        minFreeDisk:
          'share' in config.limits.minFree
            ? formatShare(config.limits.minFree.share)
            : formatSize(config.limits.minFree.bytes),
        maxIdle: formatDuration(config.limits.maxIdleMs),
      },
      defaultUpstream: config.defaultUpstream ?? 'none',
      allowPrivateUpstreams: config.allowPrivateUpstreams,
      deniedRanges: config.deniedRanges,
      upstreams: config.upstreams.map(renderUpstream),
      node: config.node,
      hosted: config.hosted && renderHosted(config.hosted),
      kubernetes: {
        ...config.kubernetes,
        pullSecrets: config.kubernetes.pullSecrets.map(({namespace, name}) =>
          namespace === undefined ? name : `${namespace}/${name}`,
        ),
      },
      log: config.log,
      drain: formatDuration(config.drainMs),
    },
    {lineWidth: 0, aliasDuplicateObjects: false},
  );
}

/** 0.2 → `20%`, without the noise of binary fractions. */
function formatShare(share: number): string {
  return `${String(Math.round(share * 100_000) / 1000)}%`;
}

function renderListener(listener: ListenerConfig): object {
  const {host, port, door, secretFile, anyLocalProcess, tls, insecure, users} = listener;
  const common = {address: formatAddress({host, port}), door};
  return door === 'direct' ? {...common, tls, insecure, users} : {...common, secretFile, anyLocalProcess};
}

function renderHosted(hosted: HostedConfig): object {
  return {
    names: hosted.names,
    host: hosted.host,
    immutableTags: hosted.immutableTags,
    maxManifestSize: formatSize(hosted.maxManifestBytes),
    maxBlobSize: formatSize(hosted.maxBlobBytes),
    uploadExpiry: formatDuration(hosted.uploadExpiryMs),
  };
}
