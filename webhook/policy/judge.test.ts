import assert from 'node:assert/strict';
import {test} from 'node:test';
import {compilePolicies} from './compile.ts';
import {imagesToProve, judge} from './judge.ts';
import {A, ask, B, clusterPolicy, exception, namespacedPolicy, NOW, OWN_NAMESPACE, question, subject} from './rig.ts';
import type {ImageMatch, PolicySpec, Verdict} from './shape.ts';

function allowing(...match: readonly ImageMatch[]): PolicySpec {
  return {mode: 'Enforce', default: 'Deny', rules: [{name: 'ours', match, action: 'Allow'}]};
}
function denying(...match: readonly ImageMatch[]): PolicySpec {
  return {mode: 'Enforce', default: 'Allow', rules: [{name: 'not-these', match, action: 'Deny'}]};
}
function reasons({images}: Verdict): string[] {
  return images.flatMap(({outcomes}) => outcomes.map(({reason}) => reason));
}

test('where no policy applies, every image is allowed', () => {
  assert.deepEqual(ask([], ['nginx', 'bad image']), {
    allowed: true,
    images: [
      {image: question('nginx'), allowed: true, outcomes: []},
      {image: question('bad image', undefined, 1), allowed: true, outcomes: []},
    ],
  });
});

test('an image that no rule matches gets the default, Deny if none is said', () => {
  assert.deepEqual(reasons(ask([clusterPolicy({default: 'Allow'})], ['nginx'])), ['allowed-by-default']);
  assert.deepEqual(reasons(ask([clusterPolicy({default: 'Deny'})], ['nginx'])), ['denied-by-default']);
  assert.deepEqual(reasons(ask([clusterPolicy({})], ['nginx'])), ['denied-by-default']);
  assert.equal(ask([clusterPolicy({})], ['nginx']).allowed, false);
});

test('Deny beats Allow, whatever the order of the rules is', () => {
  const allow = {name: 'b', match: [{registry: '*'}], action: 'Allow'} as const;
  const deny = {name: 'c', match: [{tag: 'latest'}], action: 'Deny', message: 'say which version you want'} as const;
  for (const rules of [
    [allow, deny],
    [deny, allow],
  ]) {
    const [image] = ask([clusterPolicy({rules})], ['nginx']).images;
    assert.deepEqual(image?.outcomes[0], {
      policy: {kind: 'ClusterImagePolicy', name: 'production'},
      mode: 'Enforce',
      accepts: false,
      reason: 'denied-by-rule',
      rule: 'c',
      exception: undefined,
      message: 'say which version you want',
      fix: 'use an image that the policy allows, or ask its owner for an ImagePolicyException',
    });
  }
});

test('where several Allow rules match, the requirements of all of them hold', () => {
  const rules = [
    {name: 'a', match: [{registry: 'docker.io'}], action: 'Allow'},
    {name: 'b', match: [{repository: 'library/**'}], action: 'Allow', require: {digest: true}},
  ] as const;
  const asked = ask([clusterPolicy({rules})], ['nginx:1', `nginx:1@${A}`, 'acme/app:1']);
  assert.deepEqual(reasons(asked), ['digest-missing', 'allowed-by-rule', 'allowed-by-rule']);
  assert.equal(asked.images[0]?.outcomes[0]?.rule, 'b');
});

test('every policy that applies must accept the image', () => {
  const both = [clusterPolicy(allowing({registry: 'ghcr.io'})), clusterPolicy(denying({tag: 'latest'}), 'second')];
  assert.deepEqual(
    ['ghcr.io/a/b:1', 'ghcr.io/a/b', 'quay.io/a/b:1'].map((image) => ask(both, [image]).allowed),
    [true, false, false],
  );
});

test('only what enforces refuses; Warn and Audit say what they would', () => {
  for (const mode of ['Warn', 'Audit'] as const) {
    const {allowed, images} = ask([clusterPolicy({mode, default: 'Deny'})], ['nginx']);
    assert.deepEqual([allowed, images[0]?.allowed, images[0]?.outcomes[0]?.accepts], [true, true, false]);
  }
});

