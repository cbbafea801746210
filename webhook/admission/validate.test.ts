import assert from 'node:assert/strict';
import {test} from 'node:test';
import {clusterPolicy, namespacedPolicy} from '../policy/rig.ts';
import type {PolicySpec} from '../policy/shape.ts';
import {AdmissionRig, pod} from '../../test/admission-rig.ts';

const A = `sha256:${'a'.repeat(64)}`;
/** Everything of Docker Hub's official images, and nothing else. */
const HUB: PolicySpec = {
  rules: [{name: 'hub', match: [{registry: 'docker.io', repository: 'library/**'}], action: 'Allow'}],
};
const EPHEMERAL = {operation: 'UPDATE', subResource: 'ephemeralcontainers'} as const;

test('what no rule allows is refused with container, field, policy, fix and a decision that the log has too', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const {allowed, code, message, annotations} = await rig.review(
    'validate',
    pod(['nginx', 'quay.io/evil/x:1', 'quay.io/evil/y']),
  );
  assert.ok(!allowed);
  assert.equal(code, 403);
  for (const part of [
    'spec.containers[1].image',
    'quay.io/evil/x:1',
    'spec.containers[2].image',
    'quay.io/evil/y',
    'policy production',
  ])
    assert.ok(message.includes(part), `${part} in ${message}`);
  assert.ok(!message.includes('containers[0]'), message);
  const [told] = rig.told;
  assert.match(told?.id ?? '', /^[0-9a-f]{12}$/);
  assert.ok(message.includes(`decision ${told?.id ?? ''}`));
  assert.equal(annotations['decision'], told?.id);
  assert.equal(annotations['reason'], 'denied');
  assert.deepEqual(rig.fake.lines(), []);
});

test('every field is judged: init, sidecar, ephemeral, image volume (§7 23, 26, 27)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const evil = 'quay.io/evil/x';
  const fields: readonly object[] = [
    {initContainers: [{name: 'i', image: evil}]},
    {initContainers: [{name: 'i', image: evil, restartPolicy: 'Always'}]},
    {ephemeralContainers: [{name: 'e', image: evil}]},
    {volumes: [{name: 'v', image: {reference: evil}}]},
  ];
  for (const spec of fields) {
    assert.ok(!(await rig.review('validate', pod(['nginx'], {spec}))).allowed, JSON.stringify(spec));
    const asked = {...EPHEMERAL, oldObject: pod(['nginx'])};
    assert.ok(!(await rig.review('validate', pod(['nginx'], {spec}), asked)).allowed, JSON.stringify(spec));
  }
});

test('nothing on the object makes it pass: annotations, labels, owners, a deletion (§7 24, 33, 34, 36, 38)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const marks: readonly object[] = [
    {
      annotations: {
        'noost.dev/verified': 'true',
        'noost.dev/original-image': 'nginx',
        'kubernetes.io/config.mirror': 'x',
      },
    },
    {labels: {'noost.dev/webhook': 'ignore', 'noost.dev/exempt': 'true'}},
    {ownerReferences: [{apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'approved', uid: 'u', controller: true}]},
    {deletionTimestamp: '2026-11-25T20:00:00Z'},
  ];
  for (const metadata of marks) {
    assert.ok(!(await rig.review('validate', pod(['quay.io/evil/x'], {metadata}))).allowed, JSON.stringify(metadata));
    const asked = {...EPHEMERAL, oldObject: pod(['nginx'], {metadata})};
    const debugged = pod(['nginx'], {metadata, spec: {ephemeralContainers: [{name: 'e', image: 'quay.io/evil/x'}]}});
    assert.ok(!(await rig.review('validate', debugged, asked)).allowed, JSON.stringify(metadata));
  }
});

test('the upstream behind every way to write the node is what is judged, in pass one as in pass two (§7 10, 78)', async () => {
  const deny: PolicySpec = {default: 'Allow', rules: [{name: 'no', match: [{registry: 'quay.io'}], action: 'Deny'}]};
  for (const mode of ['none', 'node'] as const) {
    await using rig = await AdmissionRig.start({policies: [clusterPolicy(deny)], rewrite: {mode}});
    for (const image of [
      'quay.io/x/y',
      'localhost:5055/quay.io/x/y',
      '127.0.0.1:5055/quay.io/x/y',
      '[::1]:5055/f/quay.io/x/y',
    ])
      assert.ok(!(await rig.admit(pod([image]))).allowed, image);
    // It does not say what is meant, so nobody can accept it.
    assert.ok(!(await rig.admit(pod(['localhost:5055/x/y']))).allowed);
    assert.ok((await rig.admit(pod(['ghcr.io/x/y']))).allowed);
  }
});

