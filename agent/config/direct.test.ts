import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {ConfigRig} from './rig.ts';

let rig: ConfigRig;
before(async () => {
  rig = await ConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

const TLS = 'tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/a.key}';
const USERS = 'users: {htpasswdFile: FOLDER/users}';
const direct = (...keys: string[]): string =>
  `listeners:\n- {${['address: "0.0.0.0:5050"', 'door: direct', ...keys].join(', ')}}`;

test('a direct listener with everything that the issue shows', async () => {
  const config = await rig.load(`listeners:
  - {address: 127.0.0.1:5055, door: runtime}
  - address: 0.0.0.0:5050
    door: direct
    ${TLS}
    users: {htpasswdFile: FOLDER/users, anonymous: none}
hosted:
  names: ["**"]
  host: registry.example.com
  immutableTags: ["release/**:v*"]
  maxManifestSize: 4MiB
  maxBlobSize: 16GiB
  uploadExpiry: 24h
`);
  assert.deepEqual(config.listeners[1], {
    host: '0.0.0.0',
    port: 5050,
    door: 'direct',
    secretFile: undefined,
    anyLocalProcess: false,
    tls: {certFile: rig.path('a.crt'), keyFile: rig.path('a.key')},
    insecure: false,
    users: {htpasswdFile: rig.path('users'), anonymous: 'none'},
  });
  assert.deepEqual(config.hosted, {
    names: ['**'],
    host: 'registry.example.com',
    immutableTags: ['release/**:v*'],
    maxManifestBytes: 4 * 1024 ** 2,
    maxBlobBytes: 16 * 1024 ** 3,
    uploadExpiryMs: 86_400_000,
  });
});

test('hosted has defaults where there is a direct listener, and is nothing where there is none', async () => {
  assert.deepEqual((await rig.load(direct(TLS, USERS))).hosted?.names, ['**']);
  assert.equal((await rig.load('')).hosted, undefined);
});

test('a direct listener asks no proof of a runtime, for the credentials of upstreams are not used there', async () => {
  const upstream = 'upstreams: [{host: a.example, credentials: {credentialHelper: ecr-login}}]';
  await rig.load(`${direct(TLS, USERS)}\n${upstream}`);
});

for (const [yaml, path, expected] of [
  [direct(USERS), 'listeners[0].tls', /expected tls with certFile and keyFile.*or insecure: true/],
  [direct(TLS), 'listeners[0].users', /expected users.htpasswdFile .*nobody may do anything/],
  [direct(TLS, 'users: {}'), 'listeners[0].users', /expected users.htpasswdFile/],
  [direct(TLS, 'users: {anonymous: none}'), 'listeners[0].users', /expected users.htpasswdFile/],
  [direct(TLS, 'users: {anonymous: push}'), 'listeners[0].users.anonymous', /expected none or pull; got "push"/],
  [
    direct(TLS, 'users: {htpasswdFile: FOLDER/plain}'),
    'listeners[0].users.htpasswdFile',
    /^expected a file of users: line 1: expected a bcrypt hash/,
  ],
  [direct(TLS, 'users: {htpasswdFile: FOLDER/none}'), 'listeners[0].users.htpasswdFile', /cannot \(ENOENT\)/],
  [direct(USERS, 'tls: {}'), 'listeners[0].tls', /expected certFile and keyFile/],
  [direct(USERS, 'tls: {certFile: FOLDER/a.crt}'), 'listeners[0].tls.certFile', /expected keyFile with it/],
  [
    direct(USERS, 'tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/b.key}'),
    'listeners[0].tls.certFile',
    /expected a PEM certificate whose key/,
  ],
  [
    direct(TLS, USERS, 'anyLocalProcess: true'),
    'listeners[0].anyLocalProcess',
    /only at a listener with door: runtime/,
  ],
  [direct(TLS, USERS, 'secretFile: FOLDER/secret'), 'listeners[0].secretFile', /only at a listener with door: runtime/],
  [`listeners:\n- {address: "127.0.0.1:1", ${USERS}}`, 'listeners[0].users', /only at a listener with door: direct/],
  ['hosted: {host: a.example}', 'hosted', /expected a listener with door: direct/],
  [`${direct(TLS, USERS)}\nhosted: {names: [Team]}`, 'hosted.names[0]', /expected a pattern of repositories/],
  [`${direct(TLS, USERS)}\nhosted: {immutableTags: [v1]}`, 'hosted.immutableTags[0]', /such as release/],
  [`${direct(TLS, USERS)}\nhosted: {host: "https://a.example"}`, 'hosted.host', /expected a registry such as/],
  [`${direct(TLS, USERS)}\nhosted: {maxBlobSize: 0}`, 'hosted.maxBlobSize', /more than 0/],
  [
    `${direct(TLS, USERS)}\nhosted: {host: A.example}\nupstreams: [{host: a.example/team}]`,
    'upstreams[0].host',
    /expected another registry; a.example is what hosted.host says we are/,
  ],
] as const) {
  test(`a file is refused: ${yaml.replaceAll('\n', '⏎')}`, async () => {
    const issues = await rig.issuesOf(yaml);
    assert.deepEqual(
      issues.map((issue) => issue.path),
      [path],
    );
    assert.match(issues[0]?.message ?? '', expected);
    assert.ok(!JSON.stringify(issues).includes('swordfish'));
  });
}

test('without TLS: on loopback, or where it is said', async () => {
  await rig.load(`listeners:\n- {address: "127.0.0.1:5050", door: direct, ${USERS}}`);
  await rig.load(direct(USERS, 'insecure: true'));
});
