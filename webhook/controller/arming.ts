import type {FailurePolicy} from '../config/shape.ts';

/** The label or annotation on our own Namespace by which an administrator lifts the webhook, also against its will. */
export const SWITCH = 'noost.dev/webhook';
/**
 * `off`: no configurations, the API server does not call us. `ignore`: they stay, and fail open. Anything else is not a
 * position of the switch and changes nothing.
 */
export type Switch = 'off' | 'ignore' | undefined;

export function switchOf(annotations: Readonly<Record<string, string>> | undefined): Switch {
  const value = annotations?.[SWITCH];
  return value === 'off' || value === 'ignore' ? value : undefined;
}

export interface ArmingState {
  readonly configured: FailurePolicy;
  readonly switch: Switch;
  /** What the live configuration says, if it is there and ours. */
  readonly live: FailurePolicy | undefined;
  /** Replicas that the API server could call. */
  readonly readyReplicas: number;
  /** Of the Deployment, 0 after it was deleted; `undefined` if nobody says. */
  readonly wantedReplicas: number | undefined;
}

/** With two, one may fail or be replaced without anybody noticing; where one is all there is, one has to do. */
const MIN_READY = 2;

export function replicasToArm({wantedReplicas}: Pick<ArmingState, 'wantedReplicas'>): number {
  return Math.max(1, Math.min(MIN_READY, wantedReplicas ?? MIN_READY));
}

/**
 * What the API server is to do when no webhook answers. Open until enough replicas are ready; from then on as configured,
 * and for good: that replicas fail afterwards is what `Fail` is for, and whoever could make them fail must not thereby be
 * rid of the policies. Open again when there shall be none: the Deployment was scaled to nothing, or deleted.
 */
export function failurePolicyFor(state: ArmingState): FailurePolicy {
  if (state.configured === 'Ignore' || state.switch === 'ignore') return 'Ignore';
  if (state.wantedReplicas === 0) return 'Ignore';
  if (state.live === 'Fail') return 'Fail';
  return state.readyReplicas >= replicasToArm(state) ? 'Fail' : 'Ignore';
}
