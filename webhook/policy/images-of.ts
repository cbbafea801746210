import type {ImageField, ImageInObject} from './shape.ts';

/** The pod, or the template of pods, inside an object. */
export interface PodPart {
  /** A pod must name its images; a template may leave that to whoever makes the pod (policy-peers §7 15). */
  readonly isTemplate: boolean;
  /** Steps from the object to the part that has `metadata` and `spec`. */
  readonly steps: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Kind → steps to its pod template. Group and version do not matter: they agree on this (policy-peers §7 30). */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  PodTemplate: ['template'],
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};
/** Only of these groups: a foreign kind of the same name may have any shape. */
const GROUPS: ReadonlySet<string> = new Set(['', 'apps', 'batch', 'extensions']);

/** A pod's lists of containers, and what one of each is called. */
export const CONTAINERS: readonly (readonly [string, ImageField])[] = [
  ['initContainers', 'initContainer'],
  ['containers', 'container'],
  ['ephemeralContainers', 'ephemeralContainer'],
];

type Record_ = Readonly<Record<string, unknown>>;

/**
 * The pod or the template in `object`.
 * @returns `undefined` for an object that has none: another kind, or a template that is not there (RC without one).
 * @throws {TypeError} where the object has not the shape of its kind; the message names the field.
 */
export function podOf(object: unknown): PodPart | undefined {
  const root = record(object, '') ?? {};
  const steps = stepsOf(root);
  if (steps === undefined) return undefined;
  let part: Record_ = root;
  for (const [i, step] of steps.entries()) {
    const next = record(part[step], steps.slice(0, i + 1).join('.'));
    if (next === undefined) return undefined;
    part = next;
  }
  const spec = record(part['spec'], [...steps, 'spec'].join('.')) ?? {};
  const metadata = record(part['metadata'], [...steps, 'metadata'].join('.')) ?? {};
  const account = spec['serviceAccountName'] || spec['serviceAccount'];
  return {
    isTemplate: steps.length > 0,
    steps,
    labels: labelsOf(metadata['labels'], [...steps, 'metadata', 'labels'].join('.')),
    serviceAccount: typeof account === 'string' ? account : 'default',
    spec,
  };
}

function stepsOf(root: Record_): readonly string[] | undefined {
  const {kind, apiVersion} = root;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string' || !Object.hasOwn(TEMPLATES, kind)) return undefined;
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  return GROUPS.has(group) ? TEMPLATES[kind] : undefined;
}

/**
 * Every field of a pod or template that names an image, in the order of the fields: init containers, containers,
 * ephemeral containers, image volumes. In templates those without an image are left out.
 * @throws {TypeError} where the spec has not its shape; the message names the field.
 */
export function imagesOf({spec, steps, isTemplate}: PodPart): ImageInObject[] {
  const base: readonly string[] = [...steps, 'spec'];
  const containers = CONTAINERS.flatMap(([list, field]) =>
    items(spec[list], [...base, list]).map(([container, at]) =>
      newImage(field, container, [...at, 'image'], container['image'], container['imagePullPolicy']),
    ),
  );
  const volumes = items(spec['volumes'], [...base, 'volumes']).flatMap(([volume, at]) => {
    const image = record(volume['image'], pathOf([...at, 'image']));
    if (image === undefined) return [];
    return [newImage('imageVolume', volume, [...at, 'image', 'reference'], image['reference'], image['pullPolicy'])];
  });
  return [...containers, ...volumes].filter(({written}) => !isTemplate || written !== '');
}

type Step = string | number;

function newImage(
  field: ImageField,
  {name}: Record_,
  steps: readonly Step[],
  ...[written, pullPolicy]: readonly [unknown, unknown]
): ImageInObject {
  if (written !== undefined && written !== null && typeof written !== 'string')
    throw new TypeError(`${pathOf(steps)}: expected text`);
  return {
    path: pathOf(steps),
    pointer: steps.map((step) => `/${String(step)}`).join(''), // no step has "~" or "/"
    field,
    name: typeof name === 'string' ? name : '',
    written: written ?? '',
    pullPolicy: typeof pullPolicy === 'string' ? pullPolicy : undefined,
  };
}

/** `spec.containers[0].image` */
function pathOf(steps: readonly Step[]): string {
  return steps.reduce<string>(
    (path, step) => (typeof step === 'number' ? `${path}[${step}]` : path === '' ? step : `${path}.${step}`),
    '',
  );
}

function items(list: unknown, steps: readonly Step[]): (readonly [Record_, readonly Step[]])[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw new TypeError(`${pathOf(steps)}: expected a list`);
  return list.map((item: unknown, i) => {
    const at = [...steps, i];
    const found = record(item, pathOf(at));
    if (found === undefined) throw new TypeError(`${pathOf(at)}: expected an object`);
    return [found, at] as const;
  });
}

function record(value: unknown, path: string): Record_ | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value))
    throw new TypeError(`${path === '' ? 'object' : path}: expected an object`);
  return value as Record_; // an object of JSON
}

function labelsOf(value: unknown, path: string): Readonly<Record<string, string>> {
  const labels = Object.entries(record(value, path) ?? {});
  const wrong = labels.find(([, text]) => typeof text !== 'string');
  if (wrong !== undefined) throw new TypeError(`${path}.${wrong[0]}: expected text`);
  return Object.fromEntries(labels) as Record<string, string>; // checked above
}
