import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {AdmissionRig, pod, type Asked} from '../../test/admission-rig.ts';

const A = `sha256:${'a'.repeat(64)}`;

function owned(kind: string, apiVersion: string): object {
  return {ownerReferences: [{apiVersion, kind, name: 'o', uid: 'u', controller: true}]};
}

test('every image-bearing field is pinned to the index digest, and the tag is kept (§7 26, 27, 66)', async () => {
  await using rig = await AdmissionRig.start();
  const {content} = rig.fake;
  const index = content.addIndex('library/nginx', '1.27', [content.addImage('library/nginx')]);
  const app = content.addImage('acme/app', 'v1').digest;
  const object = pod(['nginx:1.27', 'reg.test/acme/app:v1'], {
    spec: {
      initContainers: [{name: 'side', image: 'reg.test/acme/app:v1', restartPolicy: 'Always'}],
      volumes: [
        {name: 'v', image: {reference: 'reg.test/acme/app:v1', pullPolicy: 'Always'}},
        {name: 'w', emptyDir: {}},
      ],
    },
  });
  const {patch, warnings} = await rig.review('mutate', object);
  assert.deepEqual(patch, {
    '/spec/initContainers/0/image': `reg.test/acme/app:v1@${app}`,
    '/spec/containers/0/image': `nginx:1.27@${index}`,
    '/spec/containers/1/image': `reg.test/acme/app:v1@${app}`,
    '/spec/volumes/0/image/reference': `reg.test/acme/app:v1@${app}`,
  });
  assert.deepEqual(warnings, []);
  assert.deepEqual(rig.fake.lines('registry').toSorted(), [
    'HEAD /v2/acme/app/manifests/v1',
    'HEAD /v2/library/nginx/manifests/1.27',
  ]);
});

test('the tag that nobody wrote is written: a rule about latest must find it afterwards (§7 20)', async () => {
  await using rig = await AdmissionRig.start();
  const {digest} = rig.fake.content.addImage('library/nginx', 'latest');
  const {patch} = await rig.review('mutate', pod(['nginx']));
  assert.deepEqual(patch, {'/spec/containers/0/image': `nginx:latest@${digest}`});
});

const LEFT: readonly (readonly [what: string, object: object, asked?: Asked])[] = [
  ['a digest', pod([`nginx@${A}`, `nginx:1.27@${A}`])],
  ['imagePullPolicy Never', pod([], {spec: {containers: [{name: 'c', image: 'nginx', imagePullPolicy: 'Never'}]}})],
  [
    'a volume with pullPolicy Never',
    pod([], {spec: {volumes: [{name: 'v', image: {reference: 'nginx', pullPolicy: 'Never'}}]}}),
  ],
  ['a controller of somebody else', pod(['nginx'], {metadata: owned('Rollout', 'argoproj.io/v1alpha1')})],
  ['a controller that borrows a built-in name', pod(['nginx'], {metadata: owned('ReplicaSet', 'apps.example/v1')})],
  [
    'a mirror pod',
    pod(['nginx'], {metadata: {annotations: {'kubernetes.io/config.mirror': 'x'}}}),
    {user: {username: 'system:node:n1', groups: ['system:nodes']}},
  ],
  ['auto of an injector (§7 32)', pod(['auto'], {metadata: {labels: {'sidecar.istio.io/inject': 'true'}}})],
  ['what cannot be read (§7 12, 13, 14)', pod(['dоcker.io/x', 'https://ghcr.io/x', ' nginx', 'a//b', ''])],
  ['our own namespace', pod(['nginx']), {namespace: 'noost-system'}],
  [
    'a template',
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {name: 'd'},
      spec: {template: {spec: {containers: [{name: 'c', image: 'nginx'}]}}},
    },
  ],
  ['an object without a pod', {apiVersion: 'v1', kind: 'Service', metadata: {name: 's'}, spec: {}}],
];

for (const [what, object, asked] of LEFT)
  test(`left alone, and no registry is asked: ${what}`, async () => {
    await using rig = await AdmissionRig.start();
    rig.fake.content.addImage('library/nginx', 'latest');
    const {allowed, patch} = await rig.review('mutate', object, asked);
    assert.ok(allowed);
    assert.deepEqual(patch, {});
    assert.deepEqual(rig.fake.lines(), []);
  });

