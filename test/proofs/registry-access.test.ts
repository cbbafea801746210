import assert from 'node:assert/strict';
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {decodeJwt, SignJWT, UnsecuredJWT} from 'jose';
import {digestOf} from '../../oci/digest.ts';
import {ask} from '../ask.ts';
import {ALICE, basic, BOB, HostedRig, push, pushBlob, usersText, type User} from '../hosted-rig.ts';
import {poll} from '../poll.ts';

// A real agent, attacked at its direct listener by who has no password, another's, or a token for something else.

/** A token as `docker login` would get it. */
async function tokenFor(registry: HostedRig, user: User | undefined, ...scopes: readonly string[]): Promise<string> {
  const query = new URLSearchParams([['service', 'reg.test'], ...scopes.map((scope) => ['scope', scope])]);
  const headers = user === undefined ? {} : {authorization: basic(user)};
  const answer = await fetch(`${registry.url}/token?${query.toString()}`, {headers});
  assert.equal(answer.status, 200);
  return ((await answer.json()) as {token: string}).token;
}

function bearer(token: string): {headers: Record<string, string>} {
  return {headers: {authorization: `Bearer ${token}`}};
}

test('guessing is slowed down, for the name from anywhere; who is known goes on working', async () => {
  await using registry = await HostedRig.start();
  assert.equal((await registry.send(BOB, 'GET', '')).status, 200);
  let waits = 0;
  for (let i = 0; i < 30 && waits < 3; i++) {
    const answer = await registry.send({username: 'alice', password: `guess-${i}`}, 'GET', '');
    await answer.arrayBuffer();
    if (answer.status === 429) {
      waits++;
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
      assert.equal(answer.headers.get('www-authenticate'), null, 'no invitation to go on');
    } else assert.equal(answer.status, 401);
  }
  assert.equal(waits, 3);
  assert.equal((await registry.send(BOB, 'GET', '')).status, 200, 'another user, from the same address');
  const text = registry.agent.lines.join('\n');
  assert.doesNotMatch(text, /guess-\d/, 'what was guessed is told to nobody');
  for (const wanted of [401, 429])
    await poll(`the audit tells ${wanted}`, () =>
      registry.audit.some(({action, status}) => action === 'refuse' && status === wanted),
    );
  assert.ok((await registry.agent.metric('noost_logins_total', {outcome: 'throttled'})) >= 3);
});

test('a token that is expired, forged, unsigned, of another registry or of who is gone opens nothing', async () => {
  await using registry = await HostedRig.start();
  await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('x')]);
  const path = 'team/app/manifests/v1';
  const good = await tokenFor(registry, ALICE, 'repository:team/app:pull,push,delete');
  assert.equal((await registry.send(undefined, 'GET', path, bearer(good))).status, 200);
  const key = Buffer.from((await readFile(join(registry.agent.dataDir, 'token.key'), 'utf8')).trim(), 'hex');
  const claims = decodeJwt(good);
  const now = Math.floor(Date.now() / 1000);
  const sign = (change: object, by = key): Promise<string> =>
    new SignJWT({...claims, ...change}).setProtectedHeader({alg: 'HS256'}).sign(by);
  // That what we sign is taken at all shows that the others are refused for what is wrong with them.
  assert.equal((await registry.send(undefined, 'GET', path, bearer(await sign({})))).status, 200);
  for (const [why, token] of [
    ['expired', await sign({nbf: now - 7200, iat: now - 7200, exp: now - 3600})],
    ['not yet good', await sign({nbf: now + 3600, exp: now + 7200})],
    ['of another registry', await sign({aud: 'other.test'})],
    ['forged', await sign({}, Buffer.alloc(32, 1))],
    ['signed with an empty key', await sign({}, Buffer.alloc(32))],
    ['unsigned', new UnsecuredJWT(claims).encode()],
    ['cut off', good.slice(0, -4)],
    ['not a token', 'x'.repeat(20_000)],
    ['nothing like it', 'AAAA'],
  ] as const) {
    const answer = await registry.send(undefined, 'GET', path, bearer(token));
    assert.ok([401, 431].includes(answer.status), `${why}: ${answer.status}`);
  }
  await writeFile(registry.usersFile, usersText([BOB]));
  await poll('alice is gone', async () => (await registry.send(undefined, 'GET', path, bearer(good))).status === 401);
  assert.equal((await registry.send(ALICE, 'GET', path)).status, 401);
  assert.equal((await registry.send(BOB, 'GET', path)).status, 200);
  // A file that cannot be used takes nobody's access away.
  await writeFile(registry.usersFile, 'bob:plain text\n');
  await poll('it is told', async () => (await registry.agent.metric('noost_listener_file_ok', {kind: 'users'})) === 0);
  assert.equal((await registry.send(BOB, 'GET', path)).status, 200);
  assert.doesNotMatch(registry.agent.lines.join('\n'), /plain text/);
});