const UNCHANGED: readonly (readonly [what: string, object: object, oldObject: object])[] = [
  ['an annotation', pod(['quay.io/x'], {metadata: {annotations: {a: 'b'}}}), pod(['quay.io/x'])],
  ['a label', pod(['quay.io/x'], {metadata: {labels: {a: 'b'}}}), pod(['quay.io/x'])],
  [
    'a finalizer of a pod that is going',
    pod(['quay.io/x'], {metadata: {deletionTimestamp: 'x'}}),
    pod(['quay.io/x'], {metadata: {deletionTimestamp: 'x', finalizers: ['f']}}),
  ],
  [
    'the order of containers',
    pod(['quay.io/x', 'nginx']),
    {
      ...pod([]),
      spec: {
        containers: [
          {name: 'c1', image: 'nginx'},
          {name: 'c0', image: 'quay.io/x'},
        ],
      },
    },
  ],
  ['an image that is mended beside one that is not', pod(['quay.io/x', 'nginx']), pod(['quay.io/x', 'quay.io/y'])],
];

for (const [what, object, oldObject] of UNCHANGED)
  test(`a policy that became stricter does not hold up ${what} (§7 74)`, async () => {
    await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
    assert.ok((await rig.review('validate', object, {operation: 'UPDATE', oldObject})).allowed);
    assert.ok(!(await rig.review('validate', object)).allowed);
  });

test('the image that an update brings is judged, also under the name of another container (§7 28)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const oldObject = pod(['nginx'], {spec: {initContainers: [{name: 'c0', image: 'quay.io/x'}]}});
  const {allowed} = await rig.review('validate', pod(['quay.io/x']), {operation: 'UPDATE', oldObject});
  assert.ok(!allowed);
});

test("a label cannot bring a pod into a policy's reach past its rules", async () => {
  const payments: PolicySpec = {...HUB, podSelector: {matchLabels: {app: 'payments'}}};
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(payments)]});
  const oldObject = pod(['quay.io/evil/x']);
  assert.ok((await rig.review('validate', oldObject)).allowed);
  const object = pod(['quay.io/evil/x'], {metadata: {labels: {app: 'payments'}}});
  assert.match((await rig.review('validate', object, {operation: 'UPDATE', oldObject})).message, /policy production/);
  // One that it was in reach of before it became stricter goes on.
  const labelled = pod(['quay.io/evil/x'], {metadata: {labels: {app: 'payments', more: 'x'}}});
  assert.ok((await rig.review('validate', labelled, {operation: 'UPDATE', oldObject: object})).allowed);
});

test('no policy: nothing is refused, whatever can be read of it', async () => {
  await using rig = await AdmissionRig.start();
  for (const image of ['nginx', 'quay.io/x', 'not//readable', 'localhost:5055/x'])
    assert.ok((await rig.review('validate', pod([image]))).allowed, image);
});

test('a tag beside a digest counts only if the registry says so, and it is asked only where that matters (§7 17)', async () => {
  const tagged: PolicySpec = {rules: [{name: 'v1', match: [{registry: 'reg.test', tag: 'v1'}], action: 'Allow'}]};
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(tagged)]});
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  assert.ok((await rig.review('validate', pod([`reg.test/acme/app:v1@${digest}`]))).allowed);
  assert.ok(!(await rig.review('validate', pod([`reg.test/acme/app:v1@${A}`]))).allowed);
  assert.ok(!(await rig.review('validate', pod([`reg.test/acme/app:v2@${digest}`]))).allowed);
  assert.deepEqual(rig.fake.lines(), ['HEAD /v2/acme/app/manifests/v1']);
  rig.setPolicies([clusterPolicy({default: 'Allow'})]);
  rig.fake.clear();
  await rig.review('validate', pod([`reg.test/acme/other:v1@${A}`]));
  assert.deepEqual(rig.fake.lines(), []);
});

test('a digest is what a policy wants: what could be pinned is admitted, what could not is not', async () => {
  const digested: PolicySpec = {
    rules: [{name: 'all', match: [{registry: '*'}], action: 'Allow', require: {digest: true}}],
  };
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(digested)]});
  rig.fake.content.addImage('library/nginx', '1');
  assert.ok((await rig.admit(pod(['nginx:1']))).allowed);
  const unknown = await rig.admit(pod(['nginx:2']));
  assert.ok(!unknown.allowed);
  assert.match(unknown.warnings.join(), /is not pinned/);
  await rig.fake.down();
  assert.ok((await rig.admit(pod(['nginx:1']))).allowed);
});

test('imagePullPolicy Never runs, and policies about its name hold', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const never = (image: string) => pod([], {spec: {containers: [{name: 'c', image, imagePullPolicy: 'Never'}]}});
  assert.ok((await rig.admit(never('nginx:local'))).allowed);
  assert.ok(!(await rig.admit(never('quay.io/x:local'))).allowed);
  assert.deepEqual(rig.fake.lines(), []);
});

test('a namespace that cannot be learnt, or whose labels cannot: refused, not skipped (§7 46)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  for (const failurePolicy of ['Fail', 'Ignore'] as const) {
    rig.with({failurePolicy});
    const {allowed, message} = await rig.review('validate', pod(['nginx']), {namespace: 'unheard-of'});
    assert.ok(!allowed);
    assert.match(message, /labels of namespace unheard-of cannot be learnt \(no such namespace\)/);
  }
});

