import assert from 'node:assert/strict';
import {test} from 'node:test';
import {AdmissionRig, pod} from '../../test/admission-rig.ts';
import {A, clusterPolicy} from '../policy/rig.ts';

/** The registries of the rig, of which `quay.io` never answers. */
async function withOneThatHangs(failurePolicy: 'Fail' | 'Ignore' = 'Fail'): Promise<AdmissionRig> {
  const rig = await AdmissionRig.start({failurePolicy});
  const {rightsFor} = rig.context;
  rig.with({
    rightsFor: async (name, asked, signal) => {
      const rights = await rightsFor(name, asked, signal);
      if (name.registry !== 'quay.io') return rights;
      return {key: 'hangs', upstream: () => ({headManifest: () => new Promise(() => undefined)}) as never};
    },
  });
  return rig;
}

test('when time is up, what was resolved is pinned, and of the others it is said that they are not', async () => {
  await using rig = await withOneThatHangs();
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  const images = ['quay.io/a/b:1', 'reg.test/acme/app:v1'];
  const {allowed, patch, warnings} = await rig.review('mutate', pod(images), {timeout: '1s'});
  assert.ok(allowed);
  assert.deepEqual(patch, {'/spec/containers/1/image': `reg.test/acme/app:v1@${digest}`});
  assert.deepEqual(warnings, [
    'spec.containers[0].image: quay.io/a/b:1 is not pinned: its registry did not answer in time',
  ]);
  assert.equal(rig.told[0]?.decision.reason, 'patched');
});

test('when time is up, a refusal names the image whose registry did not answer, and says so', async () => {
  const tagged = {default: 'Deny', rules: [{name: 'v1', match: [{tag: 'v1'}], action: 'Allow'}]} as const;
  for (const failurePolicy of ['Fail', 'Ignore'] as const) {
    await using rig = await withOneThatHangs(failurePolicy);
    rig.setPolicies([clusterPolicy(tagged)]);
    const {digest} = rig.fake.content.addImage('acme/app', 'v1');
    const images = [`quay.io/a/b:v1@${A}`, `reg.test/acme/app:v1@${digest}`];
    const {allowed, message, warnings} = await rig.review('validate', pod(images), {timeout: '1s'});
    assert.equal(allowed, failurePolicy === 'Ignore');
    const told = allowed ? warnings.join() : message;
    assert.match(told, /containers\[0\].*quay\.io.*/s);
    assert.match(told, /did not answer/);
    assert.doesNotMatch(told, /acme/);
  }
});

test('hundreds of cold tags in one namespace: every review ends in its time, and those that came too late are there at the next', async () => {
  await using rig = await AdmissionRig.start();
  const wanted = new Map<string, string>();
  for (let i = 0; i < 640; i++) {
    const tag = `t${String(i)}`;
    const {digest} = rig.fake.content.addImage('acme/app', tag, [tag]);
    wanted.set(`reg.test/acme/app:${tag}`, digest);
  }
  const names = [...wanted.keys()];
  const pods = Array.from({length: 10}, (_, i) => pod(names.slice(i * 64, i * 64 + 64)));
  const reviews = (): Promise<{patch: Readonly<Record<string, string>>; warnings: readonly string[]}[]> =>
    Promise.all(pods.map((one) => rig.review('mutate', one, {timeout: '5s'})));
  for (const {patch, warnings} of await reviews())
    for (const image of Object.values(patch)) {
      const [name = '', digest] = image.split('@');
      assert.equal(digest, wanted.get(name), warnings.join());
    }
  const again = await reviews();
  assert.deepEqual(
    again.flatMap(({patch}) => Object.values(patch)).toSorted(),
    names.map((name) => `${name}@${String(wanted.get(name))}`).toSorted(),
  );
  assert.deepEqual(rig.errors, []);
});
