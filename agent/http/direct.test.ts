import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {createServer, request, type IncomingHttpHeaders, type Server} from 'node:http';
import type {AddressInfo} from 'node:net';
import {after, before, beforeEach, test} from 'node:test';
import {hashSync} from 'bcryptjs';
import type {Log} from '../../proc/log.ts';
import type {DirectAccess} from '../access/direct.ts';
import {Passwords} from '../access/passwords.ts';
import {Tokens} from '../access/tokens.ts';
import {newOurNames} from '../hosted/ours.ts';
import {Metrics} from '../metrics.ts';
import {newDirectDoor, type DirectParts} from './direct.ts';

// The door alone: what is behind it answers 200 and notes who asked for what.

const D = `sha256:${'a'.repeat(64)}`;
const ALICE = basic('alice', 'open sesame');
const audit: Record<string, unknown>[] = [];
const passed: string[] = [];
let anonymous: DirectAccess['anonymous'] = 'none';
let passwords: Passwords;
let server: Server;
let port = 0;

before(async () => {
  passwords = new Passwords(new Map([['alice', hashSync('open sesame', 4)]]));
  const tokens = new Tokens(randomBytes(32), () => 'reg.test');
  const nothing = (): void => undefined;
  const log: Log = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    access: nothing,
    audit: (a) => audit.push(a),
  };
  const parts: Partial<DirectParts> = {
    log,
    metrics: new Metrics('test'),
    hop: 'hop',
    defaultRegistry: () => undefined,
    ourNames: () => newOurNames({host: 'reg.test', names: ['**']}),
    access: () => ({passwords, tokens, anonymous}),
    answerHosted: async ({req, res, request, caller}) => {
      passed.push(`${caller.identity ?? 'nobody'} ${req.method ?? ''} ${request.kind}`);
      const may = ['pull', 'push', 'delete'].filter((one) => caller.may(one as 'pull', 'other'));
      req.resume();
      res.writeHead(200, {'x-may-other': may.join()}).end();
    },
  };
  server = createServer(newDirectDoor(parts as DirectParts)); // what leads to upstreams is in test/proofs/
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
beforeEach(() => {
  anonymous = 'none';
  audit.length = passed.length = 0;
});
after(async () => {
  await passwords.close();
  server.close();
});

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

function send(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Got> {
  return new Promise((resolve, reject) => {
    const req = request({host: '127.0.0.1', port, method, path, headers, agent: false}, (res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => (text += chunk.toString()));
      res.on('end', () => resolve({status: res.statusCode ?? 0, headers: res.headers, text}));
    });
    req.on('error', reject);
    req.end(body);
  });
}

async function tokenFor(scope: string, authorization = ALICE): Promise<string> {
  const query = new URLSearchParams({service: 'reg.test', scope});
  const got = await send('GET', `/token?${query.toString()}`, authorization === '' ? {} : {authorization});
  assert.equal(got.status, 200, got.text);
  return `Bearer ${(JSON.parse(got.text) as {token: string}).token}`;
}

test('nobody gets in without a name, and is told how: two challenges, Bearer first', async () => {
  for (const [method, path, scope] of [
    ['GET', '/v2/', undefined],
    ['GET', '/v2/team/app/manifests/v1', 'repository:team/app:pull'],
    ['HEAD', `/v2/team/app/blobs/${D}`, 'repository:team/app:pull'],
    ['POST', '/v2/team/app/blobs/uploads/', 'repository:team/app:pull,push'],
    ['PUT', '/v2/team/app/manifests/v1', 'repository:team/app:pull,push'],
    ['DELETE', '/v2/team/app/manifests/v1', 'repository:team/app:delete'],
    ['POST', `/v2/a/blobs/uploads/?mount=${D}&from=b`, 'repository:a:pull,push repository:b:pull'],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
    ['GET', '/v2/UPPER/manifests/v1', undefined],
    ['GET', '/v2/nonsense', undefined],
  ] as const) {
    const got = await send(method, path, {host: 'reg.test:5050'});
    assert.equal(got.status, 401, path);
    const raw = got.headers['www-authenticate'] ?? '';
    assert.match(raw, /^Bearer realm="http:\/\/reg\.test:5050\/token",service="reg\.test"/);
    assert.match(raw, /, Basic realm="noost"/);
    assert.equal(/scope="([^"]*)"/.exec(raw)?.[1], scope, path);
    if (method !== 'HEAD')
      assert.equal((JSON.parse(got.text) as {errors: {code: string}[]}).errors[0]?.code, 'UNAUTHORIZED');
  }
  assert.deepEqual(passed, []);
  assert.ok(audit.length === 9 && audit.every(({action, status}) => action === 'refuse' && status === 401));
});

