import {boundWarnings} from '../policy/denial.ts';
import {printImageReference} from '../../oci/image-reference.ts';
import {UpstreamError} from '../../oci/error.ts';
import {allow, type Decision, type ImageNote, type Replace} from './decision.ts';
import type {ReviewContext} from './context.ts';
import {pullSecretsOf} from './origin.ts';
import {planPins, type PinStep} from './pin-plan.ts';
import {readChange} from './pod-change.ts';
import type {AdmissionRequest} from './review.ts';
import {pinned, renamed} from './write-image.ts';

/** Different images of a pod that registries are asked about. No pod that is meant well comes near. */
export const MAX_ASKED_FOR_POD = 64;

/** One image's end: what it is now, and what there is to say of it. */
interface Done {
  readonly step: PinStep;
  readonly value: string;
  readonly note: Omit<ImageNote, 'path' | 'written'>;
  readonly warning?: string;
}

/**
 * Pins and rewrites the images that are new in a pod. It never refuses: what it cannot do is warned about, and the
 * validating pass decides (design §9).
 * @throws {TypeError} where the pod has not the shape of one.
 */
export async function mutate(request: AdmissionRequest, context: ReviewContext): Promise<Decision> {
  const change = request.namespace === context.ownNamespace ? undefined : readChange(request);
  if (change === undefined || change.pod.isTemplate) return allow('mutate', 'no-images');
  const steps = planPins(request, change, context.identities, context.pin);
  const rights = {namespace: request.namespace, secrets: pullSecretsOf(change.pod.spec)};
  const from = performance.now();
  const done = await Promise.all(bounded(steps).map((step) => take(step, rights, context)));
  if (steps.some(({act}) => act === 'pin')) context.phase('resolve', performance.now() - from);
  const patch = done.filter(({step, value}) => value !== step.image.written).map(replace);
  return allow('mutate', patch.length > 0 ? 'patched' : 'unchanged', {
    patch,
    warnings: boundWarnings(done.flatMap(({warning}) => (warning === undefined ? [] : [warning]))),
    images: done.map(({step: {image}, note}) => ({path: image.path, written: image.written, ...note})),
  });
}

/** Who may create a pod could otherwise have us ask a registry thousands of questions by it. */
function bounded(steps: readonly PinStep[]): readonly PinStep[] {
  const asked = new Set<string>();
  return steps.map((step) => {
    if (step.act !== 'pin') return step;
    if (asked.size < MAX_ASKED_FOR_POD) asked.add(step.image.written);
    return asked.has(step.image.written) ? step : {...step, act: 'rename', why: 'unresolved'};
  });
}

function replace({step, value}: Done): Replace {
  return {op: 'replace', path: step.image.pointer, value};
}

async function take(
  step: PinStep,
  pod: Parameters<ReviewContext['rightsFor']>[1],
  context: ReviewContext,
): Promise<Done> {
  const {written} = step.image;
  const {names} = context.identities;
  switch (step.act) {
    case 'leave':
      return {step, value: written, note: {left: step.why}};
    case 'keep':
      return {step, value: step.value, note: {pinned: step.value}};
    case 'rename': {
      const value = renamed(written, step.identity, names);
      const note = {canonical: printImageReference(step.identity), left: step.why};
      if (step.why !== 'unresolved') return {step, value, note};
      const {path} = step.image;
      return {
        step,
        value,
        note,
        warning: `${path}: ${written} is not pinned: its pod has more images than are asked about`,
      };
    }
    case 'pin':
      return pin(step, pod, context);
  }
}

async function pin(
  step: PinStep & {readonly act: 'pin'},
  pod: Parameters<ReviewContext['rightsFor']>[1],
  {identities, resolver, rightsFor, signal}: Pick<ReviewContext, 'identities' | 'resolver' | 'rightsFor' | 'signal'>,
): Promise<Done> {
  const {identity, image} = step;
  const {written} = image;
  try {
    const rights = await rightsFor(identity, pod, signal);
    const question = {name: identity, tag: identity.tag ?? 'latest', rights, tenant: pod.namespace};
    const {digest} = await resolver.resolve(question, signal);
    const value = pinned(written, identity, identities.names, digest);
    return {step, value, note: {canonical: printImageReference({...identity, digest}), pinned: value}};
  } catch (error) {
    const value = renamed(written, identity, identities.names);
    const warning = `${image.path}: ${written} is not pinned: ${whyNot(error)}`;
    return {step, value, note: {canonical: printImageReference(identity), left: 'unresolved'}, warning};
  }
}

/** What the registry did, in words that hold no secret. */
export function whyNot(error: unknown): string {
  if (error instanceof UpstreamError) return error.message;
  if (error instanceof Error && error.name === 'TimeoutError') return 'its registry did not answer in time';
  throw error;
}
