import type {FailurePolicy} from '../config/shape.ts';
import {ADMISSION_PATHS, type Pass} from '../admission/paths.ts';
import {GROUP} from '../policy/shape.ts';

/** How the API server finds us. */
export type Target =
  | {readonly url: string}
  | {readonly service: {readonly namespace: string; readonly name: string; readonly port: number}};

export interface EntriesOptions {
  /** Where we run: no pod of it waits for us. */
  readonly namespace: string;
  readonly target: Target;
  /** PEM. */
  readonly bundle: string;
  /** Of what judges; the rest always fails open. */
  readonly failurePolicy: FailurePolicy;
}

/** One entry of a configuration, with every field that the API server would otherwise fill in: two can be compared. */
export interface WebhookEntry {
  readonly name: string;
  readonly failurePolicy: FailurePolicy;
  readonly clientConfig: {readonly caBundle: string};
  readonly [field: string]: unknown;
}

const SYSTEM = 'kube-system';
/** Set by the API server on every namespace, and immutable: no user's label gets a namespace past us. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly operations: readonly string[];
  readonly resources: readonly string[];
  readonly scope: 'Namespaced' | '*';
}

const PODS: readonly Rule[] = [
  {apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['pods'], scope: 'Namespaced'},
  {
    apiGroups: [''],
    apiVersions: ['v1'],
    operations: ['UPDATE'],
    resources: ['pods/ephemeralcontainers'],
    scope: 'Namespaced',
  },
];

const LABELS: readonly Rule[] = [
  {apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['pods'], scope: 'Namespaced'},
];

function templates(group: string, resources: readonly string[]): Rule {
  return {apiGroups: [group], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources, scope: 'Namespaced'};
}

const TEMPLATES: readonly Rule[] = [
  templates('', ['replicationcontrollers', 'podtemplates']),
  templates('apps', ['deployments', 'statefulsets', 'daemonsets', 'replicasets']),
  templates('batch', ['jobs', 'cronjobs']),
];

const POLICIES: readonly Rule[] = [
  {
    apiGroups: [GROUP],
    apiVersions: ['*'],
    operations: ['CREATE', 'UPDATE'],
    resources: ['clusterimagepolicies', 'imagepolicies', 'imagepolicyexceptions'],
    scope: '*',
  },
];

interface Condition {
  readonly name: string;
  readonly expression: string;
}

const POD_CONDITIONS: readonly Condition[] = [
  // The kubelet runs static pods whatever we say of their mirror images, and a node that cannot make those looks empty.
  // Nobody but a node is in the group, and a node may make no other pods (NodeRestriction).
  {
    name: 'no-mirror-of-a-static-pod',
    expression:
      '!(has(request.userInfo.groups) && "system:nodes" in request.userInfo.groups && has(object.metadata.annotations) && "kubernetes.io/config.mirror" in object.metadata.annotations)',
  },
  // Labels, finalizers, and what is going away already: a webhook that is down must not hold those up.
  {
    name: 'images-may-change',
    expression:
      'request.operation == "CREATE" || (!has(object.metadata.deletionTimestamp) && object.spec != oldObject.spec)',
  },
];

/** A label can bring a pod into the reach of a policy that would have refused it; who labels it never waits for that. */
const LABEL_CONDITIONS: readonly Condition[] = [
  {
    name: 'labels-change-alone',
    expression:
      '!has(object.metadata.deletionTimestamp) && object.spec == oldObject.spec && has(object.metadata.labels) && (!has(oldObject.metadata.labels) || object.metadata.labels != oldObject.metadata.labels)',
  },
];

const TEMPLATE_CONDITIONS: readonly Condition[] = [
  {
    name: 'template-may-change',
    expression: 'request.operation == "CREATE" || !has(object.spec) || object.spec != oldObject.spec',
  },
  // Of those that a controller makes nobody reads the warnings.
  {
    name: 'made-by-somebody',
    expression:
      '!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists(owner, has(owner.controller) && owner.controller)',
  },
];

interface Part {
  readonly name: string;
  readonly pass: Pass;
  readonly rules: readonly Rule[];
  readonly conditions: readonly Condition[];
  readonly failurePolicy: FailurePolicy;
  readonly timeoutSeconds: number;
  readonly sideEffects: 'None' | 'NoneOnDryRun';
  readonly namespaces?: {readonly operator: 'In' | 'NotIn'; readonly values: readonly string[]};
}

/** Entries of the MutatingWebhookConfiguration. */
export function mutatingEntries(options: EntriesOptions): WebhookEntry[] {
  const part: Part = {
    name: 'mutate.noost.dev',
    pass: 'mutate',
    rules: PODS,
    conditions: POD_CONDITIONS,
    failurePolicy: 'Ignore',
    timeoutSeconds: 5,
    sideEffects: 'None',
    namespaces: {operator: 'NotIn', values: [options.namespace]},
  };
  return [{...entryOf(part, options), reinvocationPolicy: 'IfNeeded'}];
}

/** Entries of the ValidatingWebhookConfiguration. */
export function validatingEntries(options: EntriesOptions): WebhookEntry[] {
  const {namespace, failurePolicy} = options;
  const validate = {
    pass: 'validate',
    rules: PODS,
    conditions: POD_CONDITIONS,
    timeoutSeconds: 10,
    sideEffects: 'NoneOnDryRun',
  } as const;
  const elsewhere = {operator: 'NotIn', values: [namespace, SYSTEM]} as const;
  const parts: Part[] = [
    {...validate, name: 'validate.noost.dev', failurePolicy, namespaces: elsewhere},
    {
      ...validate,
      name: 'validate-labels.noost.dev',
      rules: LABELS,
      conditions: LABEL_CONDITIONS,
      failurePolicy: 'Ignore',
      timeoutSeconds: 2,
      namespaces: elsewhere,
    },
    {
      name: 'early.noost.dev',
      pass: 'early',
      rules: TEMPLATES,
      conditions: TEMPLATE_CONDITIONS,
      failurePolicy: 'Ignore',
      timeoutSeconds: 5,
      sideEffects: 'None',
      namespaces: {operator: 'NotIn', values: [namespace]},
    },
    {
      name: 'policies.noost.dev',
      pass: 'policies',
      rules: POLICIES,
      conditions: [],
      failurePolicy,
      timeoutSeconds: 10,
      sideEffects: 'None',
    },
  ];
  // A cluster whose own parts cannot start cannot be helped: judged like the others, but never waited for.
  if (namespace !== SYSTEM)
    parts.push({
      ...validate,
      name: 'validate-kube-system.noost.dev',
      failurePolicy: 'Ignore',
      namespaces: {operator: 'In', values: [SYSTEM]},
    });
  return parts.map((part) => entryOf(part, options));
}

function entryOf(
  {name, pass, rules, conditions, failurePolicy, timeoutSeconds, sideEffects, namespaces}: Part,
  {target, bundle}: EntriesOptions,
): WebhookEntry {
  const path = ADMISSION_PATHS[pass];
  return {
    name,
    admissionReviewVersions: ['v1'],
    clientConfig: {
      ...('url' in target ? {url: `${target.url.replace(/\/$/, '')}${path}`} : {service: {...target.service, path}}),
      caBundle: Buffer.from(bundle).toString('base64'),
    },
    rules,
    ...(conditions.length > 0 && {matchConditions: conditions}),
    failurePolicy,
    matchPolicy: 'Equivalent',
    namespaceSelector: namespaces ? {matchExpressions: [{key: NAME_LABEL, ...namespaces}]} : {},
    objectSelector: {},
    sideEffects,
    timeoutSeconds,
  };
}
