import assert from 'node:assert/strict';
import {test} from 'node:test';
import {OciError} from './error.ts';
import {MAX_PAGE, parseHostedRequest} from './hosted-request.ts';

const digest = `sha256:${'b'.repeat(64)}` as const;
const none = {n: undefined, last: ''};

for (const [target, expected] of [
  ['/v2/', {kind: 'ping'}],
  ['/v2', {kind: 'ping'}],
  ['/v2/_catalog', {kind: 'catalog', page: none}],
  ['/v2/_catalog?n=3&last=a%2Fb', {kind: 'catalog', page: {n: 3, last: 'a/b'}}],
  ['/v2/_catalog?n=999999999999999999', {kind: 'catalog', page: {n: MAX_PAGE, last: ''}}], // D-100
  [`/v2/x/tags/list?n=${'9'.repeat(400)}`, {kind: 'tags', repository: 'x', page: {n: MAX_PAGE, last: ''}}],
  ['/v2/x/y/manifests/v1', {kind: 'tag', repository: 'x/y', tag: 'v1'}],
  ['/v2/x/y/manifests/v1?ns=reg.example', {kind: 'tag', repository: 'x/y', tag: 'v1', ns: 'reg.example'}],
  [`/v2/x/manifests/${digest}`, {kind: 'manifest', repository: 'x', digest, tags: []}],
  [`/v2/x/manifests/${digest}?tag=a&tag=b&tag=a`, {kind: 'manifest', repository: 'x', digest, tags: ['a', 'b']}],
  [`/v2/x/blobs/${digest.replace(':', '%3A')}`, {kind: 'blob', repository: 'x', digest}],
  ['/v2/x/tags/list?n=0', {kind: 'tags', repository: 'x', page: {n: 0, last: ''}}],
  [
    `/v2/x/referrers/${digest}?artifactType=a%2Fb`,
    {kind: 'referrers', repository: 'x', digest, artifactType: 'a/b', page: none},
  ],
  // greedy, from the right-hand end.
  [`/v2/foo/manifests/bar/blobs/${digest}`, {kind: 'blob', repository: 'foo/manifests/bar', digest}],
  ['/v2/tags/list/x/tags/list', {kind: 'tags', repository: 'tags/list/x', page: none}],
  ['/v2/a/blobs/uploads/blobs/uploads/', start('a/blobs/uploads', {})],
  ['/v2/a/blobs/uploads/x1-_', {kind: 'upload', repository: 'a', id: 'x1-_', digest: undefined}],
  ['/v2/a/blobs/uploads/manifests/1', {kind: 'tag', repository: 'a/blobs/uploads', tag: '1'}],
  ['/v2/x/blobs/uploads/', start('x', {})],
  ['/v2/x/blobs/uploads', start('x', {})],
  [`/v2/x/blobs/uploads/?digest=${digest}`, start('x', {digest})],
  ['/v2/x/blobs/uploads/?digest-algorithm=sha512', start('x', {algorithm: 'sha512'})],
  [`/v2/x/blobs/uploads/?mount=${digest}&from=y`, start('x', {mount: digest, from: 'y'})],
  [`/v2/x/blobs/uploads/?mount=${digest}`, start('x', {mount: digest})],
  ['/v2/x/blobs/uploads/?mount=../../etc&from=y', start('x', {from: 'y'})],
  [`/v2/x/blobs/uploads/?mount=${digest}&from=..%2Fy`, start('x', {from: '../y'})],
  [`/v2/x/blobs/uploads/id?digest=${digest}`, {kind: 'upload', repository: 'x', id: 'id', digest}],
  ['/v2/x/_oci/ext/discover', undefined],
  ['/v3/', undefined],
  ['/', undefined],
] as const)
  test(`parseHostedRequest() reads ${target.slice(0, 70)}`, () => {
    assert.deepEqual(parseHostedRequest(target), expected);
  });

function start(repository: string, rest: object): object {
  const nothing = {digest: undefined, algorithm: undefined, mount: undefined, from: undefined};
  return {kind: 'uploads', repository, ...nothing, ...rest};
}

for (const [target, code] of [
  ['/v2/X/manifests/1', 'NAME_INVALID'],
  ['/v2/a___b/manifests/1', 'NAME_INVALID'],
  ['/v2/a../blobs/uploads/', 'NAME_INVALID'],
  ['/v2/-a/blobs/uploads/', 'NAME_INVALID'],
  ['/v2/x/../y/blobs/uploads/', 'NAME_INVALID'], // D-030
  ['/v2/x/%2e%2e/y/blobs/uploads/', 'NAME_INVALID'],
  ['/v2/x%2fy/blobs/uploads/', 'NAME_INVALID'],
  ['/v2/x/blobs/uploads/..', 'NAME_INVALID'],
  ['//evil.example/v2/x/blobs/uploads/', 'NAME_INVALID'],
  [`/v2/${'a/'.repeat(200)}b/manifests/1`, 'NAME_INVALID'],
  ['/v2/x/manifests/1?ns=a&ns=b', 'NAME_INVALID'],
  ['/v2/x/manifests/sha256:baddigeststring', 'DIGEST_INVALID'],
  ['/v2/x/blobs/latest', 'DIGEST_INVALID'],
  ['/v2/x/blobs/uploads/?digest=sha256:abc', 'DIGEST_INVALID'],
  [`/v2/x/blobs/uploads/id?digest=md5:${'a'.repeat(32)}`, 'DIGEST_INVALID'],
  [`/v2/x/blobs/uploads/id?digest=${digest}&digest=${digest}`, 'DIGEST_INVALID'],
  ['/v2/x/blobs/uploads/?digest-algorithm=md5', 'DIGEST_INVALID'],
  ['/v2/x/manifests/.INVALID_MANIFEST_NAME', 'MANIFEST_UNKNOWN'], // P-27
  [`/v2/x/manifests/${digest}?tag=-x`, 'TAG_INVALID'],
  [`/v2/x/manifests/${digest}?${Array.from({length: 33}, (_, i) => `tag=t${i}`).join('&')}`, 'TAG_INVALID'],
  ['/v2/_catalog?n=-1', 'PAGINATION_NUMBER_INVALID'],
  ['/v2/x/tags/list?n=ten', 'PAGINATION_NUMBER_INVALID'],
] as const)
  test(`parseHostedRequest() answers ${code} to ${target.slice(0, 70)}`, () => {
    assert.throws(
      () => parseHostedRequest(target),
      (error) => error instanceof OciError && error.code === code,
    );
  });
