import {CONTAINERS, podOf} from '../policy/images-of.ts';
import {isJson} from '../policy/read-object.ts';
import {nameOf, type Found} from './read-objects.ts';

/** Deeper than any template of a pod lies in an object. */
const MAX_DEPTH = 24;
const LISTS: ReadonlySet<string> = new Set(CONTAINERS.map(([list]) => list));

/** An object of a kind that is not known, which seems to hold containers. */
export interface NotJudged {
  readonly where: string;
  readonly kind: string;
  readonly name: string;
}

/**
 * Objects that bring containers to a cluster in a way of their own: what their controllers make of them is not known here.
 * It is judged when the pods are made; who reads "0 refused" has to know that it was not judged now. @throws {TypeError} as podOf does.
 */
export function notJudged(objects: readonly Found[]): NotJudged[] {
  return objects
    .filter(({object}) => podOf(object) === undefined && holdsContainers(object, 0))
    .map(({where, object}) => ({where, kind: String(object['kind']), name: nameOf(object)}));
}

function holdsContainers(value: unknown, depth: number): boolean {
  if (depth > MAX_DEPTH || typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, below]) =>
    LISTS.has(key) && Array.isArray(below) ? below.some(hasImage) : holdsContainers(below, depth + 1),
  );
}

function hasImage(container: unknown): boolean {
  return isJson(container) && typeof container['image'] === 'string';
}
