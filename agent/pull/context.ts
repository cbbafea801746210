import type {Authority, RepositoryName, Upstream} from '../../oci/source.ts';
import type {PullRights} from '../access/caller.ts';
import type {Store} from '../store/contract.ts';
import type {Policy} from '../../oci/upstream-policy.ts';

/** What every part of a pull stands on: handed in, so that tests hand in others. */
export interface PullContext {
  readonly store: Store;
  readonly upstream: (name: RepositoryName) => Upstream;
  readonly policy: (name: RepositoryName) => Policy;
  /** Whether there are logins for it besides those of its settings. @default none */
  readonly hasLogin?: (name: RepositoryName) => boolean;
  /** The wall clock, in ms since the epoch. */
  readonly now: () => number;
  /** A clock that does not jump, in ms. @default performance.now */
  readonly monotonic?: () => number;
  readonly events: PullEvents;
}

/** For metrics and log; label values are bounded. */
export interface PullEvents {
  integrity(label: string): void;
  storeFailed(operation: string, error: unknown): void;
}

/** With whose rights the upstream is asked for this caller: the node's only where there are any. */
export function asksAs(context: PullContext, name: RepositoryName, caller: PullRights): Authority {
  return caller.authority === 'node' && (context.policy(name).hasCredentials || context.hasLogin?.(name) === true)
    ? 'node'
    : 'anonymous';
}

/** One key for what one repository shows to one authority; a space is in no part of it. */
export function keyOf(name: RepositoryName, reference: string, authority: Authority): string {
  return `${name.registry} ${name.repository} ${reference} ${authority}`;
}
