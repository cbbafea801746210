import {isDeepStrictEqual} from 'node:util';
import {imagesToProve} from '../policy/judge.ts';
import type {ImageInObject, ImageInQuestion, Question, Resolution, Subject} from '../policy/shape.ts';
import type {PodPart} from '../policy/images-of.ts';
import type {ReviewContext} from './context.ts';
import {isReadable} from './identity.ts';
import {MAX_ASKED_FOR_POD, whyNot} from './mutate.ts';
import {pullSecretsOf} from './origin.ts';

const TOO_MANY: Resolution = {found: false, why: 'its pod has more images than are asked about'};

/** Nothing can be judged: who the pod is for cannot be learnt. It is refused, never skipped (policy-peers §7 46). */
export class UnknowableError extends Error {
  override readonly name = 'UnknowableError';
}

/** Whose images they are. @throws {UnknowableError} */
export async function subjectOf(namespace: string, pod: PodPart, context: ReviewContext): Promise<Subject> {
  const from = performance.now();
  try {
    const namespaceLabels = await context.namespaceLabels(namespace, context.signal);
    return {namespace, namespaceLabels, podLabels: pod.labels, serviceAccount: pod.serviceAccount};
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UnknowableError(`the labels of namespace ${namespace} cannot be learnt (${why})`, {cause: error});
  } finally {
    context.phase('match', performance.now() - from);
  }
}

/** The images as they are to be judged, with what is known of their tags without asking anybody. */
export function questionOf(subject: Subject, images: readonly ImageInObject[], {identities}: ReviewContext): Question {
  return {
    subject,
    images: images.map((image) => ({...image, identity: identities.of(image.written), resolution: undefined})),
  };
}

/** The question with each tag that matters asked about at its registry, and the images of which none could be. */
export async function proven(
  question: Question,
  pod: PodPart,
  context: ReviewContext,
): Promise<{readonly question: Question; readonly unproven: readonly ImageInQuestion[]}> {
  const toProve = new Set(imagesToProve(context.policies, question, context.nowMs));
  if (toProve.size === 0) return {question, unproven: []};
  const from = performance.now();
  const rights = {namespace: question.subject.namespace, secrets: pullSecretsOf(pod.spec)};
  const asked = new Set([...new Set([...toProve].map(({written}) => written))].slice(0, MAX_ASKED_FOR_POD));
  const ask = (image: ImageInQuestion): Resolution | Promise<Resolution> =>
    asked.has(image.written) ? resolutionOf(image, rights, context) : TOO_MANY;
  const images = await Promise.all(
    question.images.map(async (image) => (toProve.has(image) ? {...image, resolution: await ask(image)} : image)),
  );
  context.phase('resolve', performance.now() - from);
  return {
    question: {...question, images},
    unproven: images.filter(({resolution}) => resolution?.found === false),
  };
}

async function resolutionOf(
  {identity}: ImageInQuestion,
  pod: Parameters<ReviewContext['rightsFor']>[1],
  {resolver, rightsFor, signal}: ReviewContext,
): Promise<Resolution> {
  if (!isReadable(identity)) return {found: false, why: 'it cannot be read'};
  try {
    const rights = await rightsFor(identity, pod, signal);
    const {namespace: tenant} = pod;
    const question = {name: identity, tag: identity.tag ?? 'latest', rights, tenant, expected: identity.digest};
    const {digest, state} = await resolver.resolve(question, signal);
    return {found: true, digest, cached: state !== 'miss'};
  } catch (error) {
    return {found: false, why: whyNot(error)};
  }
}

/** The question as it would be if the registries that did not answer had said yes. */
export function supposing(question: Question, unproven: readonly ImageInQuestion[]): Question {
  const images = question.images.map((image) => {
    if (!unproven.includes(image) || !isReadable(image.identity) || image.identity.digest === undefined) return image;
    return {...image, resolution: {found: true, digest: image.identity.digest, cached: true} as const};
  });
  return {...question, images};
}

export function haveSameLabels(a: PodPart, b: PodPart): boolean {
  return isDeepStrictEqual(a.labels, b.labels);
}
