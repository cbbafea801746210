import {judge} from '../policy/judge.ts';
import {denialMessage, warningsOf} from '../policy/denial.ts';
import {permitted} from '../policy/refusing.ts';
import type {ImageVerdict, PolicyName, Question, Verdict} from '../policy/shape.ts';
import type {ReviewContext} from './context.ts';
import {allow, type Decision} from './decision.ts';
import {notesOf} from './note.ts';
import {isMirrorPod} from './origin.ts';
import {readChange, slotOf, type PodChange} from './pod-change.ts';
import {haveSameLabels, proven, questionOf, subjectOf, supposing, UnknowableError} from './question.ts';
import type {AdmissionRequest} from './review.ts';

/**
 * Judges the images of a pod as it really is. Nothing on the object is believed: neither annotations nor owners nor what
 * the mutating pass did. An update is asked about what it changes: a policy that became stricter does not hold up a pod
 * that runs (policy-peers §7 74).
 * @throws {TypeError} where the pod has not the shape of one.
 */
export async function validate(request: AdmissionRequest, context: ReviewContext): Promise<Decision> {
  if (request.namespace === context.ownNamespace) return allow('validate', 'own-namespace');
  const change = readChange(request);
  if (change === undefined || change.pod.isTemplate) return allow('validate', 'no-images');
  const isRelabelled = change.before !== undefined && !haveSameLabels(change.before, change.pod);
  if (change.changed.length === 0 && !isRelabelled) return allow('validate', 'unchanged');
  try {
    return await judged(request, change, isRelabelled, context);
  } catch (error) {
    if (!(error instanceof UnknowableError)) throw error;
    const message = `noost cannot judge this pod: ${error.message}. Nothing is known against its images; try again (decision ${context.id})`;
    return {...allow('validate', 'unknowable'), allowed: false, code: 403, message};
  }
}

async function judged(
  request: AdmissionRequest,
  change: PodChange,
  isRelabelled: boolean,
  context: ReviewContext,
): Promise<Decision> {
  const subject = await subjectOf(request.namespace, change.pod, context);
  const asked = questionOf(subject, isRelabelled ? change.images : change.changed, context);
  const {question, unproven} = await proven(asked, change.pod, context);
  const from = performance.now();
  const verdictOf = (one: Question): Verdict => {
    const verdict = judge(context.policies, one, context.nowMs);
    return isRelabelled ? newlyApplying(verdict, one, change, context) : verdict;
  };
  const verdict = verdictOf(question);
  context.phase('match', performance.now() - from);
  const images = notesOf(verdict);
  if (isMirrorPod(request)) return allow('validate', 'mirror-pod', {verdict, images, warnings: ofMirrorPod(verdict)});
  const warnings = [...warningsOf(verdict)];
  if (verdict.allowed)
    return allow('validate', warnings.length > 0 ? 'warned' : 'allowed', {verdict, images, warnings});
  // Refused only because a registry did not say what its tag is: then nobody knows, and that is the failure policy's.
  if (unproven.length > 0 && context.failurePolicy === 'Ignore' && verdictOf(supposing(question, unproven)).allowed) {
    const told = unproven.map(({path, written}) => `${path}: ${written} was not judged: its registry did not answer`);
    return allow('validate', 'unknowable', {verdict, images, warnings: [...told, ...warnings]});
  }
  const message = denialMessage(verdict, context.id);
  return {...allow('validate', 'denied', {verdict, images, warnings}), allowed: false, code: 403, message};
}

/**
 * Of images that do not change, what the policies say that the pod's old labels kept away: a label must not lead a pod
 * into a policy's reach past its rules.
 */
function newlyApplying(
  verdict: Verdict,
  {subject}: Question,
  change: PodChange,
  {policies, nowMs}: ReviewContext,
): Verdict {
  const changed = new Set(change.changed.map(slotOf));
  const before = {...subject, podLabels: change.before?.labels ?? {}};
  const images = verdict.images.map((one): ImageVerdict => {
    if (changed.has(slotOf(one.image))) return one;
    const known = judge(policies, {subject: before, images: [one.image]}, nowMs).images[0]?.outcomes ?? [];
    const applied = new Set(known.map(({policy}) => nameOf(policy)));
    const outcomes = one.outcomes.filter(({policy}) => !applied.has(nameOf(policy)));
    return {image: one.image, outcomes, allowed: permitted(outcomes)};
  });
  return {images, allowed: images.every(({allowed}) => allowed)};
}

function nameOf({kind, name}: PolicyName): string {
  return `${kind} ${name}`;
}

function ofMirrorPod(verdict: Verdict): readonly string[] {
  return verdict.images
    .filter(({allowed}) => !allowed)
    .map(({image}) => `${image.path}: policies refuse ${image.written}, but the node runs this pod from a file`);
}
