import {globMatches} from '../policy/glob.ts';
import type {ImageIdentity} from '../../oci/image-reference.ts';
import type {ImageInObject} from '../policy/shape.ts';
import type {PinConfig} from '../config/shape.ts';
import {isReadable, type Identities} from './identity.ts';
import {controllerOf, isForeign, isInjected, isMirrorPod, ownerKind} from './origin.ts';
import {slotOf, type PodChange} from './pod-change.ts';
import type {AdmissionRequest} from './review.ts';

/** Why an image stays as it is: for the audit line and the metrics. */
export type LeftAlone =
  | 'mirror-pod'
  | 'foreign-controller'
  | 'unreadable'
  | 'never-pulled'
  | 'injected'
  | 'has-digest'
  | 'disabled'
  | 'unresolved';

/** What is to be done with one image of the object. */
export type PinStep =
  | {readonly image: ImageInObject; readonly act: 'leave'; readonly why: LeftAlone}
  /** The digest and the name it had, so that nothing restarts. */
  | {readonly image: ImageInObject; readonly act: 'keep'; readonly value: string}
  /** Only its name may be another. */
  | {readonly image: ImageInObject; readonly act: 'rename'; readonly identity: ImageIdentity; readonly why: LeftAlone}
  | {readonly image: ImageInObject; readonly act: 'pin'; readonly identity: ImageIdentity};

/** What to do with each image that is new in a pod (design §9). Pure: nobody is asked anything. */
export function planPins(
  request: AdmissionRequest,
  change: PodChange,
  identities: Identities,
  pin: PinConfig,
): readonly PinStep[] {
  const whole = wholePod(request, pin);
  return change.changed.map((image) => {
    // An ephemeral container is in no template, so no controller misses it.
    if (whole !== undefined && !(whole === 'foreign-controller' && image.field === 'ephemeralContainer'))
      return {image, act: 'leave', why: whole};
    return planOne(image, request, change, {identities, pin});
  });
}

function wholePod(request: AdmissionRequest, {owners, namespaces}: PinConfig): LeftAlone | undefined {
  if (isMirrorPod(request)) return 'mirror-pod';
  // On an update the old object says who owns it: whoever may edit a pod could otherwise say so of itself.
  const owner = controllerOf(request.oldObject ?? request.object);
  if (owner === undefined || !isForeign(owner) || owners.includes(ownerKind(owner))) return undefined;
  return namespaces.some((glob) => globMatches(glob, request.namespace)) ? undefined : 'foreign-controller';
}

function planOne(
  image: ImageInObject,
  request: AdmissionRequest,
  {old}: PodChange,
  {identities, pin}: {readonly identities: Identities; readonly pin: PinConfig},
): PinStep {
  const identity = identities.of(image.written);
  if (!isReadable(identity)) return {image, act: 'leave', why: 'unreadable'};
  // The node looks for it under this very name.
  if (image.pullPolicy === 'Never') return {image, act: 'leave', why: 'never-pulled'};
  if (image.written === 'auto' && isInjected(request.object)) return {image, act: 'leave', why: 'injected'};
  if (identity.digest !== undefined) return {image, act: 'rename', identity, why: 'has-digest'};
  const before = old.get(slotOf(image));
  if (before !== undefined && isSameTag(identities.of(before.written), identity))
    return {image, act: 'keep', value: before.written};
  return pin.enabled ? {image, act: 'pin', identity} : {image, act: 'rename', identity, why: 'disabled'};
}

/** Whether it was pinned and is the same name and tag: `kubectl apply` of what was written before pinning. */
function isSameTag(before: ReturnType<Identities['of']>, {registry, repository, tag}: ImageIdentity): boolean {
  return (
    isReadable(before) &&
    before.digest !== undefined &&
    before.registry === registry &&
    before.repository === repository &&
    before.tag === tag
  );
}
