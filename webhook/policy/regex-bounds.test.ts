import assert from 'node:assert/strict';
import {test} from 'node:test';
import {ask, clusterPolicy, exception} from './rig.ts';
import type {ImageMatch, Rule} from './shape.ts';
import {validatePolicyObject} from './validate.ts';

// A team that may write policies for its own namespace must not hold up the reviews of all others.

const HUGE = `(?:${String.raw`\pL?`.repeat(50)}){1000}`;
const TOO_MANY = 'more than 32 matches with tag.regex; write one expression with | instead';

function regexes(count: number, regex = 'v[0-9]+'): ImageMatch[] {
  return Array.from({length: count}, () => ({tag: {regex}}));
}

function rule(match: readonly ImageMatch[], name = 'a'): Rule {
  return {name, match, action: 'Allow'};
}

test('an expression that repeats too much is refused, and one that people write is not', () => {
  const [issue, ...others] = validatePolicyObject(clusterPolicy({rules: [rule(regexes(1, HUGE))]}));
  assert.deepEqual(others, []);
  assert.equal(issue?.path, 'spec.rules[0].match[0].tag.regex');
  assert.match(issue.message, /repeats so much that it would be slow; write smaller counts$/);
  for (const regex of ['[0-9a-f]{64}', String.raw`v\d{1,3}\.\d{1,3}\.\d{1,3}-\d{8}T\d{6}`, '.{1,128}', 'x'.repeat(256)])
    assert.deepEqual(validatePolicyObject(clusterPolicy({rules: [rule(regexes(1, regex))]})), [], regex);
});

test('of many expressions that repeat too much the first is told, and the others are not compiled', () => {
  const rules = Array.from({length: 32}, (_, i) => rule(regexes(1, HUGE), `r${i}`));
  assert.deepEqual(
    validatePolicyObject(clusterPolicy({rules})).map(({path}) => path),
    ['spec.rules[0].match[0].tag.regex'],
  );
});

test('a policy has at most 32 expressions over all its rules, an exception in its matches', () => {
  const two = (count: number) => clusterPolicy({rules: [rule(regexes(16)), rule(regexes(count), 'b')]});
  assert.deepEqual(validatePolicyObject(two(16)), []);
  assert.deepEqual(validatePolicyObject(two(17)), [{path: 'spec.rules', message: TOO_MANY}]);
  assert.deepEqual(validatePolicyObject(exception({match: regexes(32)})), []);
  assert.deepEqual(validatePolicyObject(exception({match: regexes(33)})), [{path: 'spec.match', message: TOO_MANY}]);
});

test('a policy with such an expression that got in otherwise accepts nothing', () => {
  const policy = clusterPolicy({default: 'Allow', rules: [rule(regexes(1, HUGE))]});
  const verdict = ask([policy], ['nginx:1']);
  assert.equal(verdict.allowed, false);
  assert.equal(verdict.images[0]?.outcomes[0]?.reason, 'policy-broken');
});
