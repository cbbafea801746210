import assert from 'node:assert/strict';
import {test} from 'node:test';
import {OciError} from '../../oci/error.ts';
import {parseRequest} from '../../oci/request.ts';
import {newOurNames, routeDirect, toHostedRequest} from './ours.ts';

const D = `sha256:${'a'.repeat(64)}`;
const SOME = newOurNames({host: 'reg.example.com:5000', names: ['team/**', 'app']});
const ALL = newOurNames({host: undefined, names: ['**']});

function lead(target: string, names = SOME, method = 'GET', defaultRegistry: string | undefined = 'docker.io'): string {
  try {
    const route = routeDirect(method, target, {names, defaultRegistry});
    if (route.to === 'upstream') return `upstream ${route.pull.name.registry} ${route.pull.name.repository}`;
    return `hosted ${route.request.kind}${'repository' in route.request ? ` ${route.request.repository}` : ''}`;
  } catch (error) {
    assert.ok(error instanceof OciError);
    return error.code;
  }
}

for (const [target, expected] of [
  ['/v2/', 'hosted ping'],
  ['/v2/_catalog', 'hosted catalog'],
  ['/v2/team/app/manifests/v1', 'hosted tag team/app'],
  [`/v2/team/app/blobs/${D}`, 'hosted blob team/app'],
  ['/v2/app/tags/list', 'hosted tags app'],
  ['/v2/other/manifests/v1', 'upstream docker.io library/other'],
  ['/v2/team/manifests/v1', 'upstream docker.io library/team'],
  ['/v2/ghcr.io/x/y/manifests/v1', 'upstream ghcr.io x/y'],
  ['/v2/host:5000/x/manifests/v1', 'upstream host:5000 x'],
  ['/v2/team/app/manifests/v1?ns=ghcr.io', 'upstream ghcr.io team/app'],
  ['/v2/team/app/manifests/v1?ns=docker.io', 'upstream docker.io team/app'],
  ['/v2/other/manifests/v1?ns=reg.example.com:5000', 'NAME_UNKNOWN'],
  ['/v2/team/app/manifests/v1?ns=reg.example.com:5000', 'hosted tag team/app'],
  ['/v2/other/manifests/v1?ns=REG.example.com:5000', 'NAME_UNKNOWN'],
  ['/v2/team/app/manifests/v1?ns=REG.example.com:5000', 'hosted tag team/app'],
  ['/v2/reg.example.com:5000/other/manifests/v1', 'NAME_UNKNOWN'],
  ['/v2/reg.example.com:5000/team/app/manifests/v1', 'hosted tag team/app'],
  ['/v2/reg.example.com%3A5000/other/manifests/v1', 'NAME_UNKNOWN'],
  ['/v2/reg.example.com%3A5000/team/app/manifests/v1', 'hosted tag team/app'],
  ['/v2/f/reg.example.com:5000/other/manifests/v1', 'NAME_UNKNOWN'],
  ['/v2/f/reg.example.com:5000/team/app/manifests/v1', 'hosted tag team/app'],
  ['/v2/REG.example.COM:5000/team/app/manifests/v1', 'hosted tag team/app'],
  ['/v2/f/Reg.example.com:5000/team/app/manifests/v1', 'hosted tag team/app'],
  ['/v2/REG.example.com:5000/other/manifests/v1', 'NAME_UNKNOWN'],
  ['/v2/reg.example.com:5001/other/manifests/v1', 'upstream reg.example.com:5001 other'],
  ['/v2/reg.example.com/other/manifests/v1', 'upstream reg.example.com other'],
  ['/v2/other/manifests/v1?ns=reg.example.com:5000&ns=ghcr.io', 'NAME_INVALID'],
  ['/v2/Team/app/manifests/v1', 'NAME_INVALID'],
  ['/v2/team/app/unknown', 'NAME_UNKNOWN'],
  ['/v2/team/app/manifests/.bad', 'MANIFEST_UNKNOWN'],
  ['/v2/team/../other/manifests/v1', 'NAME_INVALID'],
  ['//team/app/manifests/v1', 'NAME_INVALID'],
  ['/v2/team/app/manifests/v1%2f..', 'NAME_INVALID'],
  ['/other', 'NAME_UNKNOWN'],
] as const) {
  test(`routeDirect: GET ${target}`, () => {
    assert.equal(lead(target), expected);
  });
}

