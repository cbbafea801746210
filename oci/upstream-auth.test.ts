import assert from 'node:assert/strict';
import {rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {FakeRegistry} from '../test/fake-registry.ts';
import {ask, login, NAME, newUpstreamRig, newUpstreams, settings} from '../test/upstream-rig.ts';

const MANIFEST = '/v2/acme/app/manifests/v1';
const BEARER_401 = ['HEAD', 'token', 'HEAD'];

const kinds = (fake: FakeRegistry): string[] =>
  fake.requests.map(({part, method}) => (part === 'token' ? `token` : method));

test('an open registry is asked once, and the answer is anybody’s although there are credentials', async () => {
  await using rig = await newUpstreamRig({login: true});
  const image = rig.fake.content.addImage('acme/app', 'v1');
  const head = await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(
    {...head},
    {digest: image.digest, mediaType: head.mediaType, sizeBytes: image.bytes.length, authority: 'anonymous'},
  );
  assert.deepEqual(rig.fake.lines(), [`HEAD ${MANIFEST}`]);
  const [{headers}] = rig.fake.requests as [(typeof rig.fake.requests)[0]];
  assert.equal(headers['accept-encoding'], 'identity'); // P-07
  assert.equal(headers['noost-hop'], 'this-agent'); // D-015
  assert.equal(headers.authorization, undefined);
  for (const type of ['oci.image.index', 'oci.image.manifest', 'manifest.list.v2', 'manifest.v2'])
    assert.ok(headers.accept?.includes(type)); // P-08
});

test('Basic is sent after the first 401, and from then on without being asked (C-008)', async () => {
  await using rig = await newUpstreamRig({auth: 'basic', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'node');
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(
    rig.fake.requests.map(({headers}) => headers.authorization?.split(' ')[0]),
    [undefined, 'Basic', 'Basic'],
  );
});

test('a token is got once with the credentials and used again', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'node');
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(kinds(rig.fake), [...BEARER_401, 'HEAD']);
  assert.deepEqual(
    rig.fake.auth.issued.map(({scopes, identity}) => [...scopes, identity]),
    [['repository:acme/app:pull', 'user']],
  );
});

test('100 questions at once are one question to the token server (C-006)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  await Promise.all(Array.from({length: 100}, () => rig.upstream.headManifest(NAME, 'v1', ask('node'))));
  assert.equal(rig.fake.lines('token').length, 1);
});

test('what is asked anonymously never sends the credentials, nor a token that was got with them', async () => {
  for (const auth of ['basic', 'bearer'] as const) {
    await using rig = await newUpstreamRig({auth, login: true});
    rig.fake.content.addImage('acme/app', 'v1');
    await rig.upstream.headManifest(NAME, 'v1', ask('node'));
    rig.fake.clear();
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('anonymous')), {
      name: 'UpstreamError',
      failure: 'unauthorized',
      status: 401,
    });
    const sent = rig.fake.requests.map(({headers}) => headers.authorization ?? '');
    assert.ok(sent.every((value) => !value.startsWith('Basic ')));
    const nodes = rig.fake.auth.issued.filter(({identity}) => identity !== '');
    assert.ok(nodes.every(({token}) => !sent.includes(`Bearer ${token}`)));
  }
});

test('a public repository behind tokens is anybody’s when it is asked for anonymously', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.auth.publicRepositories.add('acme/app');
  rig.fake.content.addImage('acme/app', 'v1');
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('anonymous'))).authority, 'anonymous');
});

test('bad credentials do not keep public images away (P-21)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.auth.publicRepositories.add('acme/app');
  rig.fake.auth.password = 'changed';
  rig.fake.content.addImage('acme/app', 'v1');
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'anonymous');
});

test('a 403 to the credentials is asked once more without them (C-033)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.auth.publicRepositories.add('acme/app');
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.getManifest(NAME, 'v1', ask('node'));
  rig.fake.clear();
  rig.fake.fail({kind: 'status', status: 403}, {times: 2}); // the held token, and a fresh one
  assert.equal((await rig.upstream.getManifest(NAME, 'v1', ask('node'))).authority, 'anonymous');
});

test('bad credentials and a private image are unauthorized, after a bounded number of questions', async () => {
  for (const auth of ['basic', 'bearer'] as const) {
    await using rig = await newUpstreamRig({auth, login: true});
    rig.fake.auth.password = 'changed';
    rig.fake.content.addImage('acme/app', 'v1');
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {failure: 'unauthorized'});
    assert.ok(rig.fake.requests.length <= 6, rig.fake.lines().join('\n'));
  }
});

test('a token that is refused is replaced once (P-20, C-005)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  const image = rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  rig.fake.auth.revokeTokens();
  rig.fake.clear();
  const {body} = await rig.source().open(image.layers[0]!, 0, ask('node'));
  body.resume();
  assert.deepEqual(kinds(rig.fake), ['GET', 'token', 'GET']);
});

test('a token is not used to its last second, and a missing expires_in is a minute (P-20)', async () => {
  for (const [lifeSeconds, goodMs, overMs] of [
    [300, 289_000, 291_000],
    [undefined, 49_000, 51_000],
    [10, 4000, 6000],
  ] as const) {
    const clock = {ms: 0};
    await using rig = await newUpstreamRig({auth: 'bearer', client: {now: () => clock.ms}});
    rig.fake.auth.publicRepositories.add('all');
    rig.fake.auth.tokenLifeSeconds = lifeSeconds;
    rig.fake.content.addImage('acme/app', 'v1');
    await rig.upstream.headManifest(NAME, 'v1', ask());
    clock.ms = goodMs;
    await rig.upstream.headManifest(NAME, 'v1', ask());
    assert.equal(rig.fake.lines('token').length, 1);
    clock.ms = overMs;
    await rig.upstream.headManifest(NAME, 'v1', ask());
    assert.equal(rig.fake.lines('token').length, 2);
  }
});