test('a policy without a namespaceSelector is for every namespace but kube-system and our own', () => {
  const policy = clusterPolicy({default: 'Deny'});
  const allowed = (namespace: string) => ask([policy], ['nginx'], {namespace}).allowed;
  assert.deepEqual(['default', 'kube-system', OWN_NAMESPACE, 'kube-public'].map(allowed), [false, true, true, false]);
});

test('a namespaceSelector selects by labels and by the name that nobody can change; never our own namespace', () => {
  const byLabel = clusterPolicy({namespaceSelector: {matchLabels: {env: 'prod'}}});
  assert.equal(ask([byLabel], ['nginx'], {namespaceLabels: {env: 'prod'}}).allowed, false);
  assert.equal(ask([byLabel], ['nginx'], {namespaceLabels: {env: 'test'}}).allowed, true);
  const key = 'kubernetes.io/metadata.name';
  const byName = clusterPolicy({
    namespaceSelector: {matchExpressions: [{key, operator: 'In', values: ['kube-system']}]},
  });
  assert.equal(ask([byName], ['nginx'], {namespace: 'kube-system', namespaceLabels: {[key]: 'other'}}).allowed, false);
  const all = clusterPolicy({namespaceSelector: {}});
  assert.equal(ask([all], ['nginx'], {namespace: 'kube-system'}).allowed, false);
  assert.equal(ask([all], ['nginx'], {namespace: OWN_NAMESPACE}).allowed, true);
});

for (const [operator, values, matching] of [
  ['In', ['a', 'b'], ['a']],
  ['NotIn', ['a', 'b'], ['c', undefined]],
  ['Exists', undefined, ['a', 'c']],
  ['DoesNotExist', undefined, [undefined]],
] as const)
  test(`a podSelector with ${operator} has Kubernetes' meaning`, () => {
    const requirement = {key: 'toString', operator, ...(values === undefined ? {} : {values})};
    const policy = clusterPolicy({podSelector: {matchExpressions: [requirement]}});
    const selected = (['a', 'c', undefined] as const).filter(
      (value) => !ask([policy], ['nginx'], {podLabels: value === undefined ? {} : {toString: value}}).allowed,
    );
    assert.deepEqual(selected, matching);
  });

test('serviceAccounts are globs over the whole name', () => {
  const policy = clusterPolicy({serviceAccounts: ['builder-*', 'ci']});
  const selected = ['builder-1', 'builder-', 'my-builder-1', 'ci', 'ci2', 'default'].filter(
    (serviceAccount) => !ask([policy], ['nginx'], {serviceAccount}).allowed,
  );
  assert.deepEqual(selected, ['builder-1', 'builder-', 'ci']);
});

test('policy-peers 48: an ImagePolicy tightens in its namespace, loosens nothing, and is nothing elsewhere', () => {
  const cluster = clusterPolicy(allowing({registry: 'ghcr.io'}));
  const local = namespacedPolicy(allowing({registry: '*'}));
  assert.equal(ask([cluster, local], ['quay.io/a/b:1']).allowed, false);
  const strict = namespacedPolicy(allowing({registry: 'ghcr.io', repository: 'team-a/**'}));
  assert.equal(ask([cluster, strict], ['ghcr.io/team-b/x:1']).allowed, false);
  assert.equal(ask([cluster, strict], ['ghcr.io/team-b/x:1'], {namespace: 'team-b'}).allowed, true);
});

test('an exception lifts the policies it names, for the images it names, and ends at its second', () => {
  const policies = [clusterPolicy({}), clusterPolicy({}, 'second')];
  const one = exception({match: [{registry: 'quay.io', repository: 'acme/debug'}]});
  assert.deepEqual(reasons(ask([...policies, one], ['quay.io/acme/debug:1'])), ['excepted', 'denied-by-default']);
  const both = exception({...one.spec, policies: ['production', 'second']});
  const end = Date.parse(one.spec.expires);
  const at = (nowMs: number, image = 'quay.io/acme/debug:1') => ask([...policies, both], [image], {}, nowMs).allowed;
  assert.deepEqual(
    [at(end - 1), at(end), at(end + 1), at(end - 1, 'quay.io/acme/other:1')],
    [true, false, false, false],
  );
  assert.equal(ask([...policies, both], ['quay.io/acme/debug:1']).images[0]?.outcomes[0]?.exception, 'incident-42');
});

