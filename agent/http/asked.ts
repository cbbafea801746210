import type {IncomingMessage, ServerResponse} from 'node:http';
import type {Counter} from 'prom-client';
import type {Pull} from '../../oci/request.ts';
import type {Log} from '../../proc/log.ts';
import type {Caller} from '../access/caller.ts';
import type {HostedHandler} from '../hosted/http/asked.ts';
import type {Metrics} from '../metrics.ts';
import type {Puller} from '../pull/puller.ts';
import type {Exchange} from './exchange.ts';
import type {Repeats} from './repeats.ts';
import type {Sender} from './send.ts';

/** What the answers are made from. */
export interface RegistryParts {
  readonly puller: Puller;
  readonly sender: Sender;
  readonly repeats: Repeats;
  readonly metrics: RequestMetrics;
  readonly log: Log;
  /** This agent's id, by which a request that comes back to it is known (D-015). */
  readonly hop: string;
  defaultRegistry(): string | undefined;
  /** `undefined` where nothing is hosted. */
  readonly hosted?: HostedForRuntimes | undefined;
}

/** What is told of each request. */
export type RequestMetrics = Pick<Metrics, 'answered' | 'sentBytes'> &
  Readonly<Record<'clientAborts' | 'stale' | 'bypasses' | 'withoutCredentials', Pick<Counter, 'inc'>>>;

/** What is hosted here, as runtimes may have it. */
export interface HostedForRuntimes {
  readonly answer: HostedHandler;
  /** The name of this registry; `undefined`: runtimes cannot name it. */
  host(): string | undefined;
  /** Whether a direct listener gives it to anybody. */
  isPublic(): boolean;
}

/** One request with what was found out about it. */
export interface Asked<P extends Pull = Pull> {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly pull: P;
  readonly caller: Caller;
  readonly exchange: Exchange;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

export const API_VERSION = {'docker-distribution-api-version': 'registry/2.0'} as const;
