import assert from 'node:assert/strict';
import {test} from 'node:test';
import {failurePolicyFor, switchOf, type ArmingState} from './arming.ts';

const FAIL: ArmingState = {configured: 'Fail', switch: undefined, live: undefined, readyReplicas: 0, wantedReplicas: 3};

const CASES: readonly (readonly [name: string, state: Partial<ArmingState>, policy: 'Fail' | 'Ignore'])[] = [
  ['open as long as none is ready', {}, 'Ignore'],
  ['open with one of three', {readyReplicas: 1}, 'Ignore'],
  ['closed with two of three', {readyReplicas: 2}, 'Fail'],
  ['closed with one, where one is all that there is', {readyReplicas: 1, wantedReplicas: 1}, 'Fail'],
  ['open with one, where nobody says how many there are', {readyReplicas: 1, wantedReplicas: undefined}, 'Ignore'],
  ['closed with two, where nobody says how many there are', {readyReplicas: 2, wantedReplicas: undefined}, 'Fail'],
  ['closed still when they fail: who can make them fail is not rid of the policies', {live: 'Fail'}, 'Fail'],
  ['open when none is wanted', {live: 'Fail', readyReplicas: 3, wantedReplicas: 0}, 'Ignore'],
  ['open by the switch', {live: 'Fail', readyReplicas: 3, switch: 'ignore'}, 'Ignore'],
  ['open as configured', {configured: 'Ignore', live: 'Fail', readyReplicas: 3}, 'Ignore'],
  ['closed again after somebody opened it', {live: 'Ignore', readyReplicas: 3}, 'Fail'],
];
for (const [name, state, policy] of CASES) {
  test(`failurePolicyFor(): ${name}`, () => assert.equal(failurePolicyFor({...FAIL, ...state}), policy));
}

test('switchOf(): what is no position of the switch changes nothing', () => {
  assert.equal(switchOf({'noost.dev/webhook': 'off'}), 'off');
  assert.equal(switchOf({'noost.dev/webhook': 'ignore'}), 'ignore');
  for (const value of ['', 'Off', 'false', 'on', 'true'])
    assert.equal(switchOf({'noost.dev/webhook': value}), undefined);
  assert.equal(switchOf(undefined), undefined);
});