test('of several exceptions the one that ends last counts; the set forgets none when one has ended', () => {
  const early = exception({expires: '2026-12-01T00:00:00Z'}, 'early');
  const late = exception({expires: '2026-12-02T00:00:00+01:00'}, 'late');
  const {set} = compilePolicies([early, clusterPolicy({}), late], {ownNamespace: OWN_NAMESPACE});
  const asked = {subject: subject(), images: [question('quay.io/a/b')]};
  const at = (time: string) => judge(set, asked, Date.parse(time)).images[0]?.outcomes[0]?.exception;
  assert.deepEqual(
    ['2026-11-30T00:00:00Z', '2026-12-01T00:00:00Z', '2026-12-01T22:59:59Z', '2026-12-01T23:00:00Z'].map(at),
    ['late', 'late', 'late', undefined],
  );
});

test('an exception names an ImagePolicy with its namespace', () => {
  const policies = [namespacedPolicy({}), exception({policies: ['local']}), clusterPolicy({default: 'Allow'}, 'local')];
  assert.equal(ask(policies, ['quay.io/a/b']).allowed, false);
  assert.equal(ask([...policies, exception({policies: ['team-a/local']}, 'right')], ['quay.io/a/b']).allowed, true);
});

test('a reference that cannot be read is accepted by no policy, and lifted by no exception', () => {
  const policies = [clusterPolicy({default: 'Allow'}), exception({match: [{registry: '*'}]})];
  assert.deepEqual(reasons(ask(policies, ['nginx', 'ghcr.io/X', ''])), [
    'allowed-by-default',
    'reference-unreadable',
    'reference-unreadable',
  ]);
});

test('what cannot be compiled fails closed, as far as its scope can be read', () => {
  const broken = clusterPolicy({
    ...allowing({registry: 'bad registry'}),
    namespaceSelector: {matchLabels: {env: 'prod'}},
  });
  const {problems} = compilePolicies([broken], {ownNamespace: OWN_NAMESPACE});
  assert.deepEqual(problems, [
    {
      kind: 'ClusterImagePolicy',
      name: 'production',
      issues: [
        {
          path: 'spec.rules[0].match[0].registry',
          message: '"bad registry" has no registry in front: expected host or host:port',
        },
      ],
    },
  ]);
  assert.deepEqual(reasons(ask([broken], ['ghcr.io/a/b'], {namespaceLabels: {env: 'prod'}})), ['policy-broken']);
  assert.equal(ask([broken], ['ghcr.io/a/b']).allowed, true);
  const scopeless = {...broken, spec: {...broken.spec, namespaceSelector: {matchLabel: {env: 'prod'}}}};
  assert.equal(ask([scopeless], ['ghcr.io/a/b']).allowed, false);
  const audit = {...broken, spec: {...broken.spec, mode: 'Audit'}};
  assert.equal(ask([audit], ['ghcr.io/a/b'], {namespaceLabels: {env: 'prod'}}).allowed, true);
  for (const raw of [{...broken, spec: null}, {...broken, apiVersion: 'noost.dev/v2'}, {kind: 'ClusterImagePolicy'}])
    assert.equal(ask([raw], ['nginx'], {namespaceLabels: {env: 'prod'}}).allowed, false);
  assert.equal(ask([undefined, 5, {kind: 'Pod'}], ['nginx']).allowed, true);
});