test('insufficient_scope widens the scope once (C-006)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  const challenge = `Bearer realm="${rig.fake.urlOf('token')}/token",service="fake",scope="repository:acme/base:pull",error="insufficient_scope"`;
  rig.fake.fail({kind: 'status', status: 401, headers: {'www-authenticate': challenge}}, {path: 'manifests'});
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(rig.fake.auth.issued.at(-1)?.scopes.toSorted(), [
    'repository:acme/app:pull',
    'repository:acme/base:pull',
  ]);
});

test('a 401 without a challenge asks /v2/ for it, once (C-009)', async () => {
  await using rig = await newUpstreamRig({auth: 'basic', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'status', status: 401}, {path: 'manifests'});
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  assert.deepEqual(rig.fake.lines(), [`HEAD ${MANIFEST}`, 'GET /v2/', `HEAD ${MANIFEST}`]);
});

test('a scheme that we do not speak is a clear error (C-008)', async () => {
  await using rig = await newUpstreamRig({auth: 'basic', login: true});
  rig.fake.auth.challenge = 'Negotiate';
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask('node')), {
    failure: 'unauthorized',
    message: /negotiate/,
  });
});

test('an identity token goes by POST, and its token is the node’s (C-003, C-023)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer'});
  const file = join(rig.dir, 'config.json');
  await writeFile(
    file,
    JSON.stringify({auths: {'reg.test': {auth: Buffer.from('user:').toString('base64'), identitytoken: 'identity'}}}),
  );
  rig.fake.content.addImage('acme/app', 'v1');
  const upstreams = newUpstreams([settings({url: rig.fake.url, credentials: login({dockerConfigFile: file})})]);
  assert.equal((await upstreams.for(NAME).headManifest(NAME, 'v1', ask('node'))).authority, 'node');
  assert.deepEqual(
    rig.fake.requests
      .filter(({part}) => part === 'token')
      .map(({method, body}) => [method, new URLSearchParams(body).get('grant_type')]),
    [['POST', 'refresh_token']],
  );
  await upstreams.close();
});

test('a token server that does not know GET is asked by POST, never with a password in the query (C-003)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  rig.fake.fail({kind: 'status', status: 405}, {on: 'token', method: 'GET'});
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'node');
  const [get, post] = rig.fake.requests.filter(({part}) => part === 'token');
  assert.ok(
    !get?.url.includes('secret') &&
      post?.method === 'POST' &&
      new URLSearchParams(post.body).get('password') === 'secret',
  );
});

test('a realm’s own query is kept, and `+` in an account is encoded (C-001, C-034)', async () => {
  await using rig = await newUpstreamRig({auth: 'bearer', login: true});
  rig.fake.auth.username = 'org+robot';
  rig.fake.auth.realm = `${rig.fake.urlOf('token')}/token?tenant=a%20b`;
  rig.fake.content.addImage('acme/app', 'v1');
  const credentials = login({username: 'org+robot', passwordFile: join(rig.dir, 'password')});
  const upstreams = newUpstreams([settings({url: rig.fake.url, credentials})]);
  await upstreams.for(NAME).headManifest(NAME, 'v1', ask('node'));
  const [line = ''] = rig.fake.lines('token');
  assert.ok(line.includes('tenant=a') && line.includes('account=org%2Brobot') && line.includes('scope='), line);
  await upstreams.close();
});

test('a password that was changed in its file is used without a restart (C-025)', async () => {
  await using rig = await newUpstreamRig({auth: 'basic', login: true});
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.headManifest(NAME, 'v1', ask('node'));
  rig.fake.auth.password = 'next';
  await writeFile(join(rig.dir, 'new'), 'next');
  await rename(join(rig.dir, 'new'), join(rig.dir, 'password'));
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'node');
});

test('a missing password file is reported without its content, and the registry asked anonymously', async () => {
  await using rig = await newUpstreamRig({
    settings: {credentials: login({username: 'u', passwordFile: '/nowhere/at-all'})},
  });
  rig.fake.content.addImage('acme/app', 'v1');
  assert.equal((await rig.upstream.headManifest(NAME, 'v1', ask('node'))).authority, 'anonymous');
  assert.ok(rig.events.includes('credentialsFailed reg.test Credentials cannot be read: ENOENT'));
});

test('a credential helper is asked with the host on stdin (C-023)', async () => {
  await using rig = await newUpstreamRig({auth: 'basic'});
  const helper = join(rig.dir, 'helper');
  await writeFile(
    helper,
    '#!/bin/sh\nread host\n[ "$1 $host" = "get reg.test" ] || exit 1\necho \'{"ServerURL":"x","Username":"user","Secret":"secret"}\'\n',
    {mode: 0o755},
  );
  rig.fake.content.addImage('acme/app', 'v1');
  const upstreams = newUpstreams([settings({url: rig.fake.url, credentials: login({credentialHelper: helper})})]);
  assert.equal((await upstreams.for(NAME).headManifest(NAME, 'v1', ask('node'))).authority, 'node');
  await upstreams.close();
});
