import type {UpstreamFailure} from './error.ts';
import type {Where} from './guard.ts';

export interface CredentialSettings {
  readonly username: string | undefined;
  /** Exactly one of these three. */
  readonly passwordFile: string | undefined;
  readonly dockerConfigFile: string | undefined;
  readonly credentialHelper: string | undefined;
  readonly realms: readonly string[];
}

export interface TlsSettings {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/** What the client needs to know of a configured upstream. */
export interface UpstreamSettings {
  /** `host[:port][/path-prefix]` as clients name it, or `*` for the defaults of all others. */
  readonly host: string;
  /** Base URL without `/v2`; `undefined` where it follows from the host. */
  readonly url: string | undefined;
  readonly mirrors: readonly string[];
  readonly credentials: CredentialSettings | undefined;
  readonly tls: TlsSettings | undefined;
  readonly maxConnections: number;
}

/** What happened, for metrics and logs. Labels are configured hosts or `other` (E-002); nothing here holds a secret. */
export interface UpstreamEvents {
  /** One HTTP exchange with a registry, mirror, storage or token server. */
  request?(label: string, outcome: number | UpstreamFailure, durationMs: number): void;
  token?(label: string, outcome: 'ok' | 'denied' | 'failed'): void;
  credentialsFailed?(label: string, message: string): void;
  rateLimitRemaining?(label: string, remaining: number): void;
  ssrfDenied?(where: Where): void;
  breaker?(label: string, open: boolean): void;
  retry?(label: string): void;
  /** A blob was asked for from an offset on. */
  resumed?(label: string): void;
}

/** Every wait of the client, in milliseconds; the sum stays well under what containerd waits for headers (P-01, C-058). */
export interface Timeouts {
  readonly connectMs: number;
  /** From a question to its headers: tokens, redirects and retries included. */
  readonly budgetMs: number;
  /** The same for one mirror, which must leave time for the registry. */
  readonly mirrorBudgetMs: number;
  /** One exchange's wait for headers. */
  readonly headersMs: number;
  /** Without a byte of the body. */
  readonly stallMs: number;
  readonly retryMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  connectMs: 5000,
  budgetMs: 12_000,
  mirrorBudgetMs: 4000,
  headersMs: 10_000,
  stallMs: 30_000,
  retryMs: 150,
};