for (const [kind, apiVersion] of [
  ['ReplicaSet', 'apps/v1'],
  ['StatefulSet', 'apps/v1'],
  ['DaemonSet', 'apps/v1'],
  ['Job', 'batch/v1'],
  ['ReplicationController', 'v1'],
] as const)
  test(`pods of a ${kind} are pinned`, async () => {
    await using rig = await AdmissionRig.start();
    const {digest} = rig.fake.content.addImage('library/nginx', 'latest');
    const {patch} = await rig.review('mutate', pod(['nginx'], {metadata: owned(kind, apiVersion)}));
    assert.deepEqual(Object.values(patch), [`nginx:latest@${digest}`]);
  });

test("an operator's pods are pinned where the administrator says so: by owner or by namespace", async () => {
  const object = pod(['nginx'], {metadata: owned('Rollout', 'argoproj.io/v1alpha1')});
  for (const pin of [{owners: ['Rollout.argoproj.io']}, {namespaces: ['team-*']}]) {
    await using rig = await AdmissionRig.start({pin});
    rig.fake.content.addImage('library/nginx', 'latest');
    assert.equal(Object.keys((await rig.review('mutate', object)).patch).length, 1);
    assert.equal(
      Object.keys((await rig.review('mutate', object, {namespace: 'kube-system'})).patch).length,
      'owners' in pin ? 1 : 0,
    );
  }
});

test("a mirror pod's mark is anybody's: only a node's own pods are left alone for it (§7 75)", async () => {
  await using rig = await AdmissionRig.start();
  rig.fake.content.addImage('library/nginx', 'latest');
  const object = pod(['nginx'], {metadata: {annotations: {'kubernetes.io/config.mirror': 'x'}}});
  for (const user of [
    {username: 'jane', groups: ['system:nodes']},
    {username: 'system:node:n1', groups: ['system:authenticated']},
  ])
    assert.equal(Object.keys((await rig.review('mutate', object, {user})).patch).length, 1);
});

test('a bare pod that is applied again after its tag moved keeps its digest: nothing restarts', async () => {
  await using rig = await AdmissionRig.start();
  rig.fake.content.addImage('library/nginx', '1.27');
  const {object: running} = await rig.admit(pod(['nginx:1.27']));
  rig.fake.content.addImage('library/nginx', '1.27', ['moved']);
  rig.fake.clear();
  const again = await rig.admit(pod(['nginx:1.27']), {operation: 'UPDATE', oldObject: running});
  assert.deepEqual(again.object, running);
  const full = await rig.admit(pod(['docker.io/library/nginx:1.27']), {operation: 'UPDATE', oldObject: running});
  assert.deepEqual(full.object, running);
  assert.deepEqual(rig.fake.lines(), []);
});

test('an update that changes an image pins the new one, and leaves the others (§7 28)', async () => {
  await using rig = await AdmissionRig.start();
  rig.fake.content.addImage('library/nginx', '1.27');
  const {digest} = rig.fake.content.addImage('library/nginx', '1.28', ['new']);
  const oldObject = pod(['nginx:1.27', 'nginx:1.27']);
  const {patch} = await rig.review('mutate', pod(['nginx:1.28', 'nginx:1.27']), {operation: 'UPDATE', oldObject});
  assert.deepEqual(patch, {'/spec/containers/0/image': `nginx:1.28@${digest}`});
});

test('of a pod with ephemeral containers only the new ones are patched: the others cannot be changed (§7 23)', async () => {
  await using rig = await AdmissionRig.start();
  const {digest} = rig.fake.content.addImage('library/busybox', 'latest');
  const oldObject = pod(['nginx:1.27'], {spec: {ephemeralContainers: [{name: 'e0', image: 'busybox:1'}]}});
  const object = pod(['nginx:1.27'], {
    spec: {
      ephemeralContainers: [
        {name: 'e1', image: 'busybox'},
        {name: 'e0', image: 'busybox:1'},
      ],
    },
    metadata: owned('Rollout', 'argoproj.io/v1alpha1'),
  });
  const asked = {operation: 'UPDATE', subResource: 'ephemeralcontainers', oldObject} as const;
  const {patch} = await rig.review('mutate', object, asked);
  assert.deepEqual(patch, {'/spec/ephemeralContainers/0/image': `busybox:latest@${digest}`});
});

test('what cannot be resolved is told, with the reason, and stays; the others are pinned', async () => {
  await using rig = await AdmissionRig.start();
  const {digest} = rig.fake.content.addImage('library/nginx', '1');
  const {allowed, patch, warnings} = await rig.review('mutate', pod(['reg.test/none:v1', 'nginx:1']));
  assert.ok(allowed);
  assert.deepEqual(patch, {'/spec/containers/1/image': `nginx:1@${digest}`});
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /^spec\.containers\[0\]\.image: reg\.test\/none:v1 is not pinned: .*404/);
});

