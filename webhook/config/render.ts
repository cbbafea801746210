import {stringify} from 'yaml';
import {renderUpstream} from '../../oci/upstream-render.ts';
import {formatAddress} from '../../proc/config/address.ts';
import {formatDuration} from '../../proc/config/duration.ts';
import type {WebhookConfig} from './shape.ts';

/** The effective configuration as a file that says the same. It holds names of secret files, never a secret. */
export function renderWebhookConfig(config: WebhookConfig): string {
  const {pin, rewrite, certificates} = config;
  return stringify(
    {
      listen: formatAddress(config.listen),
      adminListen: formatAddress(config.adminListen),
      kubeconfig: config.kubeconfig,
      url: config.url,
      service: config.service,
      namespace: config.namespace,
      failurePolicy: config.failurePolicy,
      pin: {
        enabled: pin.enabled,
        namespaces: pin.namespaces,
        owners: pin.owners,
        pullSecrets: pin.pullSecretNamespaces,
      },
      rewrite,
      certificates: {
        certFile: certificates.certFile,
        keyFile: certificates.keyFile,
        caFile: certificates.caFile,
        lifetime: formatDuration(certificates.lifetimeMs),
      },
      allowPrivateUpstreams: config.allowPrivateUpstreams,
      upstreams: config.upstreams.map(renderUpstream),
      log: config.log,
      drain: formatDuration(config.drainMs),
    },
    {lineWidth: 0, aliasDuplicateObjects: false},
  );
}