test('a token for one repository mounts, reads and lists nothing of another', async () => {
  await using registry = await HostedRig.start();
  const secret = Buffer.from('the secret layer');
  const image = await push(registry, BOB, 'secret/app', 'v1', [secret]);
  const digest = digestOf(secret);
  const narrow = bearer(await tokenFor(registry, ALICE, 'repository:team/app:pull,push'));
  const send = (method: string, path: string) => registry.send(undefined, method, path, narrow);
  for (const query of [`mount=${digest}&from=secret/app`, `mount=${digest}`]) {
    const answer = await send('POST', `team/app/blobs/uploads/?${query}`);
    assert.notEqual(answer.status, 201, query);
    if (answer.status === 401)
      assert.match(answer.headers.get('www-authenticate') ?? '', /repository:secret\/app:pull/);
    else assert.equal(answer.status, 202);
    assert.equal((await send('HEAD', `team/app/blobs/${digest}`)).status, 404, query);
  }
  for (const path of [`secret/app/blobs/${digest}`, 'secret/app/manifests/v1', 'secret/app/tags/list', '_catalog'])
    assert.equal((await send('GET', path)).status, 401, path);
  assert.equal((await send('DELETE', `secret/app/manifests/${image.digest}`)).status, 401);
  // A manifest that names what the caller cannot read does not make it readable.
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {mediaType: 'application/octet-stream', digest, size: secret.length},
    layers: [],
  });
  const headers = {...narrow.headers, 'content-type': 'application/vnd.oci.image.manifest.v1+json'};
  const put = await registry.send(undefined, 'PUT', 'team/app/manifests/steal', {body, headers});
  assert.ok([400, 401, 404].includes(put.status), String(put.status));
  assert.equal((await send('GET', `team/app/blobs/${digest}`)).status, 404);
  // With a token for both it is a mount.
  const wide = bearer(await tokenFor(registry, ALICE, 'repository:team/app:pull,push', 'repository:secret/app:pull'));
  const mount = await registry.send(undefined, 'POST', `team/app/blobs/uploads/?mount=${digest}&from=secret/app`, wide);
  assert.equal(mount.status, 201);
});

test('an upload is of who began it, and of its repository (A-049)', async () => {
  await using registry = await HostedRig.start();
  const start = await registry.send(ALICE, 'POST', 'team/app/blobs/uploads/');
  assert.equal(start.status, 202);
  const path = (start.headers.get('location') ?? '').replace('/v2/', '');
  const id = path.split('/').at(-1) ?? '';
  const bytes = Buffer.from('of alice');
  assert.equal((await registry.send(ALICE, 'PATCH', path, {body: bytes})).status, 202);
  const other = `team/other/blobs/uploads/${id}`;
  for (const [user, method, target] of [
    [BOB, 'GET', path],
    [BOB, 'PATCH', path],
    [BOB, 'PUT', `${path}?digest=${digestOf(bytes)}`],
    [BOB, 'DELETE', path],
    [ALICE, 'PATCH', other],
    [ALICE, 'PUT', `${other}?digest=${digestOf(bytes)}`],
    [ALICE, 'GET', `team/app/blobs/uploads/${id}x`],
  ] as const) {
    const body = method === 'PATCH' ? {body: 'evil'} : {};
    assert.equal((await registry.send(user, method, target, body)).status, 404, `${user.username} ${method} ${target}`);
  }
  assert.equal((await registry.send(ALICE, 'GET', path)).headers.get('range'), `0-${bytes.length - 1}`);
  assert.equal((await registry.send(ALICE, 'PUT', `${path}?digest=${digestOf(bytes)}`)).status, 201);
});

