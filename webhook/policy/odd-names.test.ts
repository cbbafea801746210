import assert from 'node:assert/strict';
import {test} from 'node:test';
import {AdmissionRig} from '../../test/admission-rig.ts';
import {imagesOf, podOf} from './images-of.ts';
import {clusterPolicy, OWN_NAMESPACE} from './rig.ts';
import {compilePolicies} from './compile.ts';
import {judge} from './judge.ts';
import {validatePolicyObject} from './validate.ts';

/** Names that every JavaScript object has a thing by. */
const NAMES = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'isPrototypeOf'] as const;

function policyOf(selector: string, kind: 'namespaceSelector' | 'podSelector' = 'namespaceSelector'): unknown {
  const {apiVersion, metadata} = clusterPolicy({});
  return JSON.parse(
    `{"apiVersion":"${apiVersion}","kind":"ClusterImagePolicy","metadata":${JSON.stringify(metadata)},"spec":{"${kind}":${selector}}}`,
  );
}

function isRefused(policy: unknown, labels: object, podLabels: object = {}): boolean {
  const {set} = compilePolicies([policy], {ownNamespace: OWN_NAMESPACE});
  const image = {registry: 'docker.io', repository: 'library/nginx', tag: undefined, digest: undefined};
  const subject = {
    namespace: 'team-a',
    namespaceLabels: labels as Readonly<Record<string, string>>,
    podLabels: podLabels as Readonly<Record<string, string>>,
    serviceAccount: 'default',
  };
  const asked = {
    path: '',
    pointer: '',
    field: 'container',
    name: '',
    written: 'nginx',
    pullPolicy: undefined,
    identity: image,
    resolution: undefined,
  } as const;
  return !judge(set, {subject, images: [asked]}, Date.now()).allowed;
}

for (const name of NAMES)
  test(`a label called ${name} is one like any other`, () => {
    for (const kind of ['namespaceSelector', 'podSelector'] as const)
      for (const selector of [
        `{"matchLabels":{"${name}":"x"}}`,
        `{"matchExpressions":[{"key":"${name}","operator":"Exists"}]}`,
      ]) {
        const policy = policyOf(selector, kind);
        assert.deepEqual(validatePolicyObject(policy), []);
        const [nothing, labelled] = [{}, {[name]: 'x'}];
        assert.equal(isRefused(policy, nothing, nothing), false, `${selector} and no label`);
        assert.equal(isRefused(policy, labelled, labelled), true, selector);
      }
  });

for (const value of ['"x"', '5', '{}', 'null'])
  test(`a policy that selects by a label called __proto__, which there cannot be, with ${value}, is refused with the field`, () => {
    const policy = policyOf(`{"matchLabels":{"__proto__":${value}}}`);
    assert.deepEqual(validatePolicyObject(policy), [
      {path: 'spec.namespaceSelector.matchLabels.__proto__', message: "expected a label's key"},
    ]);
    assert.equal(isRefused(policy, {}), true, 'it accepts nothing, rather than being for nobody');
  });

test('labels and their values are told apart, with the field', () => {
  const issues = (selector: string) =>
    validatePolicyObject(policyOf(selector)).map(({path, message}) => [path, message]);
  assert.deepEqual(issues('{"matchLabels":{"a":"x y","b/":"x"}}'), [
    ['spec.namespaceSelector.matchLabels.a', "expected a label's value"],
    ['spec.namespaceSelector.matchLabels["b/"]', "expected a label's key"],
  ]);
  for (const wrong of ['[]', '5', 'null', '"a"'])
    assert.deepEqual(issues(`{"matchLabels":${wrong}}`), [
      ['spec.namespaceSelector.matchLabels', 'expected labels and their values'],
    ]);
  const many = Object.fromEntries(Array.from({length: 33}, (_, i) => [`k${String(i)}`, 'x']));
  assert.deepEqual(issues(JSON.stringify({matchLabels: many})), [
    ['spec.namespaceSelector.matchLabels', 'more than 32'],
  ]);
});

test('containers, labels, annotations and secrets of such names hide no image', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy({default: 'Deny'})]});
  for (const name of [...NAMES, '__proto__']) {
    const text = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"${name}":"x"},"annotations":{"${name}":"x"}},
      "spec":{"containers":[{"name":"${name}","image":"nginx"}],"imagePullSecrets":[{"name":"${name}"}],
      "volumes":[{"name":"${name}","image":{"reference":"nginx"}}],"ephemeralContainers":[{"name":"${name}","image":"nginx"}]}}`;
    const object = JSON.parse(text) as object;
    const read = podOf(object);
    assert.ok(read);
    assert.equal(imagesOf(read).length, 3);
    assert.equal(Object.hasOwn(read.labels, name), true);
    for (const operation of ['CREATE', 'UPDATE'] as const) {
      const oldObject = JSON.parse(text.replaceAll('nginx', 'old')) as object;
      const {allowed, message} = await rig.review('validate', object, {
        operation,
        ...(operation === 'UPDATE' && {oldObject}),
      });
      assert.equal(allowed, false);
      assert.match(message, /3 images/);
    }
  }
  assert.deepEqual(rig.errors, []);
});
