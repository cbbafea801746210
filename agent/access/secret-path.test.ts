import assert from 'node:assert/strict';
import {test} from 'node:test';
import {takeSecret} from './secret-path.ts';

for (const [what, target, rest, secret] of [
  [
    'CRI-O (B-071)',
    '/v2/noost-secret-0af/docker.io/library/a/manifests/1',
    '/v2/docker.io/library/a/manifests/1',
    '0af',
  ],
  ['dockerd, before /v2', '/noost-secret-0af/v2/library/a/tags/list?n=1', '/v2/library/a/tags/list?n=1', '0af'],
  ["dockerd's ping", '/noost-secret-0af/v2/', '/v2/', '0af'],
  ['nothing behind it', '/v2/noost-secret-0af', '/v2', '0af'],
  ['an empty one', '/v2/noost-secret-/a/b', '/v2/a/b', ''],
  ['no secret', '/v2/docker.io/library/a/manifests/1', '/v2/docker.io/library/a/manifests/1', undefined],
  ['a repository of that name', '/v2/ghcr.io/noost-secret-a/b', '/v2/ghcr.io/noost-secret-a/b', undefined],
  ['only the first', '/v2/noost-secret-a/noost-secret-b/c', '/v2/noost-secret-b/c', 'a'],
] as const) {
  test(`takeSecret takes the secret out of a target: ${what}`, () => {
    assert.deepEqual(takeSecret(target), {target: rest, secret});
  });
}
