import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {chmod, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {ConfigError, type ConfigIssue} from './error.ts';
import {loadAgentConfig} from './load.ts';
import {renderAgentConfig} from './render.ts';
import {SETTINGS} from './settings.ts';
import type {AgentConfig} from './shape.ts';
import type {Texts} from './text-layer.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-'));
  await Promise.all([
    writeFile(join(folder, 'secret'), ' 0123456789abcdef\n'),
    writeFile(join(folder, 'short'), '0123456789abcde\n'),
    writeFile(join(folder, 'password'), 'swordfish\n'),
    writeFile(join(folder, 'blank'), '\n'),
    writeFile(join(folder, 'config.json'), '{"auths": {}}'),
    writeFile(join(folder, 'helper'), '#!/bin/sh\n'),
  ]);
  await chmod(join(folder, 'helper'), 0o755);
  // Two pairs, so that one's certificate can be tried with the other's key.
  for (const name of ['a', 'b']) {
    const out = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x', ...out],
      {stdio: 'ignore'},
    );
  }
});
after(() => rm(folder, {recursive: true}));

/** Loads a file of this text; FOLDER in it is the test's. */
async function load(yaml: string, flags: Texts = {}, env: Texts = {}): Promise<AgentConfig> {
  const path = join(folder, 'noost.yaml');
  await writeFile(path, yaml.replaceAll('FOLDER', folder));
  return loadAgentConfig({data: folder, config: path, ...flags}, env);
}

