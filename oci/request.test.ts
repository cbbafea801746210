import assert from 'node:assert/strict';
import {test} from 'node:test';
import {OciError} from './error.ts';
import {parseRequest} from './request.ts';

const digest = `sha256:${'b'.repeat(64)}` as const;
const parse = (target: string): unknown => parseRequest(target, {defaultRegistry: 'docker.io'});
const brief = (target: string): string => {
  const request = parseRequest(target, {defaultRegistry: 'docker.io'});
  if (request === undefined) return 'none';
  if (request.kind === 'ping') return 'ping';
  const {name, kind} = request;
  const reference = kind === 'tag' ? request.tag : 'digest' in request ? 'digest' : '';
  return `${request.named} ${name.registry} ${name.repository} ${kind} ${reference}`.trim();
};

for (const [target, expected] of [
  ['/v2/', 'ping'],
  ['/v2', 'ping'],
  ['/v2/library/alpine/manifests/3?ns=docker.io', 'ns docker.io library/alpine tag 3'],
  ['/v2/x/y/manifests/3?ns=reg.example%3A5000', 'ns reg.example:5000 x/y tag 3'],
  ['/v2/quay.io/x/y/manifests/3', 'path quay.io x/y tag 3'],
  ['/v2/docker.io/alpine/manifests/3', 'path docker.io library/alpine tag 3'], // P-14
  ['/v2/host:5000/x/manifests/3', 'path host:5000 x tag 3'],
  ['/v2/host%3A5000/x/manifests/3', 'path host:5000 x tag 3'],
  ['/v2/localhost/x/manifests/3', 'path localhost x tag 3'],
  ['/v2/f/quay.io/x/manifests/3', 'path quay.io x tag 3'], // Trow's form
  ['/v2/f/x/manifests/3', 'default docker.io f/x tag 3'],
  ['/v2/alpine/manifests/3', 'default docker.io library/alpine tag 3'],
  ['/v2/alpine/manifests/3?ns=', 'default docker.io library/alpine tag 3'],
  [`/v2/x/y/manifests/${digest}`, 'default docker.io x/y manifest digest'],
  [`/v2/x/y/blobs/${digest.replace(':', '%3A')}`, 'default docker.io x/y blob digest'],
  [`/v2/foo/manifests/bar/blobs/${digest}`, 'default docker.io foo/manifests/bar blob digest'],
  ['/v2/tags/list/x/tags/list', 'default docker.io tags/list/x tags'],
  [`/v2/x/y/referrers/${digest}?artifactType=a%2Fb`, 'default docker.io x/y referrers digest'],
  ['/v2/_catalog', 'none'],
  ['/v3/', 'none'],
  ['/', 'none'],
] as const)
  test(`parseRequest() reads ${target.slice(0, 60)} as ${expected}`, () => {
    assert.equal(brief(target), expected);
  });

// D-030: routed by the raw target; whatever could change its meaning is refused before anything is dialled.
for (const [target, code] of [
  ['/v2/x/../y/manifests/1', 'NAME_INVALID'],
  ['/v2/x/./y/manifests/1', 'NAME_INVALID'],
  ['/v2/x/%2e%2e/y/manifests/1', 'NAME_INVALID'],
  ['/v2/x%2fy/manifests/1', 'NAME_INVALID'],
  ['/v2/x%252fy/manifests/1', 'NAME_INVALID'],
  ['/v2/x%5cy/manifests/1', 'NAME_INVALID'],
  ['/v2/x%00/manifests/1', 'NAME_INVALID'],
  ['/v2/x%zz/manifests/1', 'NAME_INVALID'],
  ['/v2//x/manifests/1', 'NAME_INVALID'],
  ['//evil.example/v2/x/manifests/1', 'NAME_INVALID'],
  ['http://evil.example/v2/x/manifests/1', 'NAME_INVALID'],
  ['/v2/x\\y/manifests/1', 'NAME_INVALID'],
  ['/v2/X/manifests/1', 'NAME_INVALID'],
  ['/v2/a___b/manifests/1', 'NAME_INVALID'],
  [`/v2/${'a/'.repeat(200)}b/manifests/1`, 'NAME_INVALID'],
  [`/v2/x/manifests/1?x=${'y'.repeat(9000)}`, 'NAME_INVALID'],
  ['/v2/x/manifests/1?ns=a.example&ns=b.example', 'NAME_INVALID'], // B-023
  ['/v2/x/manifests/1?ns=a%2fb', 'NAME_INVALID'],
  ['/v2/x/manifests/1?ns=user%40a.example', 'NAME_INVALID'],
  ['/v2/x/manifests/1?ns=2130706433', 'NAME_INVALID'],
  ['/v2/x/blobs/sha256:abc', 'DIGEST_INVALID'],
  [`/v2/x/blobs/sha256:${'B'.repeat(64)}`, 'DIGEST_INVALID'],
  [`/v2/x/blobs/md5:${'b'.repeat(32)}`, 'DIGEST_INVALID'],
  ['/v2/x/blobs/latest', 'DIGEST_INVALID'],
  ['/v2/x/manifests/sha256:totallywrong', 'DIGEST_INVALID'],
  ['/v2/x/manifests/.INVALID_MANIFEST_NAME', 'MANIFEST_UNKNOWN'], // P-27
  [`/v2/x/manifests/${'a'.repeat(129)}`, 'MANIFEST_UNKNOWN'],
  ['/v2/x/tags/list?n=-1', 'PAGINATION_NUMBER_INVALID'],
  ['/v2/x/tags/list?n=ten', 'PAGINATION_NUMBER_INVALID'],
] as const)
  test(`parseRequest() answers ${code} to ${target.slice(0, 60)}`, () => {
    assert.throws(
      () => parse(target),
      (error) => error instanceof OciError && error.code === code,
    );
  });

test('parseRequest() refuses a name without an upstream where there is no default', () => {
  assert.throws(() => parseRequest('/v2/x/manifests/1', {defaultRegistry: undefined}), {code: 'NAME_UNKNOWN'});
});

test('parseRequest() clips n to what all registries take, keeps cursors and drops ns (A-093, A-094)', () => {
  const request = parseRequest('/v2/x/tags/list?n=10000&last=b&next_page=zz&ns=quay.io', {defaultRegistry: undefined});
  assert.ok(request !== undefined && request.kind === 'tags');
  assert.equal(request.query, 'n=1000&last=b&next_page=zz');
});
