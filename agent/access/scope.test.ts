import assert from 'node:assert/strict';
import {test} from 'node:test';
import {formatScopes, isGranted, parseScopes} from './scope.ts';

for (const [name, texts, expected] of [
  ['one', ['repository:team/app:pull'], 'repository:team/app:pull'],
  ['push before pull, as go-containerregistry says it', ['repository:a:push,pull'], 'repository:a:pull,push'],
  ['several in one text', ['repository:a:pull repository:b:pull,push'], 'repository:a:pull repository:b:pull,push'],
  ['several texts', ['repository:a:pull', 'repository:a:push'], 'repository:a:pull,push'],
  ['all', ['repository:a:*'], 'repository:a:pull,push,delete'],
  ['a class of repository', ['repository(plugin):a:pull'], 'repository:a:pull'],
  ['the catalogue', ['registry:catalog:*'], 'registry:catalog:*'],
  ['an unknown action', ['repository:a:pull,admin'], 'repository:a:pull'],
  ['no name', ['repository::pull'], ''],
  ['a name with a quote', ['repository:a"b:pull'], ''],
  ['a name that climbs', ['repository:../a:pull'], ''],
  ['a pattern', ['repository:*:pull'], ''],
  ['a prefix of another', ['repository:a:pull:b'], ''],
  ['something else', ['user:alice:admin'], ''],
] as const) {
  test(`parseScopes reads ${name}`, () => {
    assert.equal(formatScopes(parseScopes(texts)), expected);
  });
}

test('parseScopes has a bound', () => {
  assert.equal(parseScopes(Array.from({length: 1000}, (_, i) => `repository:r${i}:pull`)).length, 32);
});

test('isGranted: each action and each repository by itself (D-043)', () => {
  const grants = parseScopes(['repository:a:pull,push', 'registry:catalog:*']);
  assert.ok(isGranted(grants, 'pull', 'a') && isGranted(grants, 'push', 'a'));
  assert.ok(!isGranted(grants, 'delete', 'a'));
  assert.ok(
    !isGranted(grants, 'pull', 'a/b') && !isGranted(grants, 'pull', 'b') && !isGranted(grants, 'pull', 'catalog'),
  );
});
