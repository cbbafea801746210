import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parseNamePattern, parseTagPattern} from './name-pattern.ts';

for (const [pattern, yes, no] of [
  ['**', ['a', 'a/b', 'a/b/c'], []],
  ['*', ['a', 'app'], ['a/b']],
  ['team/**', ['team/a', 'team/a/b'], ['team', 'teams/a', 'other/team/a']],
  ['team/*', ['team/a'], ['team', 'team/a/b']],
  ['**/app', ['app', 'a/app', 'a/b/app'], ['app/a', 'a/apps']],
  ['a/**/z', ['a/z', 'a/b/z', 'a/b/c/z', 'a/z/z'], ['a', 'z', 'a/b']],
  ['team-*/app', ['team-/app', 'team-a/app'], ['team/app', 'team-a/b/app']],
  ['*a*b', ['ab', 'xaxb', 'aab', 'abb'], ['ba', 'abx']],
  ['app', ['app'], ['apps', 'a/app', 'app/a']],
  ['a.b', ['a.b'], ['axb']],
] as const) {
  test(`parseNamePattern: ${pattern}`, () => {
    const {matches} = parseNamePattern(pattern);
    for (const name of yes) assert.ok(matches(name), name);
    for (const name of no) assert.ok(!matches(name), name);
  });
}

test('parseNamePattern refuses what can match no repository', () => {
  for (const text of ['', '/', 'a/', '/a', 'A', 'a//b', 'a b', 'a**', 'a/**b', 'a:b', '[a]', 'a'.repeat(256)])
    assert.throws(() => parseNamePattern(text), SyntaxError, text);
});

test('parseTagPattern: release/**:v*', () => {
  const {matches} = parseTagPattern('release/**:v*');
  assert.ok(matches('release/app', 'v1.2') && matches('release/a/b', 'v'));
  assert.ok(!matches('release/app', 'latest') && !matches('app', 'v1') && !matches('release', 'v1'));
  assert.ok(parseTagPattern('**:*').matches('a', 'Any_Tag.1'));
  for (const text of ['', 'a', 'a:', ':v', 'a:b:c', 'a:b c', 'a:**/x'])
    assert.throws(() => parseTagPattern(text), text);
});

test('parseNamePattern: no pattern takes long', () => {
  const {matches} = parseNamePattern(`${'*a'.repeat(100)}*b`);
  const started = performance.now();
  assert.ok(!matches('a'.repeat(255)));
  assert.ok(performance.now() - started < 1000, 'it is quadratic at most: milliseconds');
});
