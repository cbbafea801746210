import type {EventToRecord, Regarding} from '../kube/events.ts';
import type {UpstreamEvents} from '../oci/upstream-settings.ts';
import type {Log} from '../proc/log.ts';
import type {Told} from './admission/handler.ts';
import type {Decision} from './admission/decision.ts';
import {controllerOf} from './admission/origin.ts';
import type {AdmissionRequest} from './admission/review.ts';
import type {WebhookMetrics} from './metrics.ts';
import {refusing} from './policy/refusing.ts';
import type {Outcome} from './policy/shape.ts';

/** Of a log line: a pod of thousands is not told in full. */
const MAX_IMAGES = 100;

export interface TellParts {
  readonly metrics: WebhookMetrics;
  readonly log: Pick<Log, 'info'>;
  /** Kubernetes Events, de-duplicated and limited by whoever records them. */
  readonly record: (event: EventToRecord) => void;
}

/** One record of a decision feeds metrics, audit log and Events; the answer has told the user. */
export function newTeller({metrics, log, record}: TellParts): (told: Told) => void {
  return (told) => {
    const {request, decision, ms} = told;
    metrics.answered(decision.pass, request.operation, decision.reason, ms / 1000);
    for (const outcome of refusalsOf(decision)) metrics.refused(outcome);
    log.info('decision', auditOf(told));
    const event = request.dryRun ? undefined : eventOf(request, decision);
    if (event !== undefined) record(event);
  };
}

function refusalsOf({verdict}: Decision): readonly Outcome[] {
  return (verdict?.images ?? []).flatMap(({outcomes}) => refusing(outcomes));
}

/** The audit line: who wanted what, what became of it and why. */
function auditOf({id, request, decision, ms}: Told): Readonly<Record<string, unknown>> {
  const {uid, operation, kind, namespace, name, subResource, user, dryRun, object} = request;
  return {
    decision: id,
    uid,
    pass: decision.pass,
    allowed: decision.allowed,
    reason: decision.reason,
    operation,
    kind: subResource === '' ? kind.kind : `${kind.kind}/${subResource}`,
    namespace,
    name: name === '' ? generatedName(object) : name,
    user: user.username,
    ...(dryRun && {dryRun}),
    ...imagesOf(decision),
    ms: Math.round(ms * 100) / 100,
  };
}

/** Refused ones first, where there is not room for all. */
function imagesOf({images}: Decision): object {
  if (images.length === 0) return {};
  if (images.length <= MAX_IMAGES) return {images};
  const [refused, others] = [images.filter((one) => one.refused), images.filter((one) => !one.refused)];
  return {images: [...refused, ...others].slice(0, MAX_IMAGES), moreImages: images.length - MAX_IMAGES};
}

function generatedName(object: AdmissionRequest['object']): string {
  const {metadata} = object ?? {};
  const prefix = (metadata as Readonly<Record<string, unknown>> | undefined)?.['generateName'];
  return typeof prefix === 'string' ? `${prefix}…` : '';
}

/** For those who look at the workload and not at who was refused: a ReplicaSet whose pods do not come. */
function eventOf(request: AdmissionRequest, decision: Decision): EventToRecord | undefined {
  if (decision.pass !== 'validate') return undefined;
  const {reason, message = '', warnings} = decision;
  if (reason === 'denied') {
    // Its last line names this one decision; a pod that is tried again and again is one event that is counted.
    const same = message.slice(0, message.lastIndexOf('\n'));
    return {regarding: aboutOf(request), type: 'Warning', reason: 'ImageDenied', message, same};
  }
  if (reason === 'warned' || reason === 'mirror-pod') {
    if (warnings.length === 0) return undefined;
    return {regarding: aboutOf(request), type: 'Warning', reason: 'ImagePolicyWarning', message: warnings.join('\n')};
  }
  return undefined;
}

/** The pod if it has a name and nobody looks after it; else whoever does, for the pod will never be there. */
function aboutOf({object, namespace, name}: AdmissionRequest): Regarding {
  const owner = controllerOf(object);
  if (owner !== undefined)
    return {apiVersion: owner.apiVersion, kind: owner.kind, name: owner.name, namespace, uid: owner.uid};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    name: name === '' ? generatedName(object).replace(/…$/, '') || 'pod' : name,
    namespace,
  };
}

/** What the registry client reports. */
export function upstreamEvents(metrics: WebhookMetrics, log: Log): UpstreamEvents {
  return {
    request: (upstream, outcome, durationMs) => {
      metrics.upstreamRequests.inc({upstream, code: String(outcome)});
      metrics.upstreamDuration.times({upstream}).observe(durationMs / 1000);
    },
    token: (upstream, outcome) => metrics.tokenFetches.inc({upstream, outcome}),
    credentialsFailed: (upstream, message) => log.warn('credentials cannot be used', {upstream, error: message}),
    rateLimitRemaining: (upstream, remaining) => metrics.rateLimitRemaining.set({upstream}, remaining),
    ssrfDenied: (where) => metrics.ssrfDenied.inc({where}),
    breaker: (upstream, open) => {
      metrics.upstreamOpen.set({upstream}, open ? 1 : 0);
      if (open) log.warn('a registry fails repeatedly: it is asked less often until it answers', {upstream});
      else log.info('a registry answers again', {upstream});
    },
  };
}
