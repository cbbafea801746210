import type {Source} from '../../oci/source.ts';
import type {Store} from '../store/contract.ts';

/** What the flight tells the rest of the agent; all bounded label values. */
export interface FlightEvents {
  received(source: Source['kind'], bytes: number): void;
  resumed(): void;
  failed(reason: 'integrity' | 'upstream' | 'store' | 'abandoned'): void;
  notKept(error: unknown): void;
}

export interface FlightDeps {
  readonly store: Store;
  readonly events: FlightEvents;
  readonly now: () => number;
  /** Bytes that may wait in memory for the disk: shared among the flights there are. */
  readonly bufferBytes: () => number;
}