test('anonymous: pull gives who has no name the images and nothing else', async () => {
  await using registry = await HostedRig.start();
  await using open = await HostedRig.start({anonymous: 'pull'});
  for (const [rig, status] of [
    [registry, 401],
    [open, 200],
  ] as const) {
    const image = await push(rig, ALICE, 'team/app', 'v1', [Buffer.from('layer')]);
    const layer = image.blobs[1]?.digest ?? '';
    const get = async (method: string, path: string): Promise<number> =>
      (await rig.send(undefined, method, path)).status;
    for (const path of [
      'team/app/manifests/v1',
      `team/app/blobs/${layer}`,
      'team/app/tags/list',
      `team/app/referrers/${layer}`,
    ])
      assert.equal(await get('GET', path), status, path);
    for (const [method, path] of [
      ['GET', ''], // the challenge is what makes clients log in
      ['GET', '_catalog'],
      ['POST', 'team/app/blobs/uploads/'],
      ['PUT', 'team/app/manifests/v1'],
      ['DELETE', 'team/app/manifests/v1'],
      ['DELETE', `team/app/blobs/${layer}`],
    ] as const)
      assert.equal(await get(method, path), 401, `${method} ${path}`);
    assert.equal((await rig.send({username: 'alice', password: 'wrong'}, 'GET', 'team/app/manifests/v1')).status, 401);
  }
});

test('SIGHUP changes who may come, which names are ours and which tags stay; a bad file changes nothing', async () => {
  await using registry = await HostedRig.start();
  await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('x')]);
  const anonymously = async (): Promise<number> =>
    (await registry.send(undefined, 'GET', 'team/app/manifests/v1')).status;
  assert.equal(await anonymously(), 401);
  await registry.reload({anonymous: 'pull', hosted: {names: ['team/**'], immutableTags: ['team/app:v*']}});
  await poll('anonymous pulls', async () => (await anonymously()) === 200);
  assert.equal((await registry.send(ALICE, 'DELETE', 'team/app/manifests/v1')).status, 403);
  assert.equal((await registry.send(ALICE, 'POST', 'other/app/blobs/uploads/')).status, 405);
  assert.equal((await registry.send(ALICE, 'POST', 'reg.test/other/app/blobs/uploads/')).status, 404);
  await registry.reload({anonymous: 'none', hosted: {names: ['team/**'], immutableTags: ['Not a pattern']}});
  await poll('it is told', async () => (await registry.agent.metric('noost_config_last_reload_successful')) === 0);
  assert.equal(await anonymously(), 200);
  await registry.reload({});
  await poll('as at first', async () => (await anonymously()) === 401);
  // In one moment: no request meets the new doors and the old rules.
  assert.equal((await registry.send(ALICE, 'DELETE', 'team/app/manifests/v1')).status, 202);
});

test('a configuration whose files cannot be read changes nothing at any door', async () => {
  await using registry = await HostedRig.start();
  await push(registry, ALICE, 'team/app', 'v1', [Buffer.from('x')]);
  await registry.reload({
    anonymous: 'pull',
    hosted: {names: ['other/**']},
    runtime: {anyLocalProcess: false, secretFile: `${registry.usersFile}.absent`},
  });
  await poll('it is told', async () => (await registry.agent.metric('noost_config_last_reload_successful')) === 0);
  assert.equal((await registry.send(undefined, 'GET', 'team/app/manifests/v1')).status, 401);
  assert.equal((await registry.send(ALICE, 'GET', 'team/app/manifests/v1')).status, 200);
  assert.equal((await registry.send(ALICE, 'POST', 'team/app/blobs/uploads/')).status, 202);
});