test('rewritten to the node, by prefixes, or not at all; what is rewritten leads back to the same image (§7 78)', async () => {
  const prefixes = [{from: 'docker.io', to: 'mirror.corp.example/hub'}];
  for (const [rewrite, name] of [
    [{mode: 'node'}, 'localhost:5055/docker.io/library/nginx'],
    [{mode: 'prefixes', prefixes}, 'mirror.corp.example/hub/library/nginx'],
    [{mode: 'none'}, 'nginx'],
  ] as const) {
    await using rig = await AdmissionRig.start({rewrite});
    const {digest} = rig.fake.content.addImage('library/nginx', '1');
    const first = await rig.review('mutate', pod(['nginx:1', `nginx@${digest}`]));
    const inOther = name === 'nginx' ? [] : [`${name}@${digest}`];
    assert.deepEqual(Object.values(first.patch), [`${name}:1@${digest}`, ...inOther]);
    const written = `${name}:1@${digest}`;
    assert.deepEqual(
      rig.context.identities.of(written),
      rig.context.identities.of(`docker.io/library/nginx:1@${digest}`),
    );
  }
});

test('without pinning names are still rewritten, and otherwise nothing is', async () => {
  await using plain = await AdmissionRig.start({pin: {enabled: false}});
  assert.deepEqual((await plain.review('mutate', pod(['nginx']))).patch, {});
  await using node = await AdmissionRig.start({pin: {enabled: false}, rewrite: {mode: 'node'}});
  assert.deepEqual(Object.values((await node.review('mutate', pod(['nginx']))).patch), [
    'localhost:5055/docker.io/library/nginx:latest',
  ]);
  assert.deepEqual([...plain.fake.lines(), ...node.fake.lines()], []);
});

test('mutating twice is mutating once, for every pod', async () => {
  await using rig = await AdmissionRig.start({rewrite: {mode: 'node'}});
  for (const tag of ['1', '2', 'latest']) rig.fake.content.addImage('library/nginx', tag, [tag]);
  const name = fc.constantFrom(
    'nginx',
    'docker.io/nginx',
    'docker.io/library/nginx',
    'localhost:5055/docker.io/nginx',
    'index.docker.io/library/nginx',
    'reg.test/none',
    'host.example:5000/x',
    'auto',
    'UPPER/x',
    '',
  );
  const image = fc
    .tuple(name, fc.constantFrom('', ':1', ':2', ':latest'), fc.constantFrom('', '', `@${A}`))
    .map((parts) => parts.join(''));
  const policy = fc.constantFrom('Always', 'IfNotPresent', 'Never');
  const container = fc.record({image, imagePullPolicy: policy});
  const list = (field: string) =>
    fc.array(container, {maxLength: 3}).map((all) => all.map((one, i) => ({name: `${field}${String(i)}`, ...one})));
  const pods = fc
    .record({initContainers: list('i'), containers: list('c'), ephemeralContainers: list('e')})
    .map((spec) => pod([], {spec}));
  await fc.assert(
    fc.asyncProperty(pods, async (object) => {
      const once = await rig.admit(object);
      const again = await rig.review('mutate', once.object);
      assert.deepEqual(again.patch, {});
      // And as the API server does when a later webhook changed something: the same object once more, as an update.
      const applied = await rig.admit(object, {operation: 'UPDATE', oldObject: once.object});
      assert.deepEqual(applied.object, once.object);
    }),
    {numRuns: 60},
  );
});

test('a pod of thousands of images has registries asked about a few, and the others wait for nobody', async () => {
  await using rig = await AdmissionRig.start();
  const many = Array.from({length: 2_000}, (_, i) => `reg.test/acme/app-${String(i)}:v1`);
  const {patch, warnings} = await rig.review('mutate', pod([...many, ...many]));
  assert.deepEqual(patch, {});
  assert.equal(new Set(rig.fake.lines()).size, 64);
  const bytes = warnings.reduce((sum, warning) => sum + Buffer.byteLength(warning), 0);
  assert.ok(bytes <= 4096 && warnings.every((one) => one.length <= 256), String(bytes));
  assert.match(warnings.at(-1) ?? '', /and \d+ more warnings/);
  const last = rig.told[0]?.decision.images.at(-1);
  assert.equal(last?.left, 'unresolved');
});
