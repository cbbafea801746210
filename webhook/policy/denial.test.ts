import assert from 'node:assert/strict';
import {test} from 'node:test';
import {boundWarnings, denialMessage, earlyWarningsOf, warningsOf} from './denial.ts';
import {A, ask, B, clusterPolicy, namespacedPolicy, question} from './rig.ts';

const RULES = [
  {
    name: 'hub-official',
    match: [{registry: 'docker.io', repository: 'library/**'}],
    action: 'Allow',
    require: {digest: true},
  },
  {name: 'say-which', match: [{tag: 'latest'}], action: 'Deny', message: 'say which version you want'},
] as const;
const POLICY = clusterPolicy({rules: RULES});
const ID = '0198-decision';

test('a denial names container, field, both spellings, digest, policy, rule, what was found, the fix and the decision', () => {
  const asked = ask([POLICY], [question('nginx', {found: true, digest: A, cached: true})]);
  assert.equal(
    denialMessage(asked, ID),
    `the image policies do not accept an image:
- container c0 (spec.containers[0].image): nginx, which is docker.io/library/nginx:latest, now ${A}
  policy production, rule say-which: say which version you want; fix: use an image that the policy allows, or ask its owner for an ImagePolicyException
decision 0198-decision`,
  );
});

test('a denial tells all offending images at once, each with every policy that refuses it, and not the others', () => {
  const second = namespacedPolicy({rules: [{name: 'ours', match: [{registry: 'ghcr.io'}], action: 'Allow'}]});
  const unresolved = {
    ...question('nginx:1', {found: false, why: 'registry-1.docker.io answered 503'}, 1),
    field: 'initContainer',
  } as const;
  const message = denialMessage(ask([POLICY, second], [`ghcr.io/a/b:1`, unresolved, 'ghcr.io/A', `nginx:1@${B}`]), ID);
  assert.equal(
    message,
    `the image policies do not accept 4 images:
- spec.containers[0].image: ghcr.io/a/b:1; policy production: no rule allows it
- spec.containers[1].image: nginx:1; policy production, rule hub-official: the rule allows it only by digest, and none was found: registry-1.docker.io answered 503; ImagePolicy team-a/local: no rule allows it
- spec.containers[2].image: ghcr.io/A; policy production: the reference has no repository name: expected a-z 0-9 with single separators . _ - and slashes; ImagePolicy team-a/local: the reference has no repository name: expected a-z 0-9 with single separators . _ - and slashes
- spec.containers[3].image: nginx:1@sha256:${'b'.repeat(45)}…; ImagePolicy team-a/local: no rule allows it
decision 0198-decision`,
  );
});

test('a denial stays below a kibibyte, and says how many images had no room', () => {
  const long = `ghcr.io/${'a'.repeat(200)}:${'t'.repeat(128)}@${A}`;
  const message = denialMessage(
    ask(
      [POLICY, clusterPolicy({}, 'b'.repeat(253))],
      Array.from({length: 100}, () => long),
    ),
    ID,
  );
  assert.ok(Buffer.byteLength(message) <= 1024, message);
  assert.match(message, /^the image policies do not accept 100 images:\n- spec\.containers\[0\]\.image: /);
  assert.match(message, /\nand \d+ more images\ndecision 0198-decision$/);
  const one = denialMessage(ask([POLICY], [long]), ID);
  assert.ok(Buffer.byteLength(one) <= 1024 && one.includes(long) && one.includes('fix: '));
});

test('what is unsafe to print is shown, not sent', () => {
  const message = denialMessage(ask([POLICY], ['ng\u202einx\u001b[2J ', '']), ID);
  assert.ok(!message.includes('\u001b') && !message.includes('\u202e'));
  assert.match(message, /"ng\\u202einx\\u001b\[2J "/);
  assert.match(message, /\(no image\)/);
});

test('a verdict that allows has no denial', () => {
  assert.equal(denialMessage(ask([], ['nginx']), ID), '');
  assert.equal(denialMessage(ask([clusterPolicy({mode: 'Warn'})], ['nginx']), ID), '');
});

test('a policy that warns is told in warnings, one that audits is not', () => {
  const policies = [
    clusterPolicy({mode: 'Warn', rules: RULES}),
    clusterPolicy({mode: 'Audit'}, 'b'),
    clusterPolicy({}, 'c'),
  ];
  const asked = ask(policies, ['nginx']);
  assert.deepEqual(warningsOf(asked), [
    'spec.containers[0].image nginx: policy production, rule say-which: say which version you want',
  ]);
  assert.deepEqual(earlyWarningsOf(asked), [
    'pods of this will be refused: spec.containers[0].image nginx: policy c: no rule allows it',
    'spec.containers[0].image nginx: policy production, rule say-which: say which version you want',
  ]);
});

test('warnings have at most 256 bytes each and 4 KiB in total, in whole characters', () => {
  const warnings = boundWarnings(Array.from({length: 1000}, (_, i) => `${i} ${'ä'.repeat(300)}\n`));
  assert.ok(warnings.every((text) => Buffer.byteLength(text) <= 256 && !/[\n\uFFFD]/.test(text)));
  assert.ok(warnings.reduce((sum, text) => sum + Buffer.byteLength(text), 0) <= 4096);
  assert.equal(warnings.at(-1), 'and 985 more warnings');
  assert.deepEqual(boundWarnings(['a', 'b']), ['a', 'b']);
});
