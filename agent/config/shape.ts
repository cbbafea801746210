import type {UpstreamConfig} from '../../oci/upstream-config.ts';
import type {Limits} from '../store/contract.ts';

/** What a listener's callers are (design §8). `peer` is not built yet and refused at start. */
export type Door = 'runtime' | 'direct' | 'peer';

export interface ListenerConfig {
  readonly host: string;
  readonly port: number;
  readonly door: Door;
  /** Holds the node's secret (header Noost-Node-Secret); read again on SIGHUP. */
  readonly secretFile: string | undefined;
  readonly anyLocalProcess: boolean;
  /** Of a direct listener; read again when the files change. `undefined`: it speaks in the clear. */
  readonly tls: {readonly certFile: string; readonly keyFile: string} | undefined;
  /** Of a direct listener: it was said that it may speak in the clear. */
  readonly insecure: boolean;
  /** Of a direct listener. */
  readonly users: {readonly htpasswdFile: string | undefined; readonly anonymous: 'none' | 'pull'};
}

/** What is kept here for whoever pushes it to a direct listener. */
export interface HostedConfig {
  /** Patterns of repositories that are ours at the direct listeners. */
  readonly names: readonly string[];
  /** How clients name this registry. */
  readonly host: string | undefined;
  /** Patterns `repository:tag`. */
  readonly immutableTags: readonly string[];
  readonly maxManifestBytes: number;
  readonly maxBlobBytes: number;
  readonly uploadExpiryMs: number;
}

/** How the agent points the node's runtime at itself. */
export interface NodeConfig {
  readonly configure: 'none' | 'containerd' | 'crio' | 'remove';
  /** Where the host's file system is; the paths below are as the host sees them. */
  readonly hostRoot: string;
  /** containerd's configuration. `undefined`: looked for where distributions have it. */
  readonly containerdConfig: string | undefined;
  /** The folder of hosts.toml files. `undefined`: as containerd's configuration says. */
  readonly certsDir: string | undefined;
  /** As images name them. `undefined`: all. */
  readonly registries: readonly string[] | undefined;
  /** Before the hosts that are there already, or behind them. */
  readonly order: 'first' | 'last';
}

/** What the agent has to do with the cluster that it runs in. */
export interface KubernetesConfig {
  /** `namespace` is `undefined` for the agent's own. */
  readonly pullSecrets: readonly {readonly namespace: string | undefined; readonly name: string}[];
  readonly protectImagesInUse: boolean;
  readonly events: boolean;
}

/** The agent's effective configuration: every value present, units in the names. */
export interface AgentConfig {
  readonly listeners: readonly ListenerConfig[];
  readonly adminListen: {readonly host: string; readonly port: number};
  readonly dataDir: string;
  readonly limits: Limits;
  readonly defaultUpstream: string | undefined;
  readonly allowPrivateUpstreams: boolean;
  /** As written: `10.244.0.0/16`. */
  readonly deniedRanges: readonly string[];
  readonly upstreams: readonly UpstreamConfig[];
  readonly node: NodeConfig;
  /** `undefined` where there is no direct listener, and so nothing can be pushed. */
  readonly hosted: HostedConfig | undefined;
  readonly kubernetes: KubernetesConfig;
  readonly log: {readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly format: 'json' | 'text' | 'auto'};
  /** How long transfers may go on after SIGTERM. */
  readonly drainMs: number;
}
