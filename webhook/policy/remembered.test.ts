import assert from 'node:assert/strict';
import {test} from 'node:test';
import {compilePolicies} from './compile.ts';
import {judge} from './judge.ts';
import {clusterPolicy, exception, OWN_NAMESPACE, question, subject} from './rig.ts';

const TIMES = ['2026-11-30T00:00:00Z', '2026-12-01T00:00:00Z', '2026-12-01T12:00:00Z', '2026-12-02T00:00:00Z'].map(
  (time) => Date.parse(time),
);
const SUBJECTS = [
  subject(),
  subject({podLabels: {app: 'web'}}),
  subject({podLabels: {app: 'web', tier: 'back'}}),
  subject({podLabels: {tier: 'back'}, serviceAccount: 'builder-1'}),
  subject({serviceAccount: 'builder-1'}),
  subject({namespace: 'kube-system'}),
];
const OBJECTS = [
  clusterPolicy({default: 'Deny'}, 'all'),
  clusterPolicy({default: 'Deny', podSelector: {matchLabels: {app: 'web'}}}, 'web'),
  clusterPolicy({default: 'Deny', podSelector: {matchLabels: {tier: 'back'}}, mode: 'Warn'}, 'back'),
  clusterPolicy({default: 'Deny', serviceAccounts: ['builder-*']}, 'builders'),
  exception({policies: ['all', 'web'], expires: '2026-12-01T00:00:00Z'}, 'short'),
  exception({policies: ['all', 'builders', 'back'], expires: '2026-12-02T00:00:00Z'}, 'long'),
];

test('a set that was asked much, at any times and in any order, answers as one that was asked nothing', () => {
  const newSet = () => compilePolicies(OBJECTS, {ownNamespace: OWN_NAMESPACE}).set;
  const used = newSet();
  const images = ['quay.io/a/b:1', 'ghcr.io/a/b:1'].map((image, i) => question(image, undefined, i));
  // A fixed sequence that goes to and fro in time: clocks do.
  let seed = 7;
  const next = (count: number): number => (seed = (seed * 48_271) % 2_147_483_647) % count;
  for (let i = 0; i < 2_000; i++) {
    const [who, nowMs] = [SUBJECTS[next(SUBJECTS.length)], TIMES[next(TIMES.length)]];
    assert.ok(who !== undefined && nowMs !== undefined);
    const asked = {subject: who, images};
    assert.deepEqual(judge(used, asked, nowMs), judge(newSet(), asked, nowMs), `${JSON.stringify(who)} at ${nowMs}`);
  }
});
