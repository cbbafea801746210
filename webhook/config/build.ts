import {newUpstreamConfigs} from '../../oci/upstream-build.ts';
import type {WebhookSettings} from './schema.ts';
import type {WebhookConfig} from './shape.ts';

/** What counts where nothing is said; `shown` in the schema says the same in words, and a test holds them equal. */
export const DEFAULTS = {
  listen: {host: '0.0.0.0', port: 10_250},
  adminListen: {host: '127.0.0.1', port: 5058},
  service: 'noost-webhook',
  namespace: 'noost-system',
  failurePolicy: 'Fail',
  endpoint: 'localhost:5055',
  lifetimeMs: 90 * 86_400_000,
  /** A little under the 30 s that Kubernetes gives a pod to end. */
  drainMs: 25_000,
} as const;

/** Puts the defaults in. @param podNamespace where the pod says it runs. */
export function newWebhookConfig(settings: WebhookSettings, podNamespace: string | undefined): WebhookConfig {
  const {pin, rewrite, certificates} = settings;
  return {
    listen: settings.listen ?? DEFAULTS.listen,
    adminListen: settings.adminListen ?? DEFAULTS.adminListen,
    kubeconfig: settings.kubeconfig,
    url: settings.url,
    service: settings.service ?? DEFAULTS.service,
    namespace: settings.namespace ?? podNamespace ?? DEFAULTS.namespace,
    failurePolicy: settings.failurePolicy ?? DEFAULTS.failurePolicy,
    pin: {
      enabled: pin?.enabled ?? true,
      namespaces: pin?.namespaces ?? [],
      owners: pin?.owners ?? [],
      pullSecretNamespaces: pin?.pullSecrets ?? [],
    },
    rewrite: {
      mode: rewrite?.mode ?? 'none',
      endpoint: rewrite?.endpoint ?? DEFAULTS.endpoint,
      prefixes: rewrite?.prefixes ?? [],
    },
    certificates: {
      certFile: certificates?.certFile,
      keyFile: certificates?.keyFile,
      caFile: certificates?.caFile,
      lifetimeMs: certificates?.lifetime ?? DEFAULTS.lifetimeMs,
    },
    allowPrivateUpstreams: settings.allowPrivateUpstreams ?? false,
    upstreams: newUpstreamConfigs(settings.upstreams ?? []),
    log: {level: settings.log?.level ?? 'info', format: settings.log?.format ?? 'auto'},
    drainMs: settings.drain ?? DEFAULTS.drainMs,
  };
}