test('each push, deletion and refusal is one line of the audit, with who, what, how much and why; no secrets', async () => {
  await using registry = await HostedRig.start({hosted: {immutableTags: ['team/**:release-*']}});
  const image = await push(registry, ALICE, 'team/app', 'release-1', [Buffer.from('layer')]);
  await poll('three lines', () => registry.audit.length >= 3);
  const lines = registry.audit.map(({action, kind, who, repository}) => [action, kind, who, repository].join(' '));
  assert.deepEqual(lines, ['push upload alice team/app', 'push upload alice team/app', 'push tag alice team/app']);
  const {digest, bytes, reference} = registry.audit.at(-1) ?? {};
  assert.deepEqual([digest, bytes, reference], [image.digest, image.bytes.length, 'release-1']);
  const refused = await registry.send(BOB, 'DELETE', 'team/app/manifests/release-1');
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /release-1 is immutable here \(hosted\.immutableTags\)/);
  const token = await tokenFor(registry, BOB, 'repository:team/app:pull');
  assert.equal((await registry.send(undefined, 'DELETE', 'team/app/manifests/v9', bearer(token))).status, 401);
  await push(registry, BOB, 'team/app', 'v2', [Buffer.from('layer 2')]);
  assert.equal((await registry.send(BOB, 'DELETE', 'team/app/manifests/v2')).status, 202);
  await poll('the last line', () => registry.audit.at(-1)?.['action'] === 'delete');
  const told = registry.audit.slice(3).filter(({action}) => action !== 'push');
  assert.deepEqual(
    told.map(({action, who, reference: what, status}) => [action, who, what, status]),
    [
      ['refuse', 'bob', 'release-1', 403],
      ['refuse', 'bob', 'v9', 401],
      ['delete', 'bob', 'v2', 202],
    ],
  );
  assert.match(String(told[0]?.['reason']), /immutable/);
  const text = registry.agent.lines.join('\n');
  for (const one of [ALICE.password, BOB.password, token, basic(ALICE).slice(6), basic(BOB).slice(6)])
    assert.ok(!text.includes(one), 'a secret in the log');
  const moves = await registry.agent.noost('history', 'team/app:v2');
  assert.match(moves, /bob +sha256:\w{12} +\(deleted\)\n.*bob +\(new\)/);
});

test('paths and headers that are made to confuse are refused, and the agent goes on', async () => {
  await using registry = await HostedRig.start();
  const blob = await pushBlob(registry, ALICE, 'team/app', Buffer.from('a blob'));
  const authorization = basic(ALICE);
  for (const path of [
    '/v2/../../etc/passwd',
    '/v2/team/app/../../secret/manifests/v1',
    '/v2/team%2fapp/manifests/v1',
    '/v2//team/app/manifests/v1',
    '/v2/team/app/manifests/%00',
    '/v2/team/app/manifests/..%2f..%2fv1',
    `/v2/team/app/blobs/${blob}/../../x`,
    '/v2/team/app/blobs/sha256:../../../../etc/passwd',
    '/v2/team/app/blobs/sha256%3A..%2F..%2F',
    '/v2/TEAM/app/manifests/v1',
    `/v2/${'a/'.repeat(300)}manifests/v1`,
    '/v2/team/app/tags/list?n=-1',
    '/v2/team/app/blobs/uploads/x?digest=sha256:zz',
    '/v2/team/app/blobs/uploads/..%2f..%2f..%2ftoken.key',
    '/token?service=other.test',
    `/token?scope=${'repository:a:pull%20'.repeat(2_000)}`,
    '/V2/team/app/manifests/v1',
  ]) {
    const {status, body} = await ask(registry.address, path, {headers: {authorization}});
    assert.ok(status >= 400 && status < 500, `${path.slice(0, 60)}: ${status}`);
    assert.doesNotMatch(body.toString(), /root:|node_modules|\/tmp\//);
  }
  for (const value of [
    'Basic',
    'Basic !!!',
    'Bearer',
    `Basic ${'A'.repeat(9_000)}`,
    'Digest x',
    'Basic YWxpY2U=',
    'basic  Og==',
  ])
    assert.equal(
      (await ask(registry.address, '/v2/', {headers: {authorization: value}})).status,
      401,
      value.slice(0, 20),
    );
  for (const method of ['TRACE', 'OPTIONS', 'PATCH', 'DELETE', 'PROPFIND']) {
    const {status} = await ask(registry.address, '/v2/', {method, headers: {authorization}});
    assert.equal(status, 405, method);
  }
  assert.equal((await ask(registry.address, `/v2/team/app/blobs/${blob}`, {headers: {authorization}})).status, 200);
  assert.equal(await registry.agent.metric('noost_unexpected_errors_total'), 0);
  assert.deepEqual(
    registry.agent.log.filter(({level}) => level === 'error'),
    [],
  );
});
