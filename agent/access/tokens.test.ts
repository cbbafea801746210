import assert from 'node:assert/strict';
import {createHmac, generateKeyPairSync, randomBytes} from 'node:crypto';
import {mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {exportJWK, SignJWT} from 'jose';
import {parseScopes} from './scope.ts';
import {readTokenKey, Tokens} from './tokens.ts';

const KEY = randomBytes(32);
const GRANTS = parseScopes(['repository:a:pull']);
const CLAIMS = {user: 'alice', generation: 'g', grants: GRANTS};
const newTokens = (service = 'reg.test', key = KEY): Tokens => new Tokens(key, () => service);

test('Tokens: what was issued is read back, for minutes', async () => {
  const {token, expiresInSeconds} = await newTokens().issue(CLAIMS);
  assert.equal(expiresInSeconds, 300);
  assert.deepEqual(await newTokens().read(token), CLAIMS);
  const nobody = {user: undefined, generation: undefined, grants: []};
  assert.deepEqual(await newTokens().read((await newTokens().issue(nobody)).token), nobody);
});

test('Tokens: one for another service, or signed with another key, is none', async () => {
  const {token} = await newTokens().issue(CLAIMS);
  assert.equal(await newTokens('other.test').read(token), undefined);
  assert.equal(await newTokens('reg.test', randomBytes(32)).read(token), undefined);
});

test('Tokens: a service that changes makes known tokens void', async () => {
  let service = 'reg.test';
  const tokens = new Tokens(KEY, () => service);
  const {token} = await tokens.issue(CLAIMS);
  assert.ok(await tokens.read(token));
  service = 'other.test';
  assert.equal(await tokens.read(token), undefined);
});

test('Tokens: an expired one is none', async () => {
  const old = new Date(Date.now() - 400_000);
  const token = await new SignJWT({access: GRANTS})
    .setProtectedHeader({alg: 'HS256'})
    .setIssuer('noost')
    .setAudience('reg.test')
    .setNotBefore(old)
    .setExpirationTime(new Date(old.getTime() + 300_000))
    .sign(KEY);
  assert.equal(await newTokens().read(token), undefined);
});

/** `header.payload.signature` with any signature. */
function forged(header: object, payload: object, sign: (text: string) => Buffer): string {
  const text = [header, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${text}.${sign(text).toString('base64url')}`;
}

test('Tokens: an attacker brings no key and chooses no algorithm (D-103)', async () => {
  const now = Math.floor(Date.now() / 1000);
  const access = parseScopes(['repository:a:*']);
  const payload = {
    iss: 'noost',
    aud: 'reg.test',
    sub: 'alice',
    gen: 'g',
    nbf: now - 1,
    iat: now - 1,
    exp: now + 300,
    access,
  };
  const hmac = (key: Buffer) => (text: string) => createHmac('sha256', key).update(text).digest();
  const own = randomBytes(32);
  const {privateKey, publicKey} = generateKeyPairSync('ec', {namedCurve: 'P-256'});
  const jwk = await exportJWK(publicKey);
  const none = (): Buffer => Buffer.alloc(0);
  const byJwk = await new SignJWT(payload).setProtectedHeader({alg: 'ES256', jwk, kid: 'noost'}).sign(privateKey);
  for (const [name, token] of [
    ['alg none', forged({alg: 'none'}, payload, none)],
    ['alg NONE', forged({alg: 'NONE'}, payload, none)],
    ['no signature', forged({alg: 'HS256'}, payload, none)],
    ['its own secret', forged({alg: 'HS256'}, payload, hmac(own))],
    [
      'its own secret as a jwk',
      forged({alg: 'HS256', jwk: {kty: 'oct', k: own.toString('base64url')}}, payload, hmac(own)),
    ],
    ['an empty secret', forged({alg: 'HS256', kid: '/dev/null'}, payload, hmac(Buffer.alloc(0)))],
    ['a jku', forged({alg: 'HS256', jku: 'http://127.0.0.1:1/jwks'}, payload, hmac(own))],
    ['its own public key', byJwk],
    [
      'a stronger algorithm with our key',
      forged({alg: 'HS512'}, payload, (text) => createHmac('sha512', KEY).update(text).digest()),
    ],
    ['an extension we do not know', forged({alg: 'HS256', crit: ['x'], x: 1}, payload, hmac(KEY))],
    ['no expiry', forged({alg: 'HS256'}, {...payload, exp: undefined}, hmac(KEY))],
    ['no service', forged({alg: 'HS256'}, {...payload, aud: undefined}, hmac(KEY))],
    ['no text', ''],
    ['no token', 'a.b.c'],
    ['a huge one', 'a'.repeat(1 << 20)],
  ] as const)
    assert.equal(await newTokens().read(token), undefined, name);
  assert.ok(await newTokens().read(forged({alg: 'HS256'}, payload, hmac(KEY))), 'the same by our own key is one');
});

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'noost-key-'));
  t.after(() => rm(path, {recursive: true}));
  return path;
}

test('readTokenKey makes a key once, for its owner alone', async (t) => {
  const file = join(await folder(t), 'token.key');
  const key = await readTokenKey(file);
  assert.equal(key.length, 32);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readTokenKey(file), key);
  assert.match(await readFile(file, 'utf8'), /^[0-9a-f]{64}\n$/);
});

test('readTokenKey refuses what is no key rather than to sign with it', async (t) => {
  const file = join(await folder(t), 'token.key');
  await writeFile(file, '');
  await assert.rejects(readTokenKey(file), /is not a token key: remove it/);
});
