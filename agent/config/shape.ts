import type {UpstreamConfig} from '../../oci/upstream-config.ts';
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
