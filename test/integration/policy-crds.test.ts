import assert from 'node:assert/strict';
import {after, test, type TestContext} from 'node:test';
import {validatePolicyObject} from '../../webhook/policy/validate.ts';
import {A, clusterPolicy, exception, namespacedPolicy} from '../../webhook/policy/rig.ts';
import {Kubernetes, needsKubernetes} from '../peers/kubernetes.ts';

let cluster: Promise<Kubernetes> | undefined;
after(async () => (await cluster)?.[Symbol.asyncDispose]());

/** A real API server with our CRDs. */
async function api(t: TestContext): Promise<Kubernetes | undefined> {
  if (!needsKubernetes(t)) return undefined;
  cluster ??= Kubernetes.start().then(async (started) => {
    await started.apply('manifests/crds');
    return started;
  });
  return cluster;
}

const ALLOW = {name: 'ours', match: [{registry: 'ghcr.io'}], action: 'Allow'} as const;
const ACCEPTED: Readonly<Record<string, object>> = {
  'an empty spec': clusterPolicy({}),
  'an empty spec in a namespace': namespacedPolicy({}, 'default'),
  'everything that a policy can say': clusterPolicy({
    mode: 'Warn',
    namespaceSelector: {
      matchLabels: {env: 'prod'},
      matchExpressions: [{key: 'a.example/b', operator: 'NotIn', values: ['x']}],
    },
    podSelector: {matchExpressions: [{key: 'a', operator: 'Exists'}]},
    serviceAccounts: ['builder-*'],
    default: 'Allow',
    rules: [
      {...ALLOW, require: {digest: true}},
      {
        name: 'b',
        match: [{registry: '*.corp.example:5000'}, {registry: '[::1]:5000'}, {registry: 'localhost:*'}],
        action: 'Allow',
      },
      {
        name: 'c',
        match: [{registry: '*'}, {repository: 'a/**/b-*/c'}, {tag: 'v*'}, {tag: {regex: 'v\\d+'}}, {digest: A}],
        action: 'Deny',
        message: 'no',
      },
    ],
  }),
  'as many rules and matches as there may be': clusterPolicy({
    rules: Array.from({length: 64}, (_, i) => ({
      ...ALLOW,
      name: `rule-${i}`,
      match: Array.from({length: 64}, (_, j) => ({repository: `a${j}/**`})),
    })),
  }),
  'an exception': exception({policies: ['production', 'team-a/local'], expires: '2026-12-31T00:00:00.5+01:00'}),
};

/** What is refused → the field and the words that the answer has. */
const REFUSED: readonly (readonly [string, object, RegExp])[] = [
  [
    'another mode',
    clusterPolicy({mode: 'enforce'} as object),
    /spec\.mode: Unsupported value: "enforce": supported values: "Enforce", "Warn", "Audit"/,
  ],
  [
    'two rules of one name',
    clusterPolicy({rules: [ALLOW, ALLOW]}),
    /spec\.rules\[1\]: Duplicate value: \{"name":"ours"\}/,
  ],
  [
    'a match of nothing',
    clusterPolicy({rules: [{...ALLOW, match: [{}]}]}),
    /spec\.rules\[0\]\.match\[0\].*at least 1 properties/,
  ],
  [
    'a URL as registry',
    clusterPolicy({rules: [{...ALLOW, match: [{registry: 'https://ghcr.io'}]}]}),
    /registry: expected host, host:port, host:\*, \*\.domain or \*/,
  ],
  [
    '** within a segment',
    clusterPolicy({rules: [{...ALLOW, match: [{repository: 'a/b**'}]}]}),
    /\*\* only as a whole segment/,
  ],
  [
    'half a digest',
    clusterPolicy({rules: [{...ALLOW, match: [{digest: 'sha256:12'}]}]}),
    /digest: expected sha256: and 64/,
  ],
  [
    'a requirement of a Deny rule',
    clusterPolicy({rules: [{...ALLOW, action: 'Deny', require: {digest: true}}]}),
    /a Deny rule has no requirements/,
  ],
  ['a message of an Allow rule', clusterPolicy({rules: [{...ALLOW, message: 'x'}]}), /only a Deny rule has a message/],
  [
    'signatures',
    clusterPolicy({rules: [{...ALLOW, require: {signatures: []}}]}),
    /signatures are not supported in this version/,
  ],
  [
    'a signature',
    clusterPolicy({rules: [{...ALLOW, require: {signature: {}}}]}),
    /signatures are not supported in this version/,
  ],
  [
    'a namespaceSelector in a namespace',
    namespacedPolicy({namespaceSelector: {}}, 'default'),
    /an ImagePolicy is for its own namespace/,
  ],
  [
    'In without values',
    clusterPolicy({podSelector: {matchExpressions: [{key: 'a', operator: 'In'}]}}),
    /In and NotIn need values/,
  ],
  ['a service account in upper case', clusterPolicy({serviceAccounts: ['CI']}), /expected names of a-z 0-9/],
  ['no service account', clusterPolicy({serviceAccounts: []}), /spec\.serviceAccounts.*at least 1 items/],
  ['a day as the end', exception({expires: '2026-12-31'}), /expires: expected a time with its zone/],
  ['no owner', exception({owner: ''}), /spec\.owner.*at least 1 chars/],
  ['no policy', exception({policies: []}), /spec\.policies.*at least 1 items/],
  ['no reason', {...exception({}), spec: {...exception({}).spec, reason: undefined}}, /spec\.reason: Required value/],
];

async function create(kubernetes: Kubernetes, object: object): Promise<string> {
  return kubernetes.kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(object));
}

for (const [what, object] of Object.entries(ACCEPTED))
  test(`a real API server accepts ${what}`, async (t) => {
    const kubernetes = await api(t);
    if (kubernetes === undefined) return;
    assert.match(await create(kubernetes, object), /created/);
    assert.deepEqual(validatePolicyObject(object), []);
  });

for (const [what, object, message] of REFUSED)
  test(`a real API server refuses ${what}, and names the field`, async (t) => {
    const kubernetes = await api(t);
    if (kubernetes === undefined) return;
    await assert.rejects(create(kubernetes, object), message);
    assert.notDeepEqual(validatePolicyObject(JSON.parse(JSON.stringify(object))), []);
  });

test('a real API server fills in Enforce and Deny, and shows a policy and an exception as a line each', async (t) => {
  const kubernetes = await api(t);
  if (kubernetes === undefined) return;
  const objects = [clusterPolicy({}, 'defaults'), exception({policies: ['defaults']})];
  for (const object of objects) await kubernetes.kubectl(['create', '-f', '-'], JSON.stringify(object));
  assert.match(
    await kubernetes.kubectl(['get', 'cimgpol']),
    /^NAME +MODE +DEFAULT +READY +AGE\ndefaults +Enforce +Deny/,
  );
  assert.match(
    await kubernetes.kubectl(['get', 'imgpolex']),
    /^NAME +POLICIES +EXPIRES +ACTIVE +OWNER +AGE\nincident-42 +\["defaults"\] +2026-12-31T00:00:00Z +platform team/,
  );
});