test("the namespace's labels select policies; a namespace cannot exempt itself by a label of its own (§7 35)", async () => {
  const prod: PolicySpec = {...HUB, namespaceSelector: {matchLabels: {env: 'prod'}}};
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(prod)]});
  assert.ok((await rig.review('validate', pod(['quay.io/x']), {namespace: 'team-a'})).allowed);
  assert.ok(!(await rig.review('validate', pod(['quay.io/x']), {namespace: 'team-b'})).allowed);
  rig.namespaces.set('team-b', {
    env: 'prod',
    'noost.dev/webhook': 'off',
    'noost.dev/exempt': 'true',
    'kubernetes.io/metadata.name': 'noost-system',
  });
  assert.ok(!(await rig.review('validate', pod(['quay.io/x']), {namespace: 'team-b'})).allowed);
});

test("a tenant's policy cannot loosen the cluster's (§7 48)", async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB), namespacedPolicy({default: 'Allow'})]});
  assert.ok(!(await rig.review('validate', pod(['quay.io/x']))).allowed);
});

test('a policy that changed is asked anew, whatever was cached (§7 42, 44)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy({default: 'Allow'})]});
  assert.ok((await rig.admit(pod(['quay.io/x']))).allowed);
  rig.setPolicies([clusterPolicy(HUB)]);
  assert.ok(!(await rig.admit(pod(['quay.io/x']))).allowed);
});

test('a verified tag that was moved: what runs is what was judged (§7 39, 40)', async () => {
  const tagged: PolicySpec = {rules: [{name: 'v1', match: [{registry: 'reg.test', tag: 'v1'}], action: 'Allow'}]};
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(tagged)]});
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  const before = await rig.admit(pod(['reg.test/acme/app:v1']));
  rig.fake.content.addImage('acme/app', 'v1', ['moved']);
  const after = await rig.admit(pod(['reg.test/acme/app:v1']));
  assert.ok(before.allowed && after.allowed);
  // One resolution served both passes of both pods.
  assert.deepEqual(Object.values(after.patch), [`reg.test/acme/app:v1@${digest}`]);
  assert.deepEqual(rig.fake.lines(), ['HEAD /v2/acme/app/manifests/v1']);
});

test('where nobody says what a tag is, Fail refuses and Ignore admits with a warning; what a rule denies is denied', async () => {
  const tagged: PolicySpec = {
    rules: [
      {name: 'v1', match: [{registry: 'reg.test', tag: 'v1'}], action: 'Allow'},
      {name: 'no', match: [{registry: 'quay.io'}], action: 'Deny'},
    ],
  };
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(tagged)]});
  await rig.fake.down();
  const object = pod([`reg.test/acme/app:v1@${A}`]);
  assert.ok(!(await rig.review('validate', object)).allowed);
  rig.with({failurePolicy: 'Ignore'});
  const open = await rig.review('validate', object);
  assert.ok(open.allowed);
  assert.match(open.warnings.join(), /was not judged: its registry did not answer/);
  assert.ok(!(await rig.review('validate', pod([`reg.test/acme/app:v1@${A}`, 'quay.io/x']))).allowed);
});

test('a mirror pod runs already: it is told about, not refused (§7 75)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const object = pod(['quay.io/x'], {metadata: {annotations: {'kubernetes.io/config.mirror': 'x'}}});
  const user = {username: 'system:node:n1', groups: ['system:nodes', 'system:authenticated']};
  const node = await rig.review('validate', object, {user});
  assert.ok(node.allowed);
  assert.match(node.warnings.join(), /policies refuse quay\.io\/x, but the node runs this pod from a file/);
  assert.ok(!(await rig.review('validate', object)).allowed);
});

test('a policy that only warns warns, one that only audits is in the record alone', async () => {
  await using rig = await AdmissionRig.start({
    policies: [clusterPolicy({...HUB, mode: 'Warn'}), clusterPolicy({...HUB, mode: 'Audit'}, 'watching')],
  });
  const {allowed, warnings} = await rig.review('validate', pod(['quay.io/x']));
  assert.ok(allowed);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /policy production/);
  const refused = rig.told[0]?.decision.images[0]?.refused ?? [];
  assert.deepEqual(
    refused.map((one) => one.replace(/:.*/, '')),
    ['production', 'watching'],
  );
});

test('generateName and dry-run change nothing about the verdict (§7 73)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const object = {...pod(['quay.io/x']), metadata: {generateName: 'app-', namespace: 'team-a'}};
  const [dry, wet] = [await rig.review('validate', object, {dryRun: true}), await rig.review('validate', object)];
  assert.deepEqual([dry.allowed, dry.code], [wet.allowed, wet.code]);
  assert.ok(rig.told[0]?.request.dryRun);
});

test('a thousand pods at once, each with its own image, are each told about their own (§7 69)', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
  const all = await Promise.all(
    Array.from({length: 300}, async (_, i) => {
      const image = i % 2 === 0 ? `nginx:t${String(i)}` : `quay.io/evil/x:t${String(i)}`;
      const {allowed, message} = await rig.review('validate', pod([image]));
      return allowed === (i % 2 === 0) && (allowed || message.includes(image));
    }),
  );
  assert.ok(all.every(Boolean));
});
