import assert from 'node:assert/strict';
import {test} from 'node:test';
import {ask, NAME, newUpstreamRig} from '../test/upstream-rig.ts';

test('credentials are not sent to a realm of another host, which is asked anonymously (C-007, D-105)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.auth.realm = `http://localhost:${rig.fake.port('token')}/token`;
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {failure: 'unauthorized'});
  const asked = rig.fake.requests.filter(({part}) => part === 'token');
  assert.ok(
    asked.length > 0 &&
      asked.every(
        ({headers, url, body}) => headers.authorization === undefined && !url.includes('user') && body === '',
      ),
  );
});

for (const realm of ['ftp://127.0.0.1/', 'not a url', '', 'http://user:pass@127.0.0.1/token'])
  test(`a realm of '${realm}' is refused`, async () => {
    await using rig = await newUpstreamRig({auth: 'bearer', login: true});
    rig.fake.auth.challenge = `Bearer realm="${realm}"`;
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {failure: 'refused', message: /realm/});
    assert.deepEqual(rig.fake.lines('token'), []);
  });

for (const [name, body] of [
  ['no token', '{}'],
  ['no JSON', '<html>'],
  ['a token with a line break', '{"token":"a\\nb"}'],
  ['null', 'null'],
] as const)
  test(`a token server that sends ${name} is an error of protocol`, async () => {
    await using rig = await newUpstreamRig({auth: 'bearer', login: true});
    rig.fake.fail({kind: 'status', status: 200, body}, {on: 'token'});
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {failure: 'protocol'});
  });

test('a token server’s huge answer is cut off', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.fail({kind: 'huge', bytes: 3 << 20}, {on: 'token'});
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {failure: 'protocol'});
});

test('a token server that fails once is asked again', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'reset'}, {on: 'token'});
  rig.fake.fail({kind: 'status', status: 503}, {on: 'token'});
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'node');
});

test('no error says a secret', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.fail(
    {
      kind: 'status',
      status: 403,
      body: '{"errors":[{"code":"DENIED","message":"see https://x/y?sig=abc \\u001b[31m"}]}',
    },
    {times: Infinity},
  );
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), (error: Error) => {
    assert.match(error.message, /DENIED/);
    return !/secret|sig=|\p{Cc}/u.test(error.message);
  });
});
