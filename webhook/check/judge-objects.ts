import type {Identities} from '../admission/identity.ts';
import {judgeAhead} from '../policy/judge.ts';
import {imagesOf, podOf} from '../policy/images-of.ts';
import type {PolicySet} from '../policy/policy-set.ts';
import {isJson} from '../policy/read-object.ts';
import type {ImageVerdict} from '../policy/shape.ts';
import {nameOf, type Found} from './read-objects.ts';

/** What is known of the cluster that the objects are for. */
export interface Surroundings {
  readonly policies: PolicySet;
  readonly identities: Identities;
  readonly pins: boolean;
  readonly nowMs: number;
  /** For objects that name none. */
  readonly namespace: string;
  /** Labels of a namespace. */
  readonly labelsOf: (namespace: string) => Readonly<Record<string, string>>;
}

/** One workload or pod, judged. */
export interface Judged {
  readonly where: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly images: readonly ImageVerdict[];
}

/** Judges every pod and pod template among the objects. @throws {TypeError} that names object and field. */
export function judgeObjects(objects: readonly Found[], surroundings: Surroundings): Judged[] {
  return objects.flatMap((found) => judgeOne(found, surroundings));
}

function judgeOne({where, object}: Found, surroundings: Surroundings): Judged[] {
  const {policies, identities, pins, nowMs, labelsOf} = surroundings;
  const metadata = isJson(object['metadata']) ? object['metadata'] : {};
  const kind = String(object['kind']);
  const name = nameOf(object);
  const namespace = typeof metadata['namespace'] === 'string' ? metadata['namespace'] : surroundings.namespace;
  try {
    const pod = podOf(object);
    if (pod === undefined) return [];
    const subject = {
      namespace,
      namespaceLabels: {'kubernetes.io/metadata.name': namespace, ...labelsOf(namespace)},
      podLabels: pod.labels,
      serviceAccount: pod.serviceAccount,
    };
    const images = imagesOf(pod).map((image) => ({
      ...image,
      identity: identities.of(image.written),
      resolution: undefined,
    }));
    return [{where, kind, namespace, name, images: judgeAhead(policies, {subject, images}, nowMs, pins).images}];
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new TypeError(`${where}: ${kind} ${name}: ${error.message}`, {cause: error});
  }
}
