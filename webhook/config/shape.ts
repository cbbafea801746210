import type {RewriteRule} from '../../oci/name-map.ts';
import type {UpstreamConfig} from '../../oci/upstream-config.ts';
import type {SocketAddress} from '../../proc/config/address.ts';

/** What the API server does when it gets no answer from an armed webhook. */
export type FailurePolicy = 'Fail' | 'Ignore';

export interface PinConfig {
  readonly enabled: boolean;
  /** Names of namespaces, with `*`, in which the pods of every controller are pinned. */
  readonly namespaces: readonly string[];
  /** Controllers whose pods are pinned besides those of the built-in ones: `Kind.group`. */
  readonly owners: readonly string[];
  /** Names of namespaces whose pods' pull secrets are used, where RBAC lets us read them. */
  readonly pullSecretNamespaces: readonly string[];
}

export interface RewriteConfig {
  readonly mode: 'none' | 'node' | 'prefixes';
  /** Of the agents, as pods write it. Names below it are read as what they mean, whatever the mode. */
  readonly endpoint: string;
  readonly prefixes: readonly RewriteRule[];
}

/** Given files, or cert-manager's; where they are not said the webhook has a CA of its own. */
export interface CertificatesConfig {
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  /** Of leaves of the own CA. */
  readonly lifetimeMs: number;
}

/** The webhook's effective configuration: every value present, units in the names. */
export interface WebhookConfig {
  readonly listen: SocketAddress;
  readonly adminListen: SocketAddress;
  /** `undefined` in a cluster: the pod's own service account. */
  readonly kubeconfig: string | undefined;
  /** Where the API server finds us; `undefined`: the Service. */
  readonly url: string | undefined;
  readonly service: string;
  readonly namespace: string;
  readonly failurePolicy: FailurePolicy;
  readonly pin: PinConfig;
  readonly rewrite: RewriteConfig;
  readonly certificates: CertificatesConfig;
  readonly allowPrivateUpstreams: boolean;
  readonly upstreams: readonly UpstreamConfig[];
  readonly log: {readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly format: 'json' | 'text' | 'auto'};
  /** How long reviews under way may take after SIGTERM. */
  readonly drainMs: number;
}
