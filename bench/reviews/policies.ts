import type {ExceptionObject, PolicyObject} from '../../webhook/policy/shape.ts';

const API_VERSION = 'noost.dev/v1alpha1';
const NEVER = '2099-12-31T00:00:00Z';

/**
 * Policies that all apply to every pod of the bench and accept its images, with a rule of each kind; and exceptions, one
 * for each policy, of other images: nothing is spared and nothing refused.
 */
export function manyPolicies(count: number): readonly (PolicyObject | ExceptionObject)[] {
  return Array.from({length: count}, (_, i) => [policy(i), exception(i)]).flat();
}

function policy(i: number): PolicyObject {
  return {
    apiVersion: API_VERSION,
    kind: 'ClusterImagePolicy',
    metadata: {name: `bench-${String(i)}`},
    spec: {
      mode: 'Enforce',
      default: 'Deny',
      rules: [
        {name: 'ours', match: [{registry: 'reg.test'}, {registry: `*.corp-${String(i)}.example`}], action: 'Allow'},
        {
          name: 'official',
          match: [{registry: 'docker.io', repository: 'library/**'}],
          action: 'Allow',
          require: {digest: true},
        },
        {
          name: 'old',
          match: [{repository: `team-${String(i)}/**/old-*`}, {tag: {regex: `v0\\.${String(i)}\\..*`}}],
          action: 'Deny',
        },
      ],
    },
  };
}

function exception(i: number): ExceptionObject {
  return {
    apiVersion: API_VERSION,
    kind: 'ImagePolicyException',
    metadata: {name: `bench-${String(i)}`},
    spec: {
      policies: [`bench-${String(i)}`],
      match: [{registry: 'quay.io', repository: `acme/debug-${String(i)}`}],
      expires: NEVER,
      reason: 'bench',
      owner: 'bench',
    },
  };
}
