import type {Rights, Resolver} from '../resolve/resolver.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {FailurePolicy, PinConfig} from '../config/shape.ts';
import type {PolicySet} from '../policy/policy-set.ts';
import type {Identities} from './identity.ts';

export type Labels = Readonly<Record<string, string>>;

/** What a review is decided with, as it is at its beginning: neither a reload nor a new policy changes it half-way. */
export interface ReviewContext {
  /** Names the decision in its message, its log line, its event and the API server's audit log. */
  readonly id: string;
  readonly policies: PolicySet;
  readonly identities: Identities;
  readonly pin: PinConfig;
  readonly failurePolicy: FailurePolicy;
  readonly ownNamespace: string;
  readonly resolver: Resolver;
  /** For policies' expiry. */
  readonly nowMs: number;
  /** Ends when the answer is due. */
  readonly signal: AbortSignal;
  /** @throws {Error} if they cannot be learnt: then nothing can be judged. */
  readonly namespaceLabels: (namespace: string, signal: AbortSignal) => Promise<Labels>;
  /** With whose rights a pod's image is resolved. */
  readonly rightsFor: (name: RepositoryName, pod: PodRights, signal: AbortSignal) => Promise<Rights>;
  /** How long each part took. */
  readonly phase: (name: Phase, ms: number) => void;
}

export interface PodRights {
  readonly namespace: string;
  readonly secrets: readonly string[];
}

/** Parts of a review that are measured. */
export const PHASES = ['read', 'match', 'resolve', 'answer'] as const;
export type Phase = (typeof PHASES)[number];
