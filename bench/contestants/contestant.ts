import type {Dataset} from '../dataset.ts';
import type {Generator} from '../generator.ts';

/** What a contestant is started with. */
export interface Site {
  readonly generator: Generator;
  readonly dataset: Dataset;
  /** Where the content comes from. */
  readonly upstream: {readonly host: string; readonly port: number};
  /** An empty folder of its own, on a real disk. */
  readonly folder: string;
  /** Command to put before its own: a network namespace, a control group. */
  readonly inside?: readonly string[];
  /** Also for the load generator: the network namespace alone. */
  readonly network?: readonly string[];
  /** @default far more than the data set */
  readonly cacheBytes?: number;
}

/** A contestant that answers. */
export interface Running extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Its process, or the eldest of them; `undefined` where it is not ours to see. */
  readonly pid: number | undefined;
  /** Path and query by which it is asked. */
  readonly path: (kind: 'blobs' | 'manifests', reference: string) => string;
  /** Headers that a client of it sends. */
  readonly headers: readonly string[];
  /** Where its metrics are, if it has them on a port of their own. */
  readonly adminUrl?: string;
  stop(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  /** One line with its version, or why it cannot be run here. */
  version(): Promise<string>;
  /** Whether it fetches from the upstream what it has not: only those have a cold cache. */
  readonly caches: boolean;
  /** Whether it can be started with an empty cache, as often as one likes. */
  readonly restarts: boolean;
  start(site: Site): Promise<Running>;
}