test('the realm is never what a hostile Host header says, and https where a proxy ended TLS', async () => {
  for (const host of ['a"b', 'a b', 'a/b', 'a\\b', 'x'.repeat(300)]) {
    const got = await send('GET', '/v2/', {host});
    if (got.status === 400) continue; // Node's own parser
    assert.match(got.headers['www-authenticate'] ?? '', /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/token"/, host);
  }
  const got = await send('GET', '/v2/', {host: 'reg.test', 'x-forwarded-proto': 'https'});
  assert.match(got.headers['www-authenticate'] ?? '', /^Bearer realm="https:\/\/reg\.test\/token"/);
});

test('a password opens everything, a wrong one nothing, and the two wrong ones are told the same', async () => {
  for (const [method, path] of [
    ['GET', '/v2/team/app/manifests/v1'],
    ['PUT', '/v2/team/app/manifests/v1'],
    ['DELETE', '/v2/team/app/manifests/v1'],
    ['GET', '/v2/_catalog'],
  ] as const)
    assert.equal((await send(method, path, {authorization: ALICE})).status, 200, `${method} ${path}`);
  assert.equal((await send('GET', '/v2/', {authorization: ALICE})).status, 200);
  assert.deepEqual(passed, ['alice GET tag', 'alice PUT tag', 'alice DELETE tag', 'alice GET catalog']);
  const wrong = await send('GET', '/v2/a/manifests/v1', {authorization: basic('alice', 'x')});
  const nobody = await send('GET', '/v2/a/manifests/v1', {authorization: basic('mallory', 'x')});
  assert.equal(wrong.status, 401);
  assert.deepEqual([nobody.status, nobody.text], [wrong.status, wrong.text]);
  assert.equal(nobody.headers['www-authenticate'], wrong.headers['www-authenticate']);
});

test('a token is for what it says: pull is not push, push is not delete, one repository is not another (D-043)', async () => {
  const matrix = {
    'GET /v2/a/manifests/v1': ['pull'],
    'POST /v2/a/blobs/uploads/': ['push'],
    'PUT /v2/a/manifests/v1': ['push'],
    'GET /v2/a/blobs/uploads/x': ['push'],
    'DELETE /v2/a/blobs/uploads/x': ['push'],
    'DELETE /v2/a/manifests/v1': ['delete'],
    [`DELETE /v2/a/blobs/${D}`]: ['delete'],
    'GET /v2/b/manifests/v1': [],
    'GET /v2/a/b/manifests/v1': [],
    'PUT /v2/b/manifests/v1': [],
    'GET /v2/_catalog': [],
  } as Record<string, readonly string[]>;
  for (const action of ['pull', 'push', 'delete']) {
    const authorization = await tokenFor(`repository:a:${action}`);
    for (const [what, allowed] of Object.entries(matrix)) {
      const [method = '', path = ''] = what.split(' ');
      const got = await send(method, path, {authorization});
      assert.equal(got.status, allowed.includes(action) ? 200 : 401, `${action}: ${what}`);
      if (got.status === 401) assert.match(got.headers['www-authenticate'] ?? '', /error="insufficient_scope"/);
    }
    assert.equal((await send('GET', '/v2/', {authorization})).status, 200);
  }
  const all = await tokenFor('repository:a:*');
  const got = await send('DELETE', '/v2/a/manifests/v1', {authorization: all});
  assert.deepEqual([got.status, got.headers['x-may-other']], [200, '']);
  const catalog = await tokenFor('registry:catalog:*');
  assert.equal(
    (await send('GET', '/v2/_catalog', {authorization: catalog})).headers['x-may-other'],
    'pull,push,delete',
  );
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization: catalog})).status, 401);
});

test('a token buys no other token', async () => {
  const authorization = await tokenFor('repository:a:pull');
  const got = await send('GET', '/token?service=reg.test&scope=repository:a:push', {authorization});
  assert.equal(got.status, 401);
});

