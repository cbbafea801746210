import assert from 'node:assert/strict';
import {test} from 'node:test';
import {imagesOf, podOf} from './images-of.ts';

const SPEC = {
  serviceAccountName: 'builder',
  initContainers: [
    {name: 'init', image: 'a:1', imagePullPolicy: 'Never'},
    {name: 'sidecar', image: 'b:1', restartPolicy: 'Always'},
  ],
  containers: [{name: 'main', image: 'c:1'}],
  ephemeralContainers: [{name: 'debugger', image: 'd:1', targetContainerName: 'main'}],
  volumes: [
    {name: 'tmp', emptyDir: {}},
    {name: 'model', image: {reference: 'e:1', pullPolicy: 'Always'}},
  ],
};
const EVERY = [
  ['initContainers[0].image', 'initContainer', 'init', 'a:1'],
  ['initContainers[1].image', 'initContainer', 'sidecar', 'b:1'],
  ['containers[0].image', 'container', 'main', 'c:1'],
  ['ephemeralContainers[0].image', 'ephemeralContainer', 'debugger', 'd:1'],
  ['volumes[1].image.reference', 'imageVolume', 'model', 'e:1'],
];

function read(object: unknown) {
  const part = podOf(object);
  assert.ok(part);
  return {part, images: imagesOf(part)};
}

test('policy-peers 23, 26, 27: every field of a pod that names an image is found', () => {
  const {part, images} = read({apiVersion: 'v1', kind: 'Pod', metadata: {labels: {app: 'x'}}, spec: SPEC});
  assert.deepEqual(
    images.map(({path, field, name, written}) => [path, field, name, written]),
    EVERY.map(([path, ...rest]) => [`spec.${path}`, ...rest]),
  );
  assert.equal(images[4]?.pointer, '/spec/volumes/1/image/reference');
  assert.deepEqual(
    [images[0]?.pullPolicy, images[2]?.pullPolicy, images[4]?.pullPolicy],
    ['Never', undefined, 'Always'],
  );
  assert.deepEqual([part.labels, part.serviceAccount, part.isTemplate], [{app: 'x'}, 'builder', false]);
});

// 30: the older groups of the same kinds have the same shape.
for (const [apiVersion, kind, steps] of [
  ['v1', 'PodTemplate', 'template'],
  ['v1', 'ReplicationController', 'spec.template'],
  ['apps/v1', 'Deployment', 'spec.template'],
  ['extensions/v1beta1', 'Deployment', 'spec.template'],
  ['apps/v1beta2', 'StatefulSet', 'spec.template'],
  ['apps/v1', 'StatefulSet', 'spec.template'],
  ['apps/v1', 'DaemonSet', 'spec.template'],
  ['apps/v1', 'ReplicaSet', 'spec.template'],
  ['batch/v1', 'Job', 'spec.template'],
  ['batch/v1', 'CronJob', 'spec.jobTemplate.spec.template'],
] as const)
  test(`policy-peers 29, 30: the images of a ${kind} of ${apiVersion} are found`, () => {
    const template: unknown = {metadata: {labels: {app: 'x'}}, spec: SPEC};
    const object = steps.split('.').reduceRight<unknown>((inner, step) => ({[step]: inner}), template);
    const {part, images} = read({apiVersion, kind, ...(object as object)});
    assert.equal(part.isTemplate, true);
    assert.deepEqual(
      images.map(({path}) => path),
      EVERY.map(([path = '']) => `${steps}.spec.${path}`),
    );
  });

test('policy-peers 15: a missing or empty image stays in question in a pod, and is passed over in a template', () => {
  const spec = {containers: [{name: 'a'}, {name: 'b', image: ''}], volumes: [{name: 'v', image: {}}]};
  assert.deepEqual(
    read({apiVersion: 'v1', kind: 'Pod', spec}).images.map(({written}) => written),
    ['', '', ''],
  );
  assert.deepEqual(read({apiVersion: 'apps/v1', kind: 'Deployment', spec: {template: {spec}}}).images, []);
});

test('podOf() finds nothing in other objects, other groups and without a template', () => {
  for (const object of [
    {apiVersion: 'v1', kind: 'ConfigMap', spec: SPEC},
    {apiVersion: 'serving.knative.dev/v1', kind: 'Deployment', spec: {template: {spec: SPEC}}},
    {apiVersion: 'v1', kind: 'toString', spec: SPEC},
    {apiVersion: 'v1', kind: 'ReplicationController', spec: {selector: {}}},
    {},
    undefined,
  ])
    assert.equal(podOf(object), undefined);
});

test('a pod that names no service account runs as "default"; the old field counts', () => {
  const account = (spec: object) => podOf({apiVersion: 'v1', kind: 'Pod', spec})?.serviceAccount;
  assert.deepEqual(
    [account({}), account({serviceAccount: 'old'}), account({serviceAccountName: ''})],
    ['default', 'old', 'default'],
  );
});

for (const [name, object, message] of [
  ['a list of containers', {spec: {containers: {}}}, 'spec.containers: expected a list'],
  ['a container', {spec: {containers: ['x']}}, 'spec.containers[0]: expected an object'],
  ['a container that is null', {spec: {containers: [null]}}, 'spec.containers[0]: expected an object'],
  ['an image', {spec: {containers: [{image: 5}]}}, 'spec.containers[0].image: expected text'],
  ['a volume', {spec: {volumes: [{image: 'x'}]}}, 'spec.volumes[0].image: expected an object'],
  ['a label', {metadata: {labels: {a: 1}}, spec: {}}, 'metadata.labels.a: expected text'],
] as const)
  test(`what has not the shape of ${name} is an error that names the field`, () => {
    assert.throws(() => read({apiVersion: 'v1', kind: 'Pod', ...object}), new TypeError(message));
  });