test('routeDirect: our own name in any spelling is never an upstream, not even where it is the default', () => {
  const names = newOurNames({host: 'reg.test', names: ['team/**']});
  for (const host of ['reg.test', 'REG.TEST', 'reg.test:443', 'Reg.Test:443']) {
    assert.equal(lead(`/v2/${host}/team/app/manifests/v1`, names), 'hosted tag team/app', host);
    assert.equal(lead(`/v2/team/app/manifests/v1?ns=${host}`, names), 'hosted tag team/app', host);
    assert.equal(lead(`/v2/${host}/other/manifests/v1`, names), 'NAME_UNKNOWN', host);
    assert.equal(lead(`/v2/f/${host}/other/manifests/v1`, names), 'NAME_UNKNOWN', host);
  }
  assert.equal(lead('/v2/other/manifests/v1', names, 'GET', 'reg.test'), 'NAME_UNKNOWN');
});

test('routeDirect: where all names are ours, none is looked for elsewhere, even one that looks like a registry', () => {
  assert.equal(lead('/v2/docker.io/library/alpine/manifests/1', ALL), 'hosted tag docker.io/library/alpine');
  assert.equal(lead('/v2/alpine/manifests/1', ALL), 'hosted tag alpine');
  assert.equal(lead('/v2/alpine/manifests/1?ns=docker.io', ALL), 'upstream docker.io library/alpine');
});

test('routeDirect: what is not ours is read-only (A-114), and unknown without a default upstream', () => {
  for (const target of [
    '/v2/other/blobs/uploads/',
    '/v2/ghcr.io/x/y/blobs/uploads/',
    '/v2/team/app/blobs/uploads/?ns=ghcr.io',
    '/v2/host:5000/x/blobs/uploads/',
  ])
    assert.equal(lead(target, SOME, 'POST'), 'UNSUPPORTED', target);
  assert.equal(lead('/v2/team/app/blobs/uploads/', SOME, 'POST'), 'hosted uploads team/app');
  assert.equal(lead('/v2/other/manifests/v1', SOME, 'DELETE'), 'UNSUPPORTED');
  const names = {names: SOME, defaultRegistry: undefined};
  assert.throws(() => routeDirect('GET', '/v2/other/manifests/v1', names), {code: 'NAME_UNKNOWN'});
});

test('toHostedRequest: what a runtime asks of our own name', () => {
  for (const [target, expected] of [
    ['/v2/team/app/manifests/v1?ns=reg.test', {repository: 'team/app', ns: 'reg.test', kind: 'tag', tag: 'v1'}],
    ['/v2/reg.test/app/manifests/v1', {repository: 'app', kind: 'tag', tag: 'v1'}],
    [`/v2/reg.test/app/manifests/${D}`, {repository: 'app', kind: 'manifest', digest: D, tags: []}],
    [`/v2/f/reg.test/app/blobs/${D}`, {repository: 'app', kind: 'blob', digest: D}],
    [
      '/v2/app/tags/list?ns=reg.test&n=5&last=v1',
      {repository: 'app', ns: 'reg.test', kind: 'tags', page: {n: 5, last: 'v1'}},
    ],
  ] as const) {
    const pull = parseRequest(target, {defaultRegistry: undefined});
    assert.ok(pull !== undefined && pull.kind !== 'ping');
    assert.deepEqual(toHostedRequest(pull), expected, target);
  }
});
