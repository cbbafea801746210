import assert from 'node:assert/strict';
import {writeFile} from 'node:fs/promises';
import {after, before, test} from 'node:test';
import {loadAgentConfig} from './load.ts';
import {renderAgentConfig} from './render.ts';
import {ConfigRig} from './rig.ts';
import {KNOWN} from './settings.ts';
import type {AgentConfig} from './shape.ts';

let rig: ConfigRig;
before(async () => {
  rig = await ConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

test('flag beats variable beats file beats default', async () => {
  const yaml = 'cache: {maxSize: 1GiB, maxIdle: 1d, minFreeDisk: 1GB}';
  const env = {NOOST_CACHE_MAX_SIZE: '2GiB', NOOST_CACHE_MAX_IDLE: '2d', NOOST_DRAIN: ''};
  const config = await rig.load(yaml, {'cache-max-size': '3GiB'}, env);
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
  'hosted.names': '[team/**]',
  'hosted.host': 'registry.example.com',
  'hosted.immutableTags': '["**:v*"]',
  'hosted.maxManifestSize': '5MiB',
  'hosted.maxBlobSize': '5GiB',
  'hosted.uploadExpiry': '5h',
  'node.configure': 'containerd',
  'node.hostRoot': '/host',
  'node.containerdConfig': '/etc/other.toml',
  'node.certsDir': '/etc/other',
  'node.registries': '[ghcr.io]',
  'node.order': 'last',
  deniedRanges: '[10.244.0.0/16]',
  'kubernetes.pullSecrets': '[a/b]',
  'kubernetes.protectImagesInUse': 'false',
  'kubernetes.events': 'false',
  'log.level': 'debug',
  'log.format': 'json',
  drain: '5s',
};

/** What is hosted needs a listener where it is pushed. */
const DIRECT: NodeJS.ProcessEnv = {
  NOOST_LISTENERS: '[{address: "127.0.0.1:1", door: direct, users: {anonymous: pull}}]',
};
/** Where there are credentials it is said who may have what they fetch. */
const PROVEN: NodeJS.ProcessEnv = {NOOST_ANY_LOCAL_PROCESS: 'true'};

for (const {key, flag, variable} of KNOWN.settings) {
  test(`${key} can be said as key, --${flag} and ${variable}, with the same effect`, async () => {
    const text = OTHER[key] ?? assert.fail(`no value for ${key}`);
    const env = key.startsWith('hosted.') ? DIRECT : key === 'kubernetes.pullSecrets' ? PROVEN : {};
    const [outer = '', inner] = key.split('.');
    await writeFile(rig.path('one.yaml'), inner === undefined ? `${outer}: ${text}` : `${outer}: {${inner}: ${text}}`);
    const inFile = renderAgentConfig(await loadAgentConfig({config: rig.path('one.yaml')}, env));
    assert.equal(renderAgentConfig(await loadAgentConfig({[flag]: text}, env)), inFile);
    assert.equal(renderAgentConfig(await loadAgentConfig({}, {...env, [variable]: text})), inFile);
    assert.notEqual(renderAgentConfig(await loadAgentConfig({}, env)), inFile);
  });
}

test('--listen, --secret-file and --any-local-process stand for the one runtime listener', async () => {
  const first = (config: AgentConfig) =>
    config.listeners.map(({host, port, anyLocalProcess, secretFile}) => ({host, port, anyLocalProcess, secretFile}));
  const secretFile = rig.path('secret');
  const one = {host: '127.0.0.1', port: 7, anyLocalProcess: false, secretFile: undefined};
  assert.deepEqual(first(await rig.load('', {listen: '127.0.0.1:7'})), [one]);
  assert.deepEqual(first(await rig.load('', {'secret-file': secretFile})), [{...one, port: 5055, secretFile}]);
  const file = 'listeners: [{address: "127.0.0.1:8"}]';
  assert.deepEqual(first(await rig.load(file, {'any-local-process': true})), [
    {...one, port: 8, anyLocalProcess: true},
  ]);
  assert.deepEqual(first(await rig.load(file, {}, {NOOST_LISTEN: '127.0.0.1:7', NOOST_ANY_LOCAL_PROCESS: '1'})), [
    {...one, anyLocalProcess: true},
  ]);
  const flags = {listeners: '[{address: "127.0.0.1:9"}]'};
  assert.deepEqual(first(await rig.load(file, flags, {NOOST_LISTEN: '127.0.0.1:7'})), [{...one, port: 9}]);
});

test('a short flag is refused where there are several listeners, or the list in the same breath', async () => {
  const [several] = await rig.issuesOf('listeners: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:2"}]', {
    'any-local-process': true,
  });
  assert.match(several?.message ?? '', /is for one listener, and there are 2/);
  const [both] = await rig.issuesOf('', {listen: '127.0.0.1:1', listeners: '[{address: "127.0.0.1:2"}]'});
  assert.match(both?.message ?? '', /cannot be said together with --listeners/);
  const [twice] = await rig.issuesOf('', {'cache-size': '1GiB', 'cache-max-size': '2GiB'});
  assert.match(twice?.message ?? '', /is the same as --cache-size/);
});

test('where an upstream has credentials it must be said who may have what they fetch', async () => {
  const yaml = 'upstreams: [{host: a.example, credentials: {credentialHelper: ecr-login}}]';
  const [issue] = await rig.issuesOf(yaml);
  assert.match(
    issue?.message ?? '',
    /"a.example" has credentials.*listeners\[0\]\.secretFile.*listeners\[0\]\.anyLocalProcess: true/,
  );
  await rig.load(yaml, {'any-local-process': true});
  await rig.load(yaml, {'secret-file': rig.path('secret')});
  await rig.load(yaml, {}, {NOOST_ANY_LOCAL_PROCESS: 'true'});
  assert.equal((await rig.issuesOf(yaml, {'any-local-process': false})).length, 1);
});

test('variables of Kubernetes services, the launcher and the tests are not taken for ours', async () => {
  await rig.load(
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
  const {upstreams} = await rig.load(yaml, {'any-local-process': true});
  const own = upstreams[1] ?? assert.fail();
  assert.equal(own.freshForMs, 300_000);
  assert.equal(own.maxConnections, 3);
  assert.equal(own.credentials?.dockerConfigFile, rig.path('config.json'));
  assert.deepEqual([own.staleIfError.down, own.staleIfError.timeout, own.staleIfError.notFound], [0, 7_200_000, 0]);
  assert.deepEqual(own.tls, {
    caFile: rig.path('a.crt'),
    certFile: undefined,
    keyFile: undefined,
    insecureSkipVerify: true,
  });
});

test('hosts and URLs come out in one spelling', async () => {
  const yaml =
    'upstreams: [{host: Registry-1.Docker.io, url: "HTTPS://Hub.example:443/"}, {host: "GHCR.io:443/team/"}, {host: "[::1]:5000"}]';
  const {upstreams} = await rig.load(yaml);
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
  const config = await rig.load(yaml);
  const printed = renderAgentConfig(config);
  assert.deepEqual(await rig.load(printed, {data: undefined}), config);
  assert.doesNotMatch(printed, /swordfish|0123456789abcdef/);
});
