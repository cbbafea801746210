import {imagesOf, podOf, type PodPart} from '../policy/images-of.ts';
import type {ImageInObject} from '../policy/shape.ts';
import type {AdmissionRequest} from './review.ts';

/** A pod or a template as it is, and what of it is new. */
export interface PodChange {
  readonly pod: PodPart;
  readonly images: readonly ImageInObject[];
  /** Fields that were not there before, or said something else. All of them at a CREATE. */
  readonly changed: readonly ImageInObject[];
  /** What was there; `undefined` at a CREATE. */
  readonly before: PodPart | undefined;
  /** By `slotOf`. */
  readonly old: ReadonlyMap<string, ImageInObject>;
}

/**
 * @returns `undefined` for an object that has no pod in it.
 * @throws {TypeError} where an object has not the shape of its kind; the message names the field.
 */
export function readChange({operation, object, oldObject}: AdmissionRequest): PodChange | undefined {
  const pod = podOf(object);
  if (pod === undefined) return undefined;
  const before = operation === 'UPDATE' ? podOf(oldObject) : undefined;
  const images = imagesOf(pod);
  const old = new Map((before === undefined ? [] : imagesOf(before)).map((image) => [slotOf(image), image]));
  const changed = images.filter((image) => old.get(slotOf(image))?.written !== image.written);
  return {pod, images, changed, before, old};
}

/** A place in a pod: containers and volumes are told apart by their names, not by where they stand in a list. */
export function slotOf({field, name}: ImageInObject): string {
  return `${field} ${name}`;
}
