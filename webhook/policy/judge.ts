import type {Digest} from '../../oci/digest.ts';
import type {PolicySet} from './policy-set.ts';
import {permitted, refusing} from './refusing.ts';
import type {ImageInQuestion, Question, Verdict} from './shape.ts';

/**
 * Judges every image of a pod. Every policy that applies must accept it; only those that enforce can refuse the pod.
 * Pure: the same set, question and time give the same verdict, whatever was asked before.
 */
export function judge(set: PolicySet, {subject, images}: Question, nowMs: number): Verdict {
  const places = set.applicable(subject);
  const verdicts = images.map((image) => {
    const outcomes = set.outcomes(places, image, isVouched(image), nowMs);
    return {image, allowed: permitted(outcomes), outcomes};
  });
  return {allowed: verdicts.every(({allowed}) => allowed), images: verdicts};
}

/**
 * Judges the images of a template, or of a manifest on somebody's disk: as their pods will be when the mutating pass has
 * written digests behind tags. Which digests these are nobody knows here, only that there will be one.
 * @param pins whether that pass pins.
 */
export function judgeAhead(set: PolicySet, question: Question, nowMs: number, pins: boolean): Verdict {
  const asWritten = judge(set, question, nowMs);
  if (!pins) return asWritten;
  const asPinned = judge(set, {...question, images: question.images.map(supposePinned)}, nowMs);
  const images = asWritten.images.map((verdict, i) => {
    const outcomes = verdict.outcomes.map((outcome, j) =>
      outcome.reason === 'digest-missing' || outcome.reason === 'tag-unproven'
        ? (asPinned.images[i]?.outcomes[j] ?? outcome)
        : outcome,
    );
    return {...verdict, outcomes, allowed: permitted(outcomes)};
  });
  return {allowed: images.every(({allowed}) => allowed), images};
}

const SOME_DIGEST: Digest = `sha256:${'0'.repeat(64)}`;

function supposePinned(image: ImageInQuestion): ImageInQuestion {
  const {identity, pullPolicy} = image;
  if ('unreadable' in identity || pullPolicy === 'Never') return image; // it stays as it is written
  const digest = identity.digest ?? SOME_DIGEST;
  return {...image, identity: {...identity, digest}, resolution: {found: true, digest, cached: true}};
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
    const [asIs, proven] = [false, true].map((vouched) => refusing(set.outcomes(places, image, vouched, nowMs)));
    return asIs?.length !== proven?.length || asIs?.some(({policy}, i) => policy !== proven?.[i]?.policy) === true;
  });
}
