import assert from 'node:assert/strict';
import {test} from 'node:test';
import {clusterPolicy} from '../policy/rig.ts';
import type {PolicySpec} from '../policy/shape.ts';
import {AdmissionRig, pod, type Asked} from '../../test/admission-rig.ts';

/** Everything of Docker Hub's official images, and nothing else. */
const HUB: PolicySpec = {
  rules: [{name: 'hub', match: [{registry: 'docker.io', repository: 'library/**'}], action: 'Allow'}],
};

const TEMPLATES: readonly (readonly [apiVersion: string, kind: string, wrap: (template: object) => object])[] = [
  ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].map(
    (kind) => ['apps/v1', kind, (template: object) => ({spec: {template}})] as const,
  ),
  ['v1', 'ReplicationController', (template) => ({spec: {template}})],
  ['batch/v1', 'Job', (template) => ({spec: {template}})],
  ['batch/v1', 'CronJob', (template) => ({spec: {jobTemplate: {spec: {template}}}})],
  ['v1', 'PodTemplate', (template) => ({template})],
];

for (const [apiVersion, kind, wrap] of TEMPLATES)
  test(`a ${kind} is warned about, never refused or changed (§7 29)`, async () => {
    await using rig = await AdmissionRig.start({policies: [clusterPolicy(HUB)]});
    const newObject = (image: string) => ({
      apiVersion,
      kind,
      metadata: {name: 'w', namespace: 'team-a'},
      ...wrap({spec: {containers: [{name: 'c', image}]}}),
    });
    const {allowed, patch, warnings} = await rig.review('early', newObject('quay.io/x'));
    assert.ok(allowed);
    assert.deepEqual(patch, {});
    assert.match(warnings.join(), /pods of this will be refused: .*quay\.io\/x/);
    const asked: Asked = {operation: 'UPDATE', oldObject: newObject('quay.io/x')};
    assert.deepEqual((await rig.review('early', newObject('quay.io/x'), asked)).warnings, []);
    assert.deepEqual((await rig.review('early', newObject(''))).warnings, []);
    assert.deepEqual(rig.fake.lines(), []);
  });

test('a policy with an error is refused with the field, and one that is there can be mended, labelled and deleted', async () => {
  await using rig = await AdmissionRig.start();
  const wrong = clusterPolicy({rules: [{name: 'r', match: [{registry: 'https://quay.io'}], action: 'Allow'}]});
  const {allowed, code, message} = await rig.review('policies', wrong);
  assert.ok(!allowed);
  assert.equal(code, 422);
  assert.match(message, /^ClusterImagePolicy production has an error:\n {2}spec\.rules\[0\]\.match\[0\]\.registry: /);
  const labelled = {...wrong, metadata: {...wrong.metadata, labels: {a: 'b'}}};
  assert.ok((await rig.review('policies', labelled, {operation: 'UPDATE', oldObject: wrong})).allowed);
  assert.ok((await rig.review('policies', null, {operation: 'DELETE', oldObject: wrong})).allowed);
  assert.ok((await rig.review('policies', clusterPolicy(HUB), {operation: 'UPDATE', oldObject: wrong})).allowed);
});

test('a policy that asks for signatures is refused with "not supported in this version", and never admits', async () => {
  const signed = clusterPolicy({
    rules: [{name: 'r', match: [{registry: 'quay.io'}], action: 'Allow', require: {signature: {}}}],
  });
  await using rig = await AdmissionRig.start({policies: [signed]});
  assert.match((await rig.review('policies', signed)).message, /not supported in this version/);
  assert.ok(!(await rig.review('validate', pod(['quay.io/x']))).allowed);
});
