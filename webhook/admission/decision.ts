import type {Verdict} from '../policy/shape.ts';
import type {Pass} from './paths.ts';
import type {LeftAlone} from './pin-plan.ts';

/** Why a review ended as it did: one list for log, metrics and audit. */
export const DECISION_REASONS = [
  'patched',
  'unchanged',
  'no-images',
  'allowed',
  'warned',
  'denied',
  'mirror-pod',
  'own-namespace',
  'valid',
  'invalid',
  'unreadable',
  'unknowable',
  'out-of-time',
] as const;
export type DecisionReason = (typeof DECISION_REASONS)[number];

/** @see https://datatracker.ietf.org/doc/html/rfc6902#section-4.3 */
export interface Replace {
  readonly op: 'replace';
  readonly path: string;
  readonly value: string;
}

/** One image of a review, for the audit line. */
export interface ImageNote {
  readonly path: string;
  readonly written: string;
  /** What it means upstream, with the digest it was resolved to or has. */
  readonly canonical?: string | undefined;
  /** What became of it in the mutating pass. */
  readonly pinned?: string | undefined;
  readonly left?: LeftAlone | undefined;
  /** Policies that refuse it, and why. */
  readonly refused?: readonly string[] | undefined;
}

/** The end of a review. */
export interface Decision {
  readonly pass: Pass;
  readonly allowed: boolean;
  readonly reason: DecisionReason;
  /** What kubectl shows of a refusal; the decision's id is in it. */
  readonly message?: string | undefined;
  /** HTTP status of a refusal. */
  readonly code?: 400 | 403 | 422 | 504 | undefined;
  readonly warnings: readonly string[];
  readonly patch: readonly Replace[];
  readonly images: readonly ImageNote[];
  readonly verdict?: Verdict | undefined;
}

export function allow(pass: Pass, reason: DecisionReason, more: Partial<Decision> = {}): Decision {
  return {pass, allowed: true, reason, warnings: [], patch: [], images: [], ...more};
}
