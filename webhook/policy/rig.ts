import {parseImageReference} from '../../oci/image-reference.ts';
import {compilePolicies} from './compile.ts';
import {judge} from './judge.ts';
import {API_VERSION} from './shape.ts';
import type {
  ExceptionObject,
  ExceptionSpec,
  ImageInQuestion,
  PolicyObject,
  PolicySpec,
  Resolution,
  Subject,
  Verdict,
} from './shape.ts';

/** For tests: policies and questions in few words. */
export const NOW = Date.parse('2026-11-25T20:00:00Z');
export const A = `sha256:${'a'.repeat(64)}` as const;
export const B = `sha256:${'b'.repeat(64)}` as const;
export const OWN_NAMESPACE = 'noost-system';

export function clusterPolicy(spec: PolicySpec, name = 'production'): PolicyObject {
  return {apiVersion: API_VERSION, kind: 'ClusterImagePolicy', metadata: {name}, spec};
}

export function namespacedPolicy(spec: PolicySpec, namespace = 'team-a', name = 'local'): PolicyObject {
  return {apiVersion: API_VERSION, kind: 'ImagePolicy', metadata: {name, namespace}, spec};
}

export function exception(spec: Partial<ExceptionSpec>, name = 'incident-42'): ExceptionObject {
  const full = {
    policies: ['production'],
    match: [{registry: 'quay.io'}],
    expires: '2026-12-31T00:00:00Z',
    reason: 'incident 42',
    owner: 'platform team',
    ...spec,
  };
  return {apiVersion: API_VERSION, kind: 'ImagePolicyException', metadata: {name}, spec: full};
}

export function subject(given: Partial<Subject> = {}): Subject {
  return {namespace: 'team-a', namespaceLabels: {}, podLabels: {}, serviceAccount: 'default', ...given};
}

export function question(written: string, resolution?: Resolution, at = 0): ImageInQuestion {
  const path = `spec.containers[${at}].image`;
  const pointer = `/spec/containers/${at}/image`;
  return {
    path,
    pointer,
    field: 'container',
    name: `c${at}`,
    written,
    pullPolicy: undefined,
    identity: identify(written),
    resolution,
  };
}

export function identify(written: string): ImageInQuestion['identity'] {
  try {
    return parseImageReference(written);
  } catch (error) {
    return {unreadable: (error as Error).message};
  }
}

export function ask(
  objects: readonly unknown[],
  images: readonly (string | ImageInQuestion)[],
  given: Partial<Subject> = {},
  nowMs = NOW,
): Verdict {
  const {set} = compilePolicies(objects, {ownNamespace: OWN_NAMESPACE});
  const asked = images.map((image, i) => (typeof image === 'string' ? question(image, undefined, i) : image));
  return judge(set, {subject: subject(given), images: asked}, nowMs);
}