test('a token is void as soon as its user is gone or has another password (D-024)', async () => {
  const authorization = await tokenFor('repository:a:pull');
  const users = new Map([['alice', hashSync('open sesame', 4)]]);
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization})).status, 200);
  passwords.replace(users); // the same password, another line
  const got = await send('GET', '/v2/a/manifests/v1', {authorization});
  assert.equal(got.status, 401);
  assert.match(got.headers['www-authenticate'] ?? '', /scope="repository:a:pull",error="invalid_token"/);
  assert.equal(
    (await send('GET', '/v2/a/manifests/v1', {authorization: await tokenFor('repository:a:pull')})).status,
    200,
  );
});

test('anonymous: pull gives pulls, with and without a token, and still makes clients log in', async () => {
  anonymous = 'pull';
  assert.equal((await send('GET', '/v2/')).status, 401);
  assert.equal((await send('GET', '/v2/a/manifests/v1')).status, 200);
  assert.equal((await send('GET', '/v2/a/tags/list')).status, 200);
  assert.equal((await send('GET', '/v2/_catalog')).status, 401);
  const authorization = await tokenFor('repository:a:pull,push repository:b:* registry:catalog:*', '');
  assert.equal((await send('GET', '/v2/', {authorization})).status, 200);
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization})).status, 200);
  for (const [method, path] of [
    ['PUT', '/v2/a/manifests/v1'],
    ['POST', '/v2/b/blobs/uploads/'],
    ['DELETE', '/v2/b/manifests/v1'],
    ['GET', '/v2/_catalog'],
  ] as const) {
    assert.equal((await send(method, path)).status, 401, path);
    assert.equal((await send(method, path, {authorization})).status, 401, path);
  }
  anonymous = 'none';
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization})).status, 401, 'and not any more');
});

test('wrong credentials are no way in where anonymous may pull', async () => {
  anonymous = 'pull';
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization: basic('mallory', 'x')})).status, 401);
  assert.equal((await send('GET', '/v2/a/manifests/v1', {authorization: 'Bearer x.y.z'})).status, 401);
});

test('tokens: by form as containerd asks, for one service, never cached, and only to who may', async () => {
  const form = (fields: Record<string, string>): Promise<Got> => {
    const body = new URLSearchParams({
      grant_type: 'password',
      service: 'reg.test',
      client_id: 'x',
      ...fields,
    }).toString();
    return send('POST', '/token', {'content-type': 'application/x-www-form-urlencoded'}, body);
  };
  const good = await form({username: 'alice', password: 'open sesame', scope: 'repository:a:pull,push'});
  assert.equal(good.status, 200);
  assert.equal(good.headers['cache-control'], 'no-store');
  const {access_token, expires_in} = JSON.parse(good.text) as {access_token: string; expires_in: number};
  assert.equal(expires_in, 300);
  assert.equal((await send('PUT', '/v2/a/manifests/v1', {authorization: `Bearer ${access_token}`})).status, 200);
  assert.equal((await form({username: 'alice', password: 'x'})).status, 401);
  assert.equal((await form({username: '', password: 'x'})).status, 401);
  assert.equal((await form({grant_type: 'refresh_token', refresh_token: 'x'})).status, 405);
  assert.equal((await form({username: 'alice', password: 'x'.repeat(70_000)})).status, 403);
  assert.equal((await send('GET', '/token?service=reg.test')).status, 401);
  assert.equal((await send('GET', '/token?service=other.test', {authorization: ALICE})).status, 403);
  assert.equal((await send('PUT', '/token', {authorization: ALICE})).status, 405);
});

test('guessing is slowed down with 429 and a time to wait, and the password is not even looked at', async () => {
  passwords.replace(new Map([['bob', hashSync('right', 4)]]));
  let last: Got | undefined;
  for (let i = 0; i < 12; i++) last = await send('GET', '/v2/', {authorization: basic('bob', `guess${i}`)});
  assert.equal(last?.status, 429);
  assert.ok(Number(last?.headers['retry-after']) >= 1);
  assert.equal((await send('GET', '/v2/', {authorization: basic('bob', 'right')})).status, 429);
  assert.ok(audit.some(({status, reason}) => status === 429 && /Too many wrong passwords/.test(String(reason))));
  assert.ok(!JSON.stringify(audit).includes('guess1'), 'no password in the audit');
});

test('a refused push is answered whole while the client is still sending (A-054)', async () => {
  const got = await send(
    'POST',
    '/v2/a/blobs/uploads/',
    {'content-type': 'application/octet-stream'},
    'x'.repeat(4 << 20),
  );
  assert.equal(got.status, 401);
  assert.equal(got.headers.connection, 'close');
});