async function issuesOf(yaml: string, flags: Texts = {}, env: Texts = {}): Promise<readonly ConfigIssue[]> {
  const error: unknown = await load(yaml, flags, env).then(
    () => new Error(`accepted: ${yaml}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConfigError)) throw error;
  for (const {path, message} of error.issues)
    assert.ok(error.message.includes(path) && error.message.includes(message));
  return error.issues;
}

/** What is wrong with a file: path, line, and what was expected. */
const REFUSED: readonly (readonly [yaml: string, path: string, line: number, expected: RegExp])[] = [
  ['cahce: {}', 'cahce', 1, /^unknown key; did you mean cache\?$/],
  ['cache:\n  maxSize: 5G', 'cache.maxSize', 2, /expected a size such as 50GiB.*got "5G"/],
  ['cache: {maxSize: 20%}', 'cache.maxSize', 1, /expected a size/],
  ['cache: {maxSize: 0}', 'cache.maxSize', 1, /more than 0/],
  ['cache: {maxSize: 99999TiB}', 'cache.maxSize', 1, /expected a size/],
  ['cache: {minFreeDisk: 100%}', 'cache.minFreeDisk', 1, /expected a share from 0% to 99% or a size/],
  ['cache: {minFreeDisk: true}', 'cache.minFreeDisk', 1, /expected a share/],
  ['cache: {maxIdle: 30}', 'cache.maxIdle', 1, /expected a duration such as 30s.*got "30"/],
  ['cache: {maxIdle: 30 days}', 'cache.maxIdle', 1, /expected a duration/],
  ['cache: {maxIdle: 20000d}', 'cache.maxIdle', 1, /expected a duration/],
  ['cache: 5', 'cache', 1, /expected an object \(key: value\); got "5"/],
  ['[]', '', 1, /expected an object .*got a list/],
  ['adminListen: 5057', 'adminListen', 1, /expected an address such as/],
  ['adminListen: example.com:5057', 'adminListen', 1, /expected an address/],
  ['adminListen: 127.0.0.1:70000', 'adminListen', 1, /expected an address/],
  [
    'adminListen: 127.0.0.1:5055',
    'adminListen',
    1,
    /expected an address of its own; 127.0.0.1:5055 is also listeners\[0\].address/,
  ],
  ['listeners: []', 'listeners', 1, /expected at least one listener/],
  ['listeners: {address: 127.0.0.1:1}', 'listeners', 1, /expected a list of listeners; got an object/],
  ['listeners:\n- door: runtime', 'listeners[0].address', 2, /expected an address.*it is missing/],
  ['listeners:\n- address: 0.0.0.0:5055', 'listeners[0].address', 2, /expected a loopback address .*0\.0\.0\.0:5055/],
  ['listeners: [{address: "[::]:1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  ['listeners: [{address: "[::ffff:127.0.0.1]:1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  ['listeners: [{address: ":1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  [
    'listeners: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:1"}]',
    'listeners[1].address',
    1,
    /is also listeners\[0\]/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", door: direct}]',
    'listeners[0].door',
    1,
    /^not built in this version; expected runtime/,
  ],
  ['listeners: [{address: "127.0.0.1:1", door: peer}]', 'listeners[0].door', 1, /^not built in this version/],
  ['listeners: [{address: "127.0.0.1:1", door: front}]', 'listeners[0].door', 1, /^expected runtime/],
  ['listeners: [{address: "127.0.0.1:1", tls: {}}]', 'listeners[0].tls', 1, /^unknown key/],
  [
    'listeners: [{address: "127.0.0.1:1", anyLocalProcess: yes}]',
    'listeners[0].anyLocalProcess',
    1,
    /expected true or false; got "yes"/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER/none}]',
    'listeners[0].secretFile',
    1,
    /expected a file that can be read.*ENOENT/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER}]',
    'listeners[0].secretFile',
    1,
    /expected a file; .* is none/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER/short}]',
    'listeners[0].secretFile',
    1,
    /expected a secret of 16 to 1024/,
  ],
  ['defaultUpstream: docker.io/library', 'defaultUpstream', 1, /expected a registry/],
  ['log: {level: trace}', 'log.level', 1, /expected debug, info, warn or error; got "trace"/],
  ['log: {format: xml}', 'log.format', 1, /expected json, text or auto/],
  ['upstreams: {}', 'upstreams', 1, /expected a list of upstreams/],
  ['upstreams:\n- url: https://x.example', 'upstreams[0].host', 2, /expected a registry such as ghcr.io.*missing/],
  ['upstreams: [{host: "http://ghcr.io"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: "ghcr.io/UPPER"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: "*.example.com"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: 2130706433}]', 'upstreams[0].host', 1, /expected a registry/],
  [
    'upstreams:\n- host: docker.io\n- host: Index.Docker.io:443',
    'upstreams[1].host',
    3,
    /expected each host once; docker.io is also upstreams\[0\].host/,
  ],
  ['upstreams: [{host: a.example/b}, {host: a.example/b/}]', 'upstreams[1].host', 1, /expected each host once/],
  [
    'upstreams: [{host: a.example, url: ftp://a.example}]',
    'upstreams[0].url',
    1,
    /expected an http:\/\/ or https:\/\/ URL without user/,
  ],
  ['upstreams: [{host: a.example, url: a.example}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example/v2/"}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example/../x"}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example?x=y"}]', 'upstreams[0].url', 1, /expected an http/],
  [
    'upstreams: [{host: a.example, mirrors: ["https://a.example#x"]}]',
    'upstreams[0].mirrors[0]',
    1,
    /expected an http/,
  ],
  ['upstreams: [{host: a.example, mirrors: https://m.example}]', 'upstreams[0].mirrors', 1, /expected a list of URLs/],
  [
    'upstreams:\n- host: a.example\n  staleIfError:\n    down: 30x',
    'upstreams[0].staleIfError.down',
    4,
    /expected a duration.*got "30x"/,
  ],
  ['upstreams: [{host: a.example, staleIfError: 5m}]', 'upstreams[0].staleIfError', 1, /expected an object/],
  [
    'upstreams: [{host: a.example, maxConnections: 0}]',
    'upstreams[0].maxConnections',
    1,
    /expected a whole number from 1 to 1024/,
  ],
  ['upstreams: [{host: a.example, maxConnections: 1.5}]', 'upstreams[0].maxConnections', 1, /expected a whole number/],
  ['upstreams: [{host: a.example, cache: sometimes}]', 'upstreams[0].cache', 1, /expected always or never/],
  [
    'upstreams: [{host: a.example, cache: never, offline: true}]',
    'upstreams[0].cache',
    1,
    /expected always, because of offline/,
  ],
  [
    'upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt}}]',
    'upstreams[0].tls.certFile',
    1,
    /expected keyFile with it/,
  ],
  [
    'upstreams: [{host: a.example, tls: {keyFile: FOLDER/a.key}}]',
    'upstreams[0].tls.keyFile',
    1,
    /expected certFile with it/,
  ],
  [
    'upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/b.key}}]',
    'upstreams[0].tls.certFile',
    1,
    /expected a PEM certificate whose key/,
  ],
  [
    'upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/none}}]',
    'upstreams[0].tls.keyFile',
    1,
    /cannot \(ENOENT\)/,
  ],
  [
    'upstreams: [{host: a.example, tls: {caFile: FOLDER/a.key}}]',
    'upstreams[0].tls.caFile',
    1,
    /expected PEM certificates/,
  ],
  ['upstreams: [{host: "*", url: https://a.example}]', 'upstreams[0].url', 1, /expected a host of its own/],
  ['upstreams: [{host: "*", mirrors: [https://a.example]}]', 'upstreams[0].mirrors', 1, /expected a host of its own/],
  [
    'upstreams: [{host: "*", tls: {insecureSkipVerify: true}}]',
    'upstreams[0].tls.insecureSkipVerify',
    1,
    /expected a host of its own/,
  ],
];

for (const [yaml, path, line, expected] of REFUSED) {
  test(`a file is refused: ${yaml.replaceAll('\n', '⏎')}`, async () => {
    const issues = await issuesOf(yaml);
    assert.deepEqual(
      issues.map((issue) => issue.path),
      [path],
    );
    assert.match(issues[0]?.message ?? '', expected);
    assert.equal(issues[0]?.origin, `${join(folder, 'noost.yaml')}:${String(line)}`);
  });
}

/** Within an upstream's `credentials`, beside a listener that says anyLocalProcess. */
const REFUSED_CREDENTIALS: readonly (readonly [credentials: string, path: string, expected: RegExp])[] = [
  ['{}', '', /expected exactly one of passwordFile .*none is there/],
  ['{username: u}', '', /expected exactly one/],
  ['{passwordFile: FOLDER/password}', '', /expected username with passwordFile/],
  ['{username: u, dockerConfigFile: FOLDER/config.json}', '', /expected username only with passwordFile/],
  [
    '{username: u, passwordFile: FOLDER/password, credentialHelper: ecr-login}',
    '',
    /got passwordFile and credentialHelper/,
  ],
  ['{username: u, password: hunter2}', '.password', /^unknown key/],
  ['{username: u, passwordFile: FOLDER/none}', '.passwordFile', /ENOENT/],
  ['{username: u, passwordFile: FOLDER/blank}', '.passwordFile', /expected a password in the file/],
  ['{dockerConfigFile: FOLDER/password}', '.dockerConfigFile', /expected a docker config.json/],
  ['{credentialHelper: ../x}', '.credentialHelper', /expected the name after docker-credential-/],
  ['{credentialHelper: FOLDER/password}', '.credentialHelper', /expected a program.*EACCES/],
  ['{credentialHelper: ecr-login, realms: ["https://x"]}', '.realms[0]', /expected a host name/],
];

for (const [credentials, path, expected] of REFUSED_CREDENTIALS) {
  test(`credentials are refused: ${credentials}`, async () => {
    const issues = await issuesOf(`upstreams: [{host: a.example, credentials: ${credentials}}]`, {
      'any-local-process': true,
    });
    const found = issues.find((issue) => issue.path === `upstreams[0].credentials${path}`);
    assert.match(found?.message ?? '', expected);
    for (const {message} of issues) assert.doesNotMatch(message, /hunter2|swordfish/);
  });
}

test('the values of credentials and of URLs are never repeated', async () => {
  const yaml =
    'upstreams: [{host: a.example, url: "https://u:hunter2@a.example", credentials: {credentialHelper: "hunter2 x"}}]';
  const text = JSON.stringify(await issuesOf(yaml, {'any-local-process': true}));
  assert.ok(text.includes('upstreams[0].url') && text.includes('credentialHelper'));
  assert.doesNotMatch(text, /hunter2/);
});

test('everything wrong is listed at once, with where each was said', async () => {
  const yaml = 'cache:\n  maxSiz: 1\nupstreams:\n  - host: a.example\n    freshFor: soon\n  - host: A.example\n';
  const flags = {'cache-max-idle': 'never', 'log-level': 'loud', listen: '10.0.0.1:5055'};
  const issues = await issuesOf(yaml, flags, {NOOST_CACHE_SIZ: '1', NOOST_DRAIN: 'x', NOOST_UPSTREAMS: ''});
  const file = join(folder, 'noost.yaml');
  const said = issues.map(({path, origin}) => `${path} ${origin}`).toSorted();
  assert.deepEqual(said, [
    ' NOOST_CACHE_SIZ',
    'cache.maxIdle --cache-max-idle',
    `cache.maxSiz ${file}:2`,
    'drain NOOST_DRAIN',
    'listeners[0].address --listen',
    'log.level --log-level',
    `upstreams[0].freshFor ${file}:5`,
    `upstreams[1].host ${file}:6`,
  ]);
});

const NOT_YAML: readonly (readonly [what: string, yaml: string, expected: RegExp])[] = [
  ['duplicate keys', 'data: a\ndata: b', /^not valid YAML: Map keys must be unique/],
  ['two documents', 'data: a\n---\ndata: b', /^not valid YAML/],
  ['broken syntax', 'data: [', /^not valid YAML/],
  ['unknown tags', 'data: !!js/function x', /^not valid YAML/],
  [
    'a billion laughs',
    `a: &a [x]\nb: &b [${'*a,'.repeat(50)}]\nc: &c [${'*b,'.repeat(50)}]\nd: [${'*c,'.repeat(50)}]`,
    /^not valid YAML: .*alias/,
  ],
  ['more than 1 MiB', `# ${'x'.repeat(1024 * 1024)}`, /larger than 1 MiB/],
];

for (const [what, yaml, expected] of NOT_YAML) {
  test(`a file with ${what} is refused`, async () => {
    const [issue] = await issuesOf(yaml);
    assert.match(issue?.message ?? '', expected);
  });
}

test('a file that is not there is refused', async () => {
  await assert.rejects(
    loadAgentConfig({config: join(folder, 'none.yaml')}, {}),
    /none\.yaml: the configuration file cannot be read \(ENOENT\)/,
  );
});

test('a list in a flag that is no YAML is refused', async () => {
  const issues = await issuesOf('', {upstreams: '[{host'});
  assert.match(issues[0]?.message ?? '', /expected YAML or JSON such as/);
  assert.equal(issues[0]?.origin, '--upstreams');
});

test('a data folder whose socket would have too long a path is refused', async () => {
  const [issue] = await issuesOf('', {data: `/${'x'.repeat(120)}`});
  assert.match(issue?.message ?? '', /expected a path of 96 bytes at most.*it has 121/);
});

test('flag beats variable beats file beats default', async () => {
  const yaml = 'cache: {maxSize: 1GiB, maxIdle: 1d, minFreeDisk: 1GB}';
  const env = {NOOST_CACHE_MAX_SIZE: '2GiB', NOOST_CACHE_MAX_IDLE: '2d', NOOST_DRAIN: ''};
  const config = await load(yaml, {'cache-max-size': '3GiB'}, env);
  assert.deepEqual(config.limits, {maxBytes: 3 * 1024 ** 3, maxIdleMs: 2 * 86_400_000, minFree: {bytes: 1e9}});
  assert.equal(config.drainMs, 25_000);
});

/** A value other than the default for every setting, as text. */
const OTHER: Readonly<Record<string, string>> = {
  listeners: '[{address: "127.0.0.1:1"}]',
  adminListen: '0.0.0.0:9',
  data: '/srv/noost',
  'cache.maxSize': '5GiB',
  'cache.minFreeDisk': '5%',
  'cache.maxIdle': '5d',
  defaultUpstream: 'none',
  allowPrivateUpstreams: 'true',
  upstreams: '[{host: a.example}]',
  'log.level': 'debug',
  'log.format': 'json',
  drain: '5s',
};

for (const {key, flag, variable} of SETTINGS) {
  test(`${key} can be said as key, --${flag} and ${variable}, with the same effect`, async () => {
    const text = OTHER[key] ?? assert.fail(`no value for ${key}`);
    const [outer = '', inner] = key.split('.');
    await writeFile(
      join(folder, 'one.yaml'),
      inner === undefined ? `${outer}: ${text}` : `${outer}: {${inner}: ${text}}`,
    );
    const inFile = renderAgentConfig(await loadAgentConfig({config: join(folder, 'one.yaml')}, {}));
    assert.equal(renderAgentConfig(await loadAgentConfig({[flag]: text}, {})), inFile);
    assert.equal(renderAgentConfig(await loadAgentConfig({}, {[variable]: text})), inFile);
    assert.notEqual(renderAgentConfig(await loadAgentConfig({}, {})), inFile);
  });
}

test('--listen, --secret-file and --any-local-process stand for the one runtime listener', async () => {
  const first = (config: AgentConfig) =>
    config.listeners.map(({host, port, anyLocalProcess, secretFile}) => ({host, port, anyLocalProcess, secretFile}));
  const secretFile = join(folder, 'secret');
  const one = {host: '127.0.0.1', port: 7, anyLocalProcess: false, secretFile: undefined};
  assert.deepEqual(first(await load('', {listen: '127.0.0.1:7'})), [one]);
  assert.deepEqual(first(await load('', {'secret-file': secretFile})), [{...one, port: 5055, secretFile}]);
  const file = 'listeners: [{address: "127.0.0.1:8"}]';
  assert.deepEqual(first(await load(file, {'any-local-process': true})), [{...one, port: 8, anyLocalProcess: true}]);
  assert.deepEqual(first(await load(file, {}, {NOOST_LISTEN: '127.0.0.1:7', NOOST_ANY_LOCAL_PROCESS: '1'})), [
    {...one, anyLocalProcess: true},
  ]);
  const flags = {listeners: '[{address: "127.0.0.1:9"}]'};
  assert.deepEqual(first(await load(file, flags, {NOOST_LISTEN: '127.0.0.1:7'})), [{...one, port: 9}]);
});

test('a short flag is refused where there are several listeners, or the list in the same breath', async () => {
  const [several] = await issuesOf('listeners: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:2"}]', {
    'any-local-process': true,
  });
  assert.match(several?.message ?? '', /is for one listener, and there are 2/);
  const [both] = await issuesOf('', {listen: '127.0.0.1:1', listeners: '[{address: "127.0.0.1:2"}]'});
  assert.match(both?.message ?? '', /cannot be said together with --listeners/);
  const [twice] = await issuesOf('', {'cache-size': '1GiB', 'cache-max-size': '2GiB'});
  assert.match(twice?.message ?? '', /is the same as --cache-size/);
});

test('where an upstream has credentials it must be said who may have what they fetch', async () => {
  const yaml = 'upstreams: [{host: a.example, credentials: {credentialHelper: ecr-login}}]';
  const [issue] = await issuesOf(yaml);
  assert.match(
    issue?.message ?? '',
    /"a.example" has credentials.*listeners\[0\]\.secretFile.*listeners\[0\]\.anyLocalProcess: true/,
  );
  await load(yaml, {'any-local-process': true});
  await load(yaml, {'secret-file': join(folder, 'secret')});
  await load(yaml, {}, {NOOST_ANY_LOCAL_PROCESS: 'true'});
  assert.equal((await issuesOf(yaml, {'any-local-process': false})).length, 1);
});

test('variables of Kubernetes services, the launcher and the tests are not taken for ours', async () => {
  await load(
    '',
    {},
    {
      NOOST_SERVICE_HOST: '10.0.0.1',
      NOOST_SERVICE_PORT: '5055',
      NOOST_SERVICE_PORT_HTTP: '5055',
      NOOST_PORT: 'tcp://10.0.0.1:5055',
      NOOST_PORT_5055_TCP: 'tcp://10.0.0.1:5055',
      NOOST_PORT_5055_TCP_ADDR: '10.0.0.1',
      NOOST_WEBHOOK_SERVICE_HOST: '10.0.0.2',
      NOOST_WEBHOOK_PORT_443_TCP_PROTO: 'tcp',
      NOOST_NODE: '/usr/bin/node',
      NOOST_FAULT: '',
      NOOST_TEST_UPDATE: '0',
      PATH: '/bin',
    },
  );
});

test('"*" gives the others what they do not say themselves', async () => {
  const yaml = `upstreams:
  - {host: "*", freshFor: 5m, staleIfError: {down: 1h, timeout: 2h}, credentials: {dockerConfigFile: FOLDER/config.json}, tls: {caFile: FOLDER/a.crt}}
  - {host: a.example, staleIfError: {down: 0s}, maxConnections: 3, tls: {insecureSkipVerify: true}}`;
  const {upstreams} = await load(yaml, {'any-local-process': true});
  const own = upstreams[1] ?? assert.fail();
  assert.equal(own.freshForMs, 300_000);
  assert.equal(own.maxConnections, 3);
  assert.equal(own.credentials?.dockerConfigFile, join(folder, 'config.json'));
  assert.deepEqual([own.staleIfError.down, own.staleIfError.timeout, own.staleIfError.notFound], [0, 7_200_000, 0]);
  assert.deepEqual(own.tls, {
    caFile: join(folder, 'a.crt'),
    certFile: undefined,
    keyFile: undefined,
    insecureSkipVerify: true,
  });
});

test('hosts and URLs come out in one spelling', async () => {
  const yaml =
    'upstreams: [{host: Registry-1.Docker.io, url: "HTTPS://Hub.example:443/"}, {host: "GHCR.io:443/team/"}, {host: "[::1]:5000"}]';
  const {upstreams} = await load(yaml);
  assert.deepEqual(
    upstreams.map(({host}) => host),
    ['docker.io', 'ghcr.io/team', '[::1]:5000'],
  );
  assert.equal(upstreams[0]?.url, 'https://hub.example');
});

test('what --check prints, says the same when it is read again', async () => {
  const yaml = `
listeners: [{address: "[::1]:5055", secretFile: FOLDER/secret}]
cache: {maxSize: 1.5GiB, minFreeDisk: 12.5%, maxIdle: 36h}
defaultUpstream: none
upstreams:
  - {host: "*", freshFor: 1m30s, offline: true}
  - {host: a.example/b, url: "http://10.0.0.1:5000/x", mirrors: [https://m.example], credentials: {username: u, passwordFile: FOLDER/password, realms: [sso.example]}, tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/a.key}}
  - {host: c.example, credentials: {credentialHelper: FOLDER/helper}, cache: never, offline: false, staleIfError: {notFound: 250ms}}`;
  const config = await load(yaml);
  const printed = renderAgentConfig(config);
  assert.deepEqual(await load(printed, {data: undefined}), config);
  assert.doesNotMatch(printed, /swordfish|0123456789abcdef/);
});
