import type {PolicySet} from './policy-set.ts';
import type {ImageInQuestion, Outcome, Question, Verdict} from './shape.ts';

/**
 * Judges every image of a pod. Every policy that applies must accept it; only those that enforce can refuse the pod.
 * Pure: the same set, question and time give the same verdict, whatever was asked before.
 */
export function judge(set: PolicySet, {subject, images}: Question, nowMs: number): Verdict {
  const places = set.applicable(subject);
  const verdicts = images.map((image) => {
    const outcomes = set.outcomes(places, image, isVouched(image), nowMs);
    return {image, allowed: outcomes.every(permits), outcomes};
  });
  return {allowed: verdicts.every(({allowed}) => allowed), images: verdicts};
}

function permits({accepts, mode}: Outcome): boolean {
  return accepts || mode !== 'Enforce';
}

/** Whether the registry says that the image's tag is the image's digest. */
function isVouched({identity, resolution}: ImageInQuestion): boolean {
  return (
    !('unreadable' in identity) &&
    identity.tag !== undefined &&
    identity.digest !== undefined &&
    resolution?.found === true &&
    resolution.digest === identity.digest
  );
}

/**
 * The images that a policy would judge in another way if the registry vouched for their tags: only for these is it worth
 * asking. A tag beside a digest means nothing to the node.
 */
export function imagesToProve(set: PolicySet, {subject, images}: Question, nowMs: number): ImageInQuestion[] {
  const places = set.applicable(subject);
  return images.filter((image) => {
    const {identity} = image;
    if ('unreadable' in identity || identity.tag === undefined || identity.digest === undefined) return false;
    const proven = set.outcomes(places, image, true, nowMs);
    return set.outcomes(places, image, false, nowMs).some(({accepts}, i) => accepts !== proven[i]?.accepts);
  });
}
