import type {ResourceType} from './object.ts';

function core(plural: string, kind: string, namespaced = true): ResourceType {
  return {group: '', version: 'v1', plural, kind, namespaced};
}

function of(group: string, plural: string, kind: string, namespaced: boolean, version = 'v1'): ResourceType {
  return {group, version, plural, kind, namespaced};
}

const ADMISSION = 'admissionregistration.k8s.io';
/** The group of our own kinds. */
export const NOOST_GROUP = 'noost.dev';

export const NAMESPACES = core('namespaces', 'Namespace', false);
export const NODES = core('nodes', 'Node', false);
export const PODS = core('pods', 'Pod');
export const SECRETS = core('secrets', 'Secret');
export const CONFIG_MAPS = core('configmaps', 'ConfigMap');
export const SERVICES = core('services', 'Service');
export const SERVICE_ACCOUNTS = core('serviceaccounts', 'ServiceAccount');
export const EVENTS = core('events', 'Event');
export const ENDPOINT_SLICES = of('discovery.k8s.io', 'endpointslices', 'EndpointSlice', true);
export const DEPLOYMENTS = of('apps', 'deployments', 'Deployment', true);
export const DAEMON_SETS = of('apps', 'daemonsets', 'DaemonSet', true);
export const STATEFUL_SETS = of('apps', 'statefulsets', 'StatefulSet', true);
export const REPLICA_SETS = of('apps', 'replicasets', 'ReplicaSet', true);
export const JOBS = of('batch', 'jobs', 'Job', true);
export const CRON_JOBS = of('batch', 'cronjobs', 'CronJob', true);
export const LEASES = of('coordination.k8s.io', 'leases', 'Lease', true);
export const CUSTOM_RESOURCE_DEFINITIONS = of(
  'apiextensions.k8s.io',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  false,
);
export const MUTATING_WEBHOOKS = of(ADMISSION, 'mutatingwebhookconfigurations', 'MutatingWebhookConfiguration', false);
export const VALIDATING_WEBHOOKS = of(
  ADMISSION,
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
  false,
);
export const TOKEN_REVIEWS = of('authentication.k8s.io', 'tokenreviews', 'TokenReview', false);
export const SUBJECT_ACCESS_REVIEWS = of('authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview', false);
export const CLUSTER_ROLES = of('rbac.authorization.k8s.io', 'clusterroles', 'ClusterRole', false);
export const CLUSTER_ROLE_BINDINGS = of(
  'rbac.authorization.k8s.io',
  'clusterrolebindings',
  'ClusterRoleBinding',
  false,
);

export const CLUSTER_IMAGE_POLICIES = of(NOOST_GROUP, 'clusterimagepolicies', 'ClusterImagePolicy', false, 'v1alpha1');
export const IMAGE_POLICIES = of(NOOST_GROUP, 'imagepolicies', 'ImagePolicy', true, 'v1alpha1');
/** Cluster-wide by the shape in the issue: only who may write cluster objects may lift a policy. */
export const IMAGE_POLICY_EXCEPTIONS = of(
  NOOST_GROUP,
  'imagepolicyexceptions',
  'ImagePolicyException',
  false,
  'v1alpha1',
);
