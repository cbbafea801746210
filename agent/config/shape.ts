import type {Limits} from '../store/contract.ts';

/** What a listener's callers are (design §8). Only `runtime` is built so far; the others are refused at start. */
export type Door = 'runtime' | 'direct' | 'peer';

export interface ListenerConfig {
  readonly host: string;
  readonly port: number;
  readonly door: Door;
  /** Holds the node's secret (header Noost-Node-Secret); read again on SIGHUP. */
  readonly secretFile: string | undefined;
  readonly anyLocalProcess: boolean;
}

export interface CredentialConfig {
  readonly username: string | undefined;
  /** Exactly one of these three. */
  readonly passwordFile: string | undefined;
  readonly dockerConfigFile: string | undefined;
  /** Name after `docker-credential-`, or an absolute path. */
  readonly credentialHelper: string | undefined;
  /** Further domains that may be sent these credentials for a token (C-007). */
  readonly realms: readonly string[];
}

export interface TlsConfig {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/** How long a known tag is served although the upstream could not confirm it, in ms; 0 is never. */
export interface StaleIfError {
  readonly down: number;
  readonly timeout: number;
  readonly tooManyRequests: number;
  readonly serverError: number;
  readonly notFound: number;
}

export interface UpstreamConfig {
  /** As clients name it: `host[:port][/path-prefix]`, or `*` for the defaults of all others. Docker Hub is `docker.io`. */
  readonly host: string;
  /** Base URL without `/v2`; `undefined` for `*` and where it follows from the host. */
  readonly url: string | undefined;
  readonly mirrors: readonly string[];
  readonly credentials: CredentialConfig | undefined;
  readonly tls: TlsConfig | undefined;
  readonly freshForMs: number;
  readonly staleIfError: StaleIfError;
  readonly maxConnections: number;
  readonly offline: boolean;
  readonly cache: 'always' | 'never';
}

/** The agent's effective configuration: every value present, units in the names. */
export interface AgentConfig {
  readonly listeners: readonly ListenerConfig[];
  readonly adminListen: {readonly host: string; readonly port: number};
  readonly dataDir: string;
  readonly limits: Limits;
  readonly defaultUpstream: string | undefined;
  readonly allowPrivateUpstreams: boolean;
  readonly upstreams: readonly UpstreamConfig[];
  readonly log: {readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly format: 'json' | 'text' | 'auto'};
  /** How long transfers may go on after SIGTERM. */
  readonly drainMs: number;
}
