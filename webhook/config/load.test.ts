import assert from 'node:assert/strict';
import {writeFile} from 'node:fs/promises';
import {after, before, test} from 'node:test';
import {loadWebhookConfig} from './load.ts';
import {needRestart} from './reload.ts';
import {renderWebhookConfig} from './render.ts';
import {WebhookConfigRig} from './rig.ts';
import {KNOWN} from './settings.ts';

let rig: WebhookConfigRig;
before(async () => {
  rig = await WebhookConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

/** A value other than the default for every setting, as text. */
const OTHER: Readonly<Record<string, string>> = {
  listen: '127.0.0.1:9',
  adminListen: '0.0.0.0:9',
  kubeconfig: 'FOLDER/a.key',
  url: 'https://127.0.0.1:9',
  service: 'other',
  namespace: 'elsewhere',
  failurePolicy: 'Ignore',
  'pin.enabled': 'false',
  'pin.namespaces': '[team-*]',
  'pin.owners': '[Rollout.argoproj.io]',
  'pin.pullSecrets': '[team-a]',
  'rewrite.mode': 'node',
  'rewrite.endpoint': '127.0.0.1:5000',
  allowPrivateUpstreams: 'true',
  upstreams: '[{host: a.example, freshFor: 5m}]',
  'certificates.lifetime': '30d',
  'log.level': 'debug',
  'log.format': 'json',
  drain: '5s',
};
/** Those that are nothing alone. */
const TOGETHER = ['rewrite.prefixes', 'certificates.certFile', 'certificates.keyFile', 'certificates.caFile'];

for (const {key, flag, variable} of KNOWN.settings.filter((setting) => !TOGETHER.includes(setting.key)))
  test(`${key} can be said as key, --${flag} and ${variable}, with the same effect`, async () => {
    const text = (OTHER[key] ?? assert.fail(`no value for ${key}`)).replace('FOLDER', rig.folder);
    const [outer = '', inner] = key.split('.');
    await writeFile(rig.path('one.yaml'), inner === undefined ? `${outer}: ${text}` : `${outer}: {${inner}: ${text}}`);
    const inFile = renderWebhookConfig(await loadWebhookConfig({config: rig.path('one.yaml')}, {}));
    assert.equal(renderWebhookConfig(await loadWebhookConfig({[flag]: text}, {})), inFile);
    assert.equal(renderWebhookConfig(await loadWebhookConfig({}, {[variable]: text})), inFile);
    assert.notEqual(renderWebhookConfig(await loadWebhookConfig({}, {})), inFile);
  });

test('what --check prints, says the same when it is read again', async () => {
  const config = await rig.load(`
rewrite: {mode: prefixes, prefixes: [{from: Docker.io, to: "registry.example:5000/hub/"}]}
certificates: {certFile: FOLDER/a.crt, keyFile: FOLDER/a.key, caFile: FOLDER/a.crt}
upstreams:
  - {host: "*", freshFor: 1m30s}
  - {host: a.example/b, url: "http://10.0.0.1:5000/x", maxConnections: 3}`);
  assert.deepEqual(config.rewrite.prefixes, [{from: 'docker.io', to: 'registry.example:5000/hub'}]);
  assert.deepEqual(await rig.load(renderWebhookConfig(config)), config);
});

test('the namespace is what is said, else where the pod runs, else noost-system', async () => {
  const namespaceOf = async (flags: Record<string, string>, env: Record<string, string>) =>
    (await loadWebhookConfig(flags, env)).namespace;
  assert.equal(await namespaceOf({}, {}), 'noost-system');
  assert.equal(await namespaceOf({}, {POD_NAMESPACE: 'images'}), 'images');
  assert.equal(await namespaceOf({namespace: 'said'}, {POD_NAMESPACE: 'images'}), 'said');
});

test('what only a restart can change is told', async () => {
  const before = await loadWebhookConfig({}, {});
  const changed = {listen: '127.0.0.1:1', namespace: 'other', 'pin-enabled': 'false', 'log-level': 'debug'};
  assert.deepEqual(needRestart(before, await loadWebhookConfig(changed, {})), ['listen', 'namespace']);
  assert.deepEqual(needRestart(before, before), []);
});