test('an exception that cannot be compiled excepts nothing', () => {
  for (const spec of [
    {expires: '2026-02-30T00:00:00Z'},
    {expires: ''},
    {match: []},
    {match: [{}]},
    {reason: ''},
    {owner: ' '},
  ])
    assert.equal(
      ask([clusterPolicy({}), exception({registry: 'quay.io', ...spec} as object)], ['quay.io/a/b']).allowed,
      false,
    );
});

test('a policy that asks for signatures accepts nothing in this version', () => {
  for (const require of [{signature: {key: 'x'}}, {signatures: []}, {signatures: null}]) {
    const rules = [{name: 'signed', match: [{registry: 'ghcr.io'}], action: 'Allow' as const, require}];
    const policy = clusterPolicy({default: 'Allow', rules});
    const says = ask([policy], ['ghcr.io/a/b', 'nginx']);
    assert.deepEqual(reasons(says), ['signature-unsupported', 'signature-unsupported']);
    assert.match(
      compilePolicies([policy], {ownNamespace: ''}).problems[0]?.issues[0]?.message ?? '',
      /not supported in this version/,
    );
  }
});

test('policy-peers 17: a tag beside a digest meets no Allow rule and no exception, unless the registry vouches for it', () => {
  const policies = [clusterPolicy(allowing({registry: 'ghcr.io', tag: 'v1'}))];
  const foreign = question(`ghcr.io/a/b:v1@${A}`, {found: true, digest: B, cached: false});
  const proven = question(`ghcr.io/a/b:v1@${A}`, {found: true, digest: A, cached: false});
  const unknown = question(`ghcr.io/a/b:v1@${A}`, {found: false, why: 'the registry is down'});
  assert.deepEqual(
    ['ghcr.io/a/b:v1', foreign, proven, unknown].map((image) => reasons(ask(policies, [image]))[0]),
    ['allowed-by-rule', 'tag-unproven', 'allowed-by-rule', 'tag-unproven'],
  );
  const excepted = [clusterPolicy({}), exception({match: [{registry: 'ghcr.io', tag: 'v1'}]})];
  assert.deepEqual(
    [foreign, proven].map((image) => ask(excepted, [image]).allowed),
    [false, true],
  );
  // A Deny rule takes the tag as it is written.
  assert.equal(ask([clusterPolicy(denying({tag: 'v1'}))], [foreign]).allowed, false);
});

test('imagesToProve() names the images whose verdict hangs on the registry vouching for a tag, and no others', () => {
  const {set} = compilePolicies([clusterPolicy(allowing({registry: 'ghcr.io', tag: 'v*'}, {registry: 'quay.io'}))], {
    ownNamespace: OWN_NAMESPACE,
  });
  const written = [
    `ghcr.io/a/b:v1@${A}`,
    `ghcr.io/a/b:1@${A}`,
    `quay.io/a/b:v1@${A}`,
    'ghcr.io/a/b:v1',
    `ghcr.io/a/b@${A}`,
    ' ',
  ];
  const images = written.map((text, i) => question(text, undefined, i));
  assert.deepEqual(
    imagesToProve(set, {subject: subject(), images}, NOW).map(({path}) => path),
    ['spec.containers[0].image'],
  );
});

test('policy-peers 42: what another set of policies was asked leaves no trace', () => {
  assert.equal(ask([clusterPolicy(allowing({registry: 'ghcr.io'}))], ['ghcr.io/a/b']).allowed, true);
  assert.equal(ask([clusterPolicy(allowing({registry: 'quay.io'}))], ['ghcr.io/a/b']).allowed, false);
});

test('policy-peers 44: an image that was accepted for one pod is judged anew for another', () => {
  const policies = [
    clusterPolicy({default: 'Allow'}),
    clusterPolicy({podSelector: {matchLabels: {env: 'prod'}}}, 'strict'),
  ];
  const {set} = compilePolicies(policies, {ownNamespace: OWN_NAMESPACE});
  const judged = (podLabels: Record<string, string>) =>
    judge(set, {subject: subject({podLabels}), images: [question('nginx')]}, NOW);
  assert.deepEqual([judged({}).allowed, judged({env: 'prod'}).allowed, judged({}).allowed], [true, false, true]);
});
