import assert from 'node:assert/strict';
import {test} from 'node:test';
import {SILENT} from '../../kube/log.ts';
import {CLUSTER_IMAGE_POLICIES, IMAGE_POLICY_EXCEPTIONS} from '../../kube/resources.ts';
import {FakeKube} from '../../test/fake-kube.ts';
import {poll} from '../../test/poll.ts';
import {judge} from '../policy/judge.ts';
import {clusterPolicy, exception, NOW, question, subject} from '../policy/rig.ts';
import {PolicyWatch} from './policy-watch.ts';

const DENY = {default: 'Deny'} as const;
const ALLOW = {default: 'Allow'} as const;

async function rig(prepare: (fake: FakeKube) => void = () => undefined) {
  const fake = await FakeKube.start();
  prepare(fake);
  const client = fake.client();
  const state = {changes: 0};
  const onChange = (): void => void state.changes++;
  const watch = new PolicyWatch({client, ownNamespace: 'noost-system', log: SILENT, onChange});
  watch.start();
  return {
    fake,
    watch,
    state,
    says: (image: string): boolean | undefined => {
      const set = watch.compiled?.set;
      return set && judge(set, {subject: subject(), images: [question(image)]}, NOW).allowed;
    },
    [Symbol.asyncDispose]: async () => {
      await watch[Symbol.asyncDispose]();
      client[Symbol.dispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}

/** As the API server keeps it. */
function put(fake: FakeKube, spec: object, generation: number, name = 'production', more: object = {}): void {
  const {metadata, ...rest} = clusterPolicy(spec, name);
  fake.put(CLUSTER_IMAGE_POLICIES, {...rest, ...more, metadata: {...metadata, uid: name, generation}});
}

test('PolicyWatch: nothing is judged by before all three kinds were listed', async () => {
  await using it = await rig((fake) => {
    put(fake, DENY, 1);
    for (let i = 0; i < 3; i++) fake.failNext(403, 'imagepolicyexceptions');
  });
  await poll('two kinds were listed', () => it.fake.requests.filter((one) => one.includes('watch=1')).length >= 2);
  assert.equal(it.watch.compiled, undefined);
  assert.notEqual(it.watch.failure, undefined);
  await poll('all were', () => it.says('alpine') === false);
  assert.equal(it.watch.failure, undefined);
});

test('PolicyWatch: a watch that has expired (410) misses nothing of what happened meanwhile', async () => {
  await using it = await rig((fake) => {
    put(fake, DENY, 1);
    put(fake, ALLOW, 1, 'other');
  });
  await poll('it is judged by', () => it.says('alpine') === false);
  it.fake.remove(CLUSTER_IMAGE_POLICIES, 'production');
  put(it.fake, DENY, 2, 'other');
  put(it.fake, ALLOW, 1, 'third');
  it.fake.expire();
  it.fake.endWatches('break');
  await poll(
    'one is gone, one has changed, one is new',
    () =>
      it.watch
        .objects()
        .map(({metadata}) => `${metadata.name ?? ''} ${String(metadata.generation)}`)
        .toSorted()
        .join() === 'other 2,third 1',
  );
  await poll('that is judged by', () => it.says('alpine') === false);
  put(it.fake, ALLOW, 3, 'other');
  await poll('and what comes then', () => it.says('alpine') === true);
});

test('PolicyWatch: an API server that is away leaves policies in effect', async () => {
  await using it = await rig((fake) => put(fake, DENY, 1));
  await poll('it is judged by', () => it.says('alpine') === false);
  await it.fake.down(async () => {
    await poll('it is noticed', () => it.watch.failure);
    assert.equal(it.says('alpine'), false);
  });
  put(it.fake, ALLOW, 2);
  await poll('it is followed again', () => it.says('alpine') === true);
});

test('PolicyWatch: a status alone compiles nothing anew; one made again under the same name does', async () => {
  await using it = await rig((fake) => put(fake, DENY, 1));
  await poll('it is judged by', () => it.says('alpine') === false);
  const before = it.watch.compiled;
  const changes = it.state.changes;
  put(it.fake, DENY, 1, 'production', {status: {observedGeneration: 1}});
  await poll('the status is seen', () => it.state.changes > changes);
  assert.equal(it.watch.compiled, before);
  it.fake.remove(CLUSTER_IMAGE_POLICIES, 'production');
  put(it.fake, ALLOW, 1);
  await poll('the new one is judged by', () => it.says('alpine') === true);
});

test('PolicyWatch: changes that come together are compiled together', async () => {
  await using it = await rig();
  await poll('nothing is there', () => it.says('alpine') === true);
  const before = it.state.changes;
  for (let i = 0; i < 200; i++) put(it.fake, i === 199 ? DENY : ALLOW, 1, `p${String(i)}`);
  await poll('the last is judged by', () => it.says('alpine') === false);
  assert.ok(it.state.changes - before < 50, `compiled ${String(it.state.changes - before)} times`);
});

test('PolicyWatch: what cannot be compiled is a problem of its own, and an exception of that kind lifts nothing', async () => {
  await using it = await rig((fake) => {
    put(fake, DENY, 1);
    put(fake, {rules: [{name: 'x', match: [{tag: {regex: '('}}], action: 'Allow'}]}, 1, 'broken');
    fake.put(IMAGE_POLICY_EXCEPTIONS, {...exception({expires: 'soon', match: [{registry: 'docker.io'}]})} as never);
  });
  await poll('all is compiled', () => it.watch.compiled);
  assert.deepEqual(it.watch.compiled?.problems.map(({kind, name}) => `${kind} ${name}`).toSorted(), [
    'ClusterImagePolicy broken',
    'ImagePolicyException incident-42',
  ]);
  assert.equal(it.says('alpine'), false);
});
